// Generating and importing keys.

import { fromPem, readFile, toBase64, toPem } from "/console/bytes.js";
import { check, choice, element, field, form, section, words } from "/console/elements.js";
import { children, readAt } from "/console/der.js";
import { segment } from "/console/hsm.js";
import { LENGTHS, TYPES, explained } from "/console/mechanisms.js";

/** Tags of DER, and the version of a PKCS #12 file (RFC 7292). */
const [INTEGER, OCTETS, PFX_VERSION] = [0x02, 0x04, 3];

export function newKeyView({ hsm, go }) {
  return element("div", {}, element("h1", {}, "New key"),
    section("Generate in the HSM", generateForm(hsm, go)),
    section("Import from a file", importForm(hsm, go)));
}

/** Returns the inputs of a type, its length and its mechanisms. */
function typeInputs() {
  const boxes = element("fieldset", {});
  const length = element("div", {});
  const draw = (type) => {
    boxes.replaceChildren(element("legend", {}, "Mechanisms: what the key may be used for, for ever"),
      ...TYPES[type].map((name, index) => check(
        element("span", {}, element("code", {}, name), ` – ${explained(name)}`), "mechanisms",
        { value: name, checked: index === 0 })));
    length.replaceChildren(...(LENGTHS[type] ? [field("Length in bits",
      { name: "length", type: "number", value: String(LENGTHS[type]), required: true })] : []));
  };
  const types = choice("Type", "type", Object.keys(TYPES), "EC_P256",
    { onchange: (event) => draw(event.target.value) });
  draw("EC_P256");
  return [types, length, boxes];
}

function attributes({ mechanisms, tags, label }) {
  if (!mechanisms?.length) throw new Error("Choose at least one mechanism.");
  const named = words(tags);
  return { mechanisms, ...(named.length && { restrictions: { tags: named } }),
    ...(label && { label }) };
}

function commonInputs() {
  return [field("Label", { name: "label" }), field("Tags", { name: "tags" },
    "Only operators with one of these tags may use the key. Empty: all operators.")];
}

function generateForm(hsm, go) {
  return form([field("ID", { name: "id" }, "Letters, digits and dashes. Empty: the HSM makes one."),
    typeInputs(), commonInputs()], "Generate", async (values) => {
    const wanted = { ...attributes(values), type: values.type };
    if (values.id) wanted.id = values.id;
    if (values.length) wanted.length = Number(values.length);
    const made = await hsm.send("POST", "/keys/generate", wanted);
    go(`key/${segment(made?.id ?? values.id)}`);
  }, { label: "Generate a key" });
}

function importForm(hsm, go) {
  return form([field("ID", { name: "id", required: true }),
    field("File with the private key", { name: "file", type: "file" },
      "PEM or DER; drop it here or choose it. For a Generic or BIP32 key: the raw bytes. Files under a passphrase "
      + "and PKCS #12 are imported by the command: keystead keys import."),
    typeInputs(), commonInputs()], "Import", async (values) => {
    const bytes = await readFile(values.file);
    if (values.type === "Generic" || values.type === "BIP32") await importRaw(hsm, values, bytes);
    else await importFile(hsm, values, bytes);
    go(`key/${segment(values.id)}`);
  }, { label: "Import a key" });
}

async function importRaw(hsm, values, bytes) {
  await hsm.send("PUT", `/keys/${segment(values.id)}`,
    { ...attributes(values), type: values.type, private: { data: toBase64(bytes) } });
}

async function importFile(hsm, values, bytes) {
  await hsm.upload("PUT", `/keys/${segment(values.id)}`, attributes(values), "key_file", pemOf(bytes));
}

/** Returns a key file as PEM; throws an error that says what to do with other formats. */
function pemOf(bytes) {
  const text = new TextDecoder("latin1").decode(bytes);
  const advice = "Import it by the command, which asks for its passphrase: keystead keys import.";
  if (/ENCRYPTED/.test(text)) throw new Error(`This file is encrypted. ${advice}`);
  if (fromPem(text)) return text;
  if (bytes[0] !== 0x30) throw new Error("This is neither PEM nor DER.");
  const [first, second] = children(readAt(bytes, 0));
  if (first?.tag !== INTEGER) throw new Error(second?.tag === OCTETS ? `This file is encrypted. ${advice}`
    : "There is no private key in this file.");
  if (first.value[0] === PFX_VERSION) throw new Error(`This is PKCS #12. ${advice}`);
  return toPem(bytes, { [INTEGER]: "RSA PRIVATE KEY", [OCTETS]: "EC PRIVATE KEY" }[second?.tag] ?? "PRIVATE KEY");
}
