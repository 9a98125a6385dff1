// One key: what it is, what it may do, and its uses with files from this computer.

import { fromBase64, fromPem, readFile, save, toBase64 } from "/console/bytes.js";
import { fingerprint, readCertificate } from "/console/der.js";
import { button, choice, confirmed, element, facts, field, form, fromNow, later, moment, notice, section,
  shown, words } from "/console/elements.js";
import { segment } from "/console/hsm.js";
import { explained, prepared, signModes, signsRequests } from "/console/mechanisms.js";
import { policyView } from "/console/views/policy.js";

export async function keyView(console, id) {
  const { hsm } = console;
  const path = `/keys/${segment(id)}`;
  const key = await hsm.get(path);
  const isAdmin = hsm.is("Administrator");
  const parts = [element("h1", {}, "Key ", element("code", {}, id)), await about(hsm, path, key)];
  const missing = isAdmin ? [] : await missingTags(hsm, key);
  if (missing.length) parts.push(notice("note",
    `This key is for operators with one of these tags, which you do not have: ${missing.join(", ")}.`));
  else if (!isAdmin) parts.push(...uses(hsm, path, key));
  parts.push(later("Certificate", () => certificate(hsm, path, isAdmin)));
  if (!missing.length && signsRequests(key, isAdmin)) parts.push(later("Certificate signing request", () => request(hsm, path, id)));
  if (hsm.has("GET", "/keys/{key_id}/policy"))
    parts.push(later("Policy", () => policyView(hsm, path, isAdmin)));
  if (hsm.has("POST", "/keys/{key_id}/attestation"))
    parts.push(later("Attestation", () => attestation(hsm, path, id)));
  if (isAdmin) parts.push(later("Change", () => changes(console, path, id, key)));
  return element("div", {}, parts);
}

async function about(hsm, path, key) {
  const pem = key.public ? await hsm.text(`${path}/public.pem`).catch(() => null) : null;
  const der = pem && fromPem(pem);
  return section("What it is", facts([
    ["Type", key.type], ["Label", key.label ?? ""],
    ["Tags", (key.restrictions?.tags ?? []).join(", ")], ["Uses so far", key.operations],
    ["Mechanisms", element("ul", {}, key.mechanisms.map((name) =>
      element("li", {}, element("code", {}, name), ` – ${explained(name)}`)))],
    ["SHA-256 of the public key", der ? element("code", {}, await fingerprint(der)) : ""],
  ]), pem && element("pre", {}, pem),
  pem && button("Save public.pem", () => save("public.pem", pem)));
}

// --- uses ---

/** Returns the key's tags if the signed-in operator has none of them. */
async function missingTags(hsm, key) {
  const tags = key.restrictions?.tags ?? [];
  if (!tags.length) return [];
  const own = await hsm.get(`/users/${segment(hsm.user)}/tags`);
  return tags.some((tag) => own.includes(tag)) ? [] : tags;
}

/** Whether `openssl dgst` verifies what a mode signs with the key that is shown, without more options. */
const isOpenSsl = ({ mode, derivation }) => ["ECDSA", "PKCS1"].includes(mode) && derivation === undefined;

/** Returns a file's name as a shell takes it, whatever characters it has. */
const quoted = (name) => (/^[A-Za-z0-9_][\w.]*$/.test(name) ? name : `'./${name.replaceAll("'", "'\\''")}'`);

function uses(hsm, path, key) {
  const modes = signModes(key.mechanisms);
  if (!modes.length) return [];
  const file = () => field("File", { name: "file", type: "file", required: true });
  const tree = () => key.type === "BIP32"
    && field("Derivation", { name: "derivation" }, "e.g. m/44'/60'/0'/0/0. Empty: the master key.");
  const asked = (values, message, more) => ({ mode: values.mode, message: toBase64(message), ...more,
    ...(values.derivation && { derivation: values.derivation }) });
  return [
    section("Sign a file", form([file(), choice("Mode", "mode", modes, modes[0]), tree()], "Sign",
      async (values) => {
        const { message, by } = await prepared(values.mode, key.type, await readFile(values.file));
        const { signature } = await hsm.send("POST", `${path}/sign`, asked(values, message));
        const { name } = values.file;
        return element("div", {}, notice("good", `Signed (${by}).`), element("pre", {}, signature),
          button("Save the signature", () => save(`${name}.sig`, fromBase64(signature))),
          isOpenSsl(values) && element("p", { class: "soft" }, "Elsewhere, this verifies it: ",
            element("code", {}, `openssl dgst -${by.slice(0, 7).replace("-", "").toLowerCase()} -verify public.pem `
              + `-signature ${quoted(`${name}.sig`)} ${quoted(name)}`)));
      }, { label: "Sign a file" })),
    section("Verify a file", form([file(),
      field("Signature", { name: "signature", type: "file", required: true }),
      choice("Mode", "mode", modes, modes[0]), tree()], "Verify",
    async (values) => {
      const { message, by } = await prepared(values.mode, key.type, await readFile(values.file));
      const signature = toBase64(await readFile(values.signature));
      const { valid } = await hsm.send("POST", `${path}/verify`, asked(values, message, { signature }));
      return valid ? notice("good", `The signature is valid (${by}).`)
        : notice("bad", "The signature is NOT valid for this file and key.");
    }, { label: "Verify a file" })),
  ];
}

