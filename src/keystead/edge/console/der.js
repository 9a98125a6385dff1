// Reads as much DER (X.690) as it takes to show a certificate (RFC 5280) in words.

import { digest, toHex } from "/console/bytes.js";

const NAMES = { "2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O",
  "2.5.4.11": "OU", "1.2.840.113549.1.9.1": "E" };
const ALTERNATIVE_NAME = "2.5.29.17";

/** Reads one element at `at`; throws an error if it does not fit. */
export function readAt(bytes, at) {
  const tag = bytes[at];
  let length = bytes[at + 1];
  let start = at + 2;
  if (length > 0x84 || length === 0x80) throw new Error("This is not DER.");
  if (length & 0x80) {
    const size = length & 0x7f;
    length = 0;
    for (let index = 0; index < size; index++) length = length * 256 + bytes[start + index];
    start += size;
  }
  const end = start + length;
  if (!(end <= bytes.length)) throw new Error("This DER is cut off.");
  return { tag, start, end, whole: bytes.subarray(at, end), value: bytes.subarray(start, end) };
}

export function children(node) {
  const found = [];
  for (let at = 0; at < node.value.length;) {
    const child = readAt(node.value, at);
    found.push(child);
    at = child.end;
  }
  return found;
}

function objectIdentifier(value) {
  const numbers = [Math.floor(value[0] / 40), value[0] % 40];
  let number = 0;
  for (const byte of value.subarray(1)) {
    number = number * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      numbers.push(number);
      number = 0;
    }
  }
  return numbers.join(".");
}

function nameOf(node) {
  return children(node).flatMap(children).map((pair) => {
    const [kind, value] = children(pair);
    const id = objectIdentifier(kind.value);
    return `${NAMES[id] ?? id}=${new TextDecoder().decode(value.value)}`;
  }).join(", ");
}

function timeOf(node) {
  let text = new TextDecoder().decode(node.value);
  if (node.tag === 0x17) text = (Number(text.slice(0, 2)) < 50 ? "20" : "19") + text;
  return new Date(text.replace(/^(....)(..)(..)(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));
}

function alternativeNames(fields) {
  const extensions = fields.find(({ tag }) => tag === 0xa3);
  for (const extension of extensions ? children(children(extensions)[0]) : []) {
    const parts = children(extension);
    if (objectIdentifier(parts[0].value) !== ALTERNATIVE_NAME) continue;
    return children(readAt(parts.at(-1).value, 0)).map(({ tag, value }) =>
      tag === 0x87 ? addressOf(value) : new TextDecoder().decode(value));
  }
  return [];
}

/** Returns an IP address as people write it. */
function addressOf(bytes) {
  if (bytes.length === 4) return Array.from(bytes).join(".");
  const text = toHex(bytes).replace(/(.{4})(?=.)/g, "$1:");
  return bytes.length === 16 ? new URL(`//[${text}]`, location.href).hostname.slice(1, -1) : text;
}

/** Returns a certificate's parts in words; throws an error if it is none. */
export function readCertificate(der) {
  if (!der) throw new Error("This is no certificate in PEM.");
  const fields = children(children(readAt(der, 0))[0]);
  if (fields[0].tag === 0xa0) fields.shift();
  const [serial, , issuer, validity, subject] = fields;
  const [notBefore, notAfter] = children(validity).map(timeOf);
  return { serial: toHex(serial.value, ":"), issuer: nameOf(issuer), subject: nameOf(subject),
    notBefore, notAfter, names: alternativeNames(fields), der };
}

export async function fingerprint(bytes) {
  return toHex(await digest("SHA-256", bytes), ":");
}
