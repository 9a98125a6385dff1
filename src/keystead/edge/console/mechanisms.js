// What each type of key can be made for, in words, and how a file is prepared for signing.

import { digest } from "/console/bytes.js";

const RSA_SIGNATURES = ["RSA_Signature_PKCS1", ...["SHA256", "SHA384", "SHA512", "SHA224", "SHA1", "MD5"]
  .map((hash) => `RSA_Signature_PSS_${hash}`)];
const RSA_DECRYPTIONS = ["RSA_Decryption_RAW", "RSA_Decryption_PKCS1",
  ...["SHA256", "SHA384", "SHA512", "SHA224", "SHA1", "MD5"].map((hash) => `RSA_Decryption_OAEP_${hash}`)];
const CURVE = ["ECDSA_Signature", "ECDH_Derivation"];

/** The mechanisms of each type, the usual first. */
export const TYPES = {
  EC_P256: CURVE, EC_P384: CURVE, EC_P521: CURVE,
  EC_P256K1: [...CURVE, "BIP340_Signature"],
  BrainpoolP256: CURVE, BrainpoolP384: CURVE, BrainpoolP512: CURVE,
  RSA: [...RSA_SIGNATURES, ...RSA_DECRYPTIONS],
  Curve25519: ["EdDSA_Signature"], Ed448: ["EdDSA_Signature"],
  ML_DSA_44: ["ML_DSA_Signature"], ML_DSA_65: ["ML_DSA_Signature"], ML_DSA_87: ["ML_DSA_Signature"],
  ML_KEM_768: ["ML_KEM_Decapsulation"], ML_KEM_1024: ["ML_KEM_Decapsulation"],
  X25519: ["ECDH_Derivation"], X448: ["ECDH_Derivation"],
  BIP32: ["ECDSA_Signature", "BIP340_Signature"],
  Generic: ["AES_Encryption_GCM", "AES_Decryption_GCM", "AES_Encryption_CBC", "AES_Decryption_CBC",
    "AES_KeyWrap", "AES_KeyUnwrap", "AES_KeyWrap_Pad", "AES_KeyUnwrap_Pad", "AES_CMAC",
    "HMAC_SHA256", "HMAC_SHA384", "HMAC_SHA512", "HKDF_SHA256", "HKDF_SHA384", "HKDF_SHA512"],
};

/** Types whose keys have a length in bits, with the usual one. */
export const LENGTHS = { RSA: 3072, Generic: 256 };

const EXPLAINED = [
  [/^RSA_Signature_PKCS1$/, "signs as PKCS #1 v1.5 does: what most older software verifies"],
  [/^RSA_Signature_PSS_(.*)$/, "signs by PSS, the newer padding of RSA"],
  [/^RSA_Decryption_RAW$/, "plain RSA without padding: only for software that pads by itself"],
  [/^RSA_Decryption_PKCS1$/, "decrypts by the older padding; its errors can tell an attacker much"],
  [/^RSA_Decryption_OAEP/, "decrypts by OAEP, the newer padding"],
  [/^ECDSA_Signature$/, "signs digests by ECDSA: TLS, certificates, DNSSEC"],
  [/^BIP340_Signature$/, "Schnorr signatures for Bitcoin's Taproot"],
  [/^EdDSA_Signature$/, "signs messages by Ed25519 or Ed448: SSH, certificates, packages"],
  [/^ML_DSA_Signature$/, "signs so that a quantum computer cannot forge it (FIPS 204)"],
  [/^ML_KEM_Decapsulation$/, "agrees on secrets that a quantum computer cannot find (FIPS 203)"],
  [/^ECDH_Derivation$/, "agrees on a secret with another's public key"],
  [/^AES_(En|De)cryption_GCM$/, "encrypts and proves that nothing was changed"],
  [/^AES_(En|De)cryption_CBC$/, "encrypts whole blocks, without proof that nothing was changed"],
  [/^AES_Key/, "wraps other keys for storage or transport"],
  [/^AES_CMAC$|^HMAC/, "proves who made a message, to anyone with the same key"],
  [/^HKDF/, "derives further keys from this one"],
];

export function explained(mechanism) {
  return EXPLAINED.find(([pattern]) => pattern.test(mechanism))?.[1] ?? "";
}

const MODES = {
  RSA_Signature_PKCS1: ["PKCS1"], ECDSA_Signature: ["ECDSA"], EdDSA_Signature: ["EdDSA"],
  BIP340_Signature: ["BIP340"], ML_DSA_Signature: ["ML_DSA"], AES_CMAC: ["AES_CMAC"],
  HMAC_SHA256: ["HMAC_SHA256"], HMAC_SHA384: ["HMAC_SHA384"], HMAC_SHA512: ["HMAC_SHA512"],
};

/** Returns the sign modes of a key's mechanisms. */
export function signModes(mechanisms) {
  return mechanisms.flatMap((name) =>
    name.startsWith("RSA_Signature_PSS_") ? [name.slice("RSA_Signature_".length)] : MODES[name] ?? []);
}

const hasSignature = (mechanisms) => mechanisms.some((name) => name.includes("_Signature"));

/** Whether a key can sign a certificate request; an administrator's may be one that signs nothing else. */
export function signsRequests({ type, mechanisms }, isAdmin) {
  return type !== "BIP32" && hasSignature(isAdmin ? TYPES[type] ?? [] : mechanisms);
}

const HASHES = { SHA1: "SHA-1", SHA256: "SHA-256", SHA384: "SHA-384", SHA512: "SHA-512" };
const CURVE_HASHES = { EC_P384: "SHA-384", BrainpoolP384: "SHA-384", EC_P521: "SHA-512",
  BrainpoolP512: "SHA-512" };
/** DigestInfo (RFC 8017, 9.2) up to the digest of SHA-256. */
const DIGEST_INFO_SHA256 = [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
  0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/** Returns what to send as `message` for a file, and how it was made of it. */
export async function prepared(mode, type, bytes) {
  if (mode === "PKCS1") {
    const hash = await digest("SHA-256", bytes);
    return { message: Uint8Array.from([...DIGEST_INFO_SHA256, ...hash]), by: "SHA-256 in a DigestInfo" };
  }
  if (mode.startsWith("PSS_")) {
    const name = HASHES[mode.slice(4)];
    if (!name) throw new Error(`A browser cannot hash by ${mode.slice(4)}.`);
    return { message: await digest(name, bytes), by: name };
  }
  if (mode === "ECDSA" || mode === "BIP340") {
    const name = CURVE_HASHES[type] ?? "SHA-256";
    return { message: await digest(name, bytes), by: name };
  }
  return { message: bytes, by: "the file itself" };
}
