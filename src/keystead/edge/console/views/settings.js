// Settings of the whole HSM.

import { fromPem, save } from "/console/bytes.js";
import { readCertificate } from "/console/der.js";
import { area, button, choice, confirmed, element, facts, field, form, fromNow, later, moment, notice,
  parsedJson, requireSame, words } from "/console/elements.js";
import { now } from "/console/hsm.js";

const done = (text) => notice("good", text);

/** `opened` is the title of the part that is open at first. */
export function settingsView({ hsm }, opened) {
  const part = (title, fill) => later(title, fill, title === opened);
  return element("div", {}, element("h1", {}, "Settings"),
    part("TLS certificate", () => tls(hsm)),
    part("Unlock passphrase", () => passphrase(hsm, "/config/unlock-passphrase", true)),
    part("Backup passphrase", () => passphrase(hsm, "/config/backup-passphrase", false)),
    part("Unattended boot", () => unattended(hsm)),
    part("Time", () => time(hsm)),
    part("Logging", () => logging(hsm)),
    part("Network", () => asJson(hsm, "/config/network", "For an appliance: its addresses.")),
    hsm.has("GET", "/config/ntp")
      && part("Time servers", () => asJson(hsm, "/config/ntp", "For an appliance: NTP and NTS.")),
    hsm.has("GET", "/config/journal")
      && part("Journal", () => asJson(hsm, "/config/journal", "What the audit journal records.")));
}

async function tls(hsm) {
  const pem = await hsm.text("/config/tls/cert.pem");
  const read = readCertificate(fromPem(pem, "CERTIFICATE"));
  return element("div", {}, facts([["Subject", read.subject], ["Issuer", read.issuer],
    ["Names", read.names.join(", ")], ["From", moment(read.notBefore)], ["Until", moment(read.notAfter)],
    ["Expires", fromNow(read.notAfter)]]),
  button("Save the certificate", () => save("hsm.pem", pem)),
  form([field("Common name", { name: "commonName", required: true }),
    field("Alternative names", { name: "names" }, "DNS names and IP addresses, with commas between")],
  "Make a signing request", async ({ commonName, names }) => {
    const listed = words(names);
    const json = { commonName, ...(listed.length && { subjectAltNames: listed }) };
    const csr = await (await hsm.request("POST", "/config/tls/csr.pem", { json })).text();
    return element("div", {}, element("pre", {}, csr), button("Save", () => save("hsm.csr", csr)));
  }, { label: "TLS signing request" }),
  form([area("Certificate chain, PEM", "pem", { required: true })], "Install", async ({ pem: chain }) => {
    await hsm.request("PUT", "/config/tls/cert.pem",
      { body: chain, headers: { "Content-Type": "application/x-pem-file" } });
    return done("The certificate is installed. Reload this page to use it.");
  }, { label: "Install a certificate" }),
  form([choice("Type", "type", ["EC_P256", "EC_P384", "EC_P521", "RSA", "Curve25519"], "EC_P256")],
    "Make a new TLS key", async ({ type }) => {
      if (!await confirmed("The old key and its certificate are gone then.", "Make a new TLS key")) return;
      await hsm.send("POST", "/config/tls/generate", { type, ...(type === "RSA" && { length: 3072 }) });
      return done("The HSM has a new, self-signed certificate. Your browser will ask about it.");
    }, { label: "New TLS key", danger: true }));
}

function passphrase(hsm, path, mustHaveOne) {
  return form([
    field("Current passphrase", { name: "currentPassphrase", type: "password", required: mustHaveOne },
      mustHaveOne ? "" : "Empty if none was set yet."),
    field("New passphrase", { name: "newPassphrase", type: "password", required: true, minlength: 10,
      autocomplete: "new-password" }),
    field("Again", { name: "again", type: "password", required: true, autocomplete: "new-password" }),
  ], "Change", async ({ again, ...wanted }, made) => {
    requireSame(wanted.newPassphrase, again);
    await hsm.send("PUT", path, wanted);
    made.reset();
    return done("The passphrase is changed.");
  }, { label: path.includes("unlock") ? "Unlock passphrase" : "Backup passphrase" });
}

async function unattended(hsm) {
  const { value: { status }, change } = await hsm.document("/config/unattended-boot");
  return form([choice("Unattended boot", "status",
    [["off", "off: someone unlocks after each start"], ["on", "on: it unlocks by itself"]], status)],
  "Set", async (wanted) => {
    await change(wanted);
    return done(`Unattended boot is ${wanted.status}.`);
  }, { label: "Unattended boot" });
}

async function time(hsm) {
  const its = await hsm.get("/config/time");
  return form([element("p", {}, "The HSM's time: ", moment(its.time)),
    element("p", {}, "This browser's: ", moment(new Date()))], "Set it to this browser's time",
  async () => {
    await hsm.send("PUT", "/config/time", { time: now() });
    return done("The time is set.");
  }, { label: "Time" });
}

async function logging(hsm) {
  const { value: its, change } = await hsm.document("/config/logging");
  return form([
    field("Syslog address", { name: "ipAddress", value: its.ipAddress, required: true }, "0.0.0.0: none"),
    field("Port", { name: "port", type: "number", value: String(its.port), required: true }),
    choice("From which severity on", "logLevel", ["debug", "info", "warning", "error"], its.logLevel),
  ], "Set", async ({ port, ...wanted }) => {
    await change({ ...wanted, port: Number(port) });
    return done("Logging is set.");
  }, { label: "Logging" });
}

/** Returns a form for a document with few users: its JSON. */
async function asJson(hsm, path, hint) {
  const { value: its, change } = await hsm.document(path);
  return form([element("p", { class: "soft" }, hint),
    area("Settings, as JSON", "text", { rows: 8, value: JSON.stringify(its, null, 2) })],
  "Set", async ({ text }) => {
    await change(parsedJson(text));
    return done("It is set.");
  }, { label: path });
}
