// Bytes as texts and files. Nothing here talks to a server.

export function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192)
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** Throws an error that names `what` if the text is not base64. */
export function fromBase64(text, what = "This text") {
  try {
    return Uint8Array.from(atob(text.replace(/\s+/g, "")), (letter) => letter.charCodeAt(0));
  } catch {
    throw new Error(`${what} is not base64.`);
  }
}

export function toHex(bytes, separator = "") {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(separator);
}

export const toUtf8 = (text) => new TextEncoder().encode(text);

/** Digests by WebCrypto; `name` is "SHA-1", "SHA-256", "SHA-384" or "SHA-512". */
export async function digest(name, bytes) {
  return new Uint8Array(await crypto.subtle.digest(name, bytes));
}

/** Returns the DER of the first block of a PEM with this label, or null. */
export function fromPem(text, label = "[A-Z0-9 ]+") {
  const found = new RegExp(`-----BEGIN (${label})-----([^-]*)-----END \\1-----`).exec(text);
  return found ? fromBase64(found[2], "The PEM") : null;
}

export function toPem(der, label) {
  const lines = toBase64(der).replace(/(.{64})/g, "$1\n").trimEnd();
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

export async function readFile(file) {
  if (!file) throw new Error("Choose a file.");
  return new Uint8Array(await file.arrayBuffer());
}

/** Has the browser save `content`, bytes or a text or a Blob, under a name. */
export function save(name, content) {
  const url = URL.createObjectURL(new Blob([content]));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
