// Verifies an exported journal in the browser, line by line; docs/journal.md has the format.

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

/**
 * Returns { take, found }: `take(line)` checks the next line of an export, and `found` has `entries`,
 * how many lines there were, `signed`, the last number that a signature covers, and `fault`, the
 * number of the first entry that is not what the chain says, or 0.
 */
export async function journalCheck(keyPem) {
  const der = fromPem(keyPem, "PUBLIC KEY");
  const key = await crypto.subtle.importKey("spki", der, "Ed25519", false, ["verify"]);
  const origin = joined(toUtf8("keystead journal 1\n"), der.subarray(-KEY_BYTES));
  const found = { entries: 0, signed: 0, fault: 0 };
  let [next, chain, isFirst] = [1, await digest("SHA-256", origin), true];
  const take = async (line) => {
    const anchor = isFirst && ANCHOR.exec(line);
    isFirst = false;
    if (anchor) {
      [next, chain] = [Number(anchor[1]) + 1, fromHex(anchor[2])];
      return;
    }
    found.entries += 1;
    if (found.fault) return;
    const following = await followed(line, next, chain, key);
    if (!following) found.fault = next;
    else [next, chain, found.signed] = [next + 1, following.chain, following.isSigned ? next : found.signed];
  };
  return { take, found };
}

/** Returns the chain after a line, and whether the line signs it; null if the line does not follow. */
async function followed(line, number, chain, key) {
  const parts = LINE.exec(line);
  if (!parts || Number(parts[2]) !== number) return null;
  const following = await digest("SHA-256", joined(chain, toUtf8(parts[1])));
  if (toHex(following) !== parts[3]) return null;
  const isCheckpoint = line.includes('"action":"checkpoint"');
  if (isCheckpoint && !await isSigned(parts[1], chain, key)) return null;
  return { chain: following, isSigned: isCheckpoint };
}

/** Whether a checkpoint has the one form that the format allows, and a valid signature. */
async function isSigned(body, chain, key) {
  const { n, time, action, prev, signature } = JSON.parse(`${body}}`);
  if (`${body}}` !== JSON.stringify({ n, time, action, prev, signature })) return false;
  if (prev !== toHex(chain)) return false;
  const message = toUtf8(`keystead journal checkpoint 1\n${n}\n${time}\n${prev}\n`);
  return crypto.subtle.verify("Ed25519", key, fromBase64(signature), message);
}