// --- certificate ---

async function certificate(hsm, path, isAdmin) {
  const body = await hsm.request("GET", `${path}/cert`).then((answer) => answer.arrayBuffer())
    .catch((error) => { if (error.status !== 404) throw error; return null; });
  const place = element("div", {}, body ? certificateInWords(new Uint8Array(body))
    : element("p", {}, "None is stored."));
  if (!isAdmin) return place;
  if (!body) place.append(form([field("Certificate file", { name: "file", type: "file" },
    "Drop it here or choose it.")], "Store", async ({ file }) => {
    await hsm.request("PUT", `${path}/cert`, { body: await readFile(file),
      headers: { "Content-Type": "application/octet-stream" } });
    place.replaceChildren(await shown(() => certificate(hsm, path, isAdmin)));
  }, { label: "Store a certificate" }));
  else place.append(button("Remove the certificate", async () => {
    if (!await confirmed("Remove the stored certificate?", "Remove")) return;
    place.replaceChildren(await shown(async () => {
      await hsm.request("DELETE", `${path}/cert`);
      return certificate(hsm, path, isAdmin);
    }));
  }, { class: "danger" }));
  return place;
}

function certificateInWords(bytes) {
  const saveIt = button("Save it", () => save("certificate", bytes));
  try {
    const der = fromPem(new TextDecoder("latin1").decode(bytes), "CERTIFICATE") ?? bytes;
    const read = readCertificate(der);
    const ends = fromNow(read.notAfter);
    const expiry = read.notAfter < new Date() ? notice("bad", `It has expired ${ends}.`)
      : element("p", {}, `It expires ${ends}.`);
    return element("div", {}, expiry, facts([
      ["Subject", read.subject], ["Issuer", read.issuer], ["Names", read.names.join(", ")],
      ["Serial number", read.serial], ["From", moment(read.notBefore)], ["Until", moment(read.notAfter)],
    ]), saveIt);
  } catch {
    return element("div", {}, element("p", {}, `${bytes.length} bytes that are not X.509.`), saveIt);
  }
}

function request(hsm, path, id) {
  return form([
    field("Common name", { name: "commonName", required: true }),
    field("Organization", { name: "organizationName" }),
    field("Organizational unit", { name: "organizationalUnitName" }),
    field("Locality", { name: "localityName" }), field("State", { name: "stateOrProvinceName" }),
    field("Country, two letters", { name: "countryName", maxlength: 2 }),
    field("E-mail", { name: "emailAddress" }),
    field("Alternative names", { name: "names" }, "DNS names and IP addresses, with commas between"),
  ], "Make the request", async ({ names, ...subject }) => {
    const listed = words(names);
    const pem = await (await hsm.request("POST", `${path}/csr.pem`,
      { json: { ...subject, ...(listed.length && { subjectAltNames: listed }) } })).text();
    return element("div", {}, element("pre", {}, pem), button("Save", () => save(`${id}.csr`, pem)));
  }, { label: "Certificate signing request" });
}

// --- attestation ---

function attestation(hsm, path, id) {
  return form([], "Have the HSM attest this key", async () => {
    const nonce = crypto.getRandomValues(new Uint8Array(32));
    const answer = await (await hsm.request("POST", `${path}/attestation`,
      { json: { nonce: toBase64(nonce) } })).text();
    return element("div", {}, facts([["Nonce", element("code", {}, toBase64(nonce))]]),
      element("pre", {}, answer), button("Save", () => save(`${id}.jws`, answer)));
  }, { label: "Attestation" });
}

// --- changes ---

function changes({ hsm, go }, path, id, key) {
  const again = () => go(`key/${segment(id)}`);
  const tags = key.restrictions?.tags ?? [];
  return [
    form([field("Label", { name: "label", value: key.label ?? "" })], "Set the label",
      async ({ label }) => {
        if (label) await hsm.send("PUT", `${path}/label`, { label });
        else await hsm.request("DELETE", `${path}/label`);
        again();
      }, { label: "Label" }),
    form([field("Tag", { name: "tag", required: true })], "Add the tag", async ({ tag }) => {
      await hsm.request("PUT", `${path}/restrictions/tags/${segment(tag)}`);
      again();
    }, { label: "Add a tag" }),
    element("p", { class: "buttons" }, tags.map((tag) => button(`Remove the tag ${tag}`, async () => {
      await hsm.request("DELETE", `${path}/restrictions/tags/${segment(tag)}`);
      again();
    }))),
    form([field("New ID", { name: "newId", required: true })], "Move the key", async ({ newId }) => {
      await hsm.send("POST", `${path}/move`, { newId });
      go(`key/${segment(newId)}`);
    }, { label: "Move" }),
    form([], "Delete the key", async () => {
      const sure = await confirmed("A deleted key is gone, except from backups.", "Delete the key", id);
      if (!sure) return;
      await hsm.request("DELETE", path);
      go("keys");
    }, { label: "Delete", danger: true }),
  ];
}
