// Verifies an exported journal in the browser; docs/journal.md has the format.

import { digest, fromBase64, fromPem, toHex, toUtf8 } from "/console/bytes.js";

const LINE = /^(\{"n":([1-9][0-9]*),.*),"chain":"([0-9a-f]{64})"\}$/;
const ANCHOR = /^\{"anchor":([1-9][0-9]*),"chain":"([0-9a-f]{64})"\}$/;
/** A SubjectPublicKeyInfo (RFC 8410) ends with the 32 bytes of the key. */
const KEY_BYTES = 32;

const fromHex = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));

function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Returns { entries, signed, fault }: how many, the last one a signature covers, what is wrong. */
export async function checkJournal(text, keyPem) {
  const der = fromPem(keyPem, "PUBLIC KEY");
  const key = await crypto.subtle.importKey("spki", der, "Ed25519", false, ["verify"]);
  const lines = text.split("\n").filter(Boolean);
  const origin = joined(toUtf8("keystead journal 1\n"), der.subarray(-KEY_BYTES));
  let [next, chain] = [1, await digest("SHA-256", origin)];
  const anchor = ANCHOR.exec(lines[0] ?? "");
  if (anchor) {
    lines.shift();
    [next, chain] = [Number(anchor[1]) + 1, fromHex(anchor[2])];
  }
  let signed = 0;
  for (const line of lines) {
    const found = LINE.exec(line);
    if (!found || Number(found[2]) !== next) return { entries: lines.length, signed, fault: next };
    const following = await digest("SHA-256", joined(chain, toUtf8(found[1])));
    if (toHex(following) !== found[3]) return { entries: lines.length, signed, fault: next };
    if (line.includes('"action":"checkpoint"')) {
      if (!await isSigned(found[1], chain, key)) return { entries: lines.length, signed, fault: next };
      signed = next;
    }
    [next, chain] = [next + 1, following];
  }
  return { entries: lines.length, signed, fault: 0 };
}

/** Whether a checkpoint has the one form that the format allows, and a valid signature. */
async function isSigned(body, chain, key) {
  const { n, time, action, prev, signature } = JSON.parse(`${body}}`);
  if (`${body}}` !== JSON.stringify({ n, time, action, prev, signature })) return false;
  if (prev !== toHex(chain)) return false;
  const message = toUtf8(`keystead journal checkpoint 1\n${n}\n${time}\n${prev}\n`);
  return crypto.subtle.verify("Ed25519", key, fromBase64(signature), message);
}
