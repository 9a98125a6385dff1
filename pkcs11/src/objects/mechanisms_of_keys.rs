//! What a key allows, in the API's words and in PKCS#11's.

use cryptoki_sys::*;

use super::key_types::{Family, KeyType};
use super::Template;
use crate::mechanisms::{Scheme, MECHANISMS};
use crate::refusal::Answer;
use crate::rest::Key;

/// What a caller wants a new key to do: attributes like `CKA_SIGN`.
pub struct Usage(Vec<CK_ATTRIBUTE_TYPE>);

impl Usage {
    /// Reads a template. One that names no use wants what keys of the type do most: to sign.
    pub fn of(template: &Template) -> Answer<Self> {
        let mut wanted = Vec::new();
        for kind in [CKA_SIGN, CKA_DECRYPT, CKA_DERIVE, CKA_WRAP, CKA_UNWRAP] {
            if template.bool(kind)? == Some(true) {
                wanted.push(kind);
            }
        }
        Ok(Self(if wanted.is_empty() { vec![CKA_SIGN, CKA_DECRYPT] } else { wanted }))
    }

    fn has(&self, kind: CK_ATTRIBUTE_TYPE) -> bool {
        self.0.contains(&kind)
    }
}

const RSA_SIGN: [&str; 6] = [
    "RSA_Signature_PKCS1",
    "RSA_Signature_PSS_SHA1",
    "RSA_Signature_PSS_SHA224",
    "RSA_Signature_PSS_SHA256",
    "RSA_Signature_PSS_SHA384",
    "RSA_Signature_PSS_SHA512",
];
const RSA_DECRYPT: [&str; 6] = [
    "RSA_Decryption_PKCS1",
    "RSA_Decryption_OAEP_SHA1",
    "RSA_Decryption_OAEP_SHA224",
    "RSA_Decryption_OAEP_SHA256",
    "RSA_Decryption_OAEP_SHA384",
    "RSA_Decryption_OAEP_SHA512",
];
const AES_CRYPT: [&str; 5] = [
    "AES_Encryption_CBC",
    "AES_Decryption_CBC",
    "AES_Encryption_GCM",
    "AES_Decryption_GCM",
    "AES_CMAC",
];
/// What `NetHSM` has no word for: a server that refuses it gets a request without it.
const EXTENSIONS: [&str; 6] =
    ["AES_Encryption_GCM", "AES_Decryption_GCM", "AES_CMAC", "AES_Key", "ECDH", "HMAC"];
const HMAC: [&str; 3] = ["HMAC_SHA256", "HMAC_SHA384", "HMAC_SHA512"];

/// Returns the mechanisms of the API that a new key needs for its use.
pub fn api_mechanisms(kind: &KeyType, usage: &Usage, is_aes: bool) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut add = |wanted: bool, some: &[&'static str]| {
        if wanted {
            names.extend(some);
        }
    };
    match kind.family {
        Family::Rsa => {
            add(usage.has(CKA_SIGN), &RSA_SIGN);
            add(usage.has(CKA_DECRYPT) || usage.has(CKA_UNWRAP), &RSA_DECRYPT);
        }
        Family::Weierstrass { .. } => {
            add(usage.has(CKA_SIGN) || !usage.has(CKA_DERIVE), &["ECDSA_Signature"]);
            add(usage.has(CKA_DERIVE), &["ECDH_Derivation"]);
        }
        Family::Edwards { .. } => add(true, &["EdDSA_Signature"]),
        Family::Montgomery => add(true, &["ECDH_Derivation"]),
        Family::MlDsa { .. } => add(true, &["ML_DSA_Signature"]),
        Family::MlKem { .. } => add(true, &["ML_KEM_Decapsulation"]),
        Family::Secret if is_aes => {
            add(true, &AES_CRYPT);
            add(usage.has(CKA_WRAP), &["AES_KeyWrap", "AES_KeyWrap_Pad"]);
            add(usage.has(CKA_UNWRAP), &["AES_KeyUnwrap", "AES_KeyUnwrap_Pad"]);
        }
        Family::Secret => add(true, &HMAC),
    }
    names
}

/// Returns those of the API's mechanisms that `NetHSM` has too.
pub fn without_extensions<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let is_extension = |name: &&str| EXTENSIONS.iter().any(|known| name.starts_with(known));
    names.iter().filter(|name| !is_extension(name)).copied().collect()
}

/// What mechanisms that do not sign need of the API: the beginning of a name.
const NEEDS: &[(&str, &[CK_MECHANISM_TYPE])] = &[
    ("RSA_Decryption_PKCS1", &[CKM_RSA_PKCS]),
    ("RSA_Decryption_OAEP", &[CKM_RSA_PKCS_OAEP]),
    ("ECDH_Derivation", &[CKM_ECDH1_DERIVE]),
    ("ML_KEM_Decapsulation", &[CKM_ML_KEM]),
    ("AES_Encryption_CBC", &[CKM_AES_CBC, CKM_AES_CBC_PAD]),
    ("AES_Decryption_CBC", &[CKM_AES_CBC, CKM_AES_CBC_PAD]),
    ("AES_Encryption_GCM", &[CKM_AES_GCM]),
    ("AES_Decryption_GCM", &[CKM_AES_GCM]),
    ("AES_KeyWrap", &[CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP]),
    ("AES_KeyUnwrap", &[CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP]),
];

/// Returns the mechanisms of PKCS#11 that a key allows, raw and with a hash.
pub fn allowed_mechanisms(key: &Key) -> Vec<CK_MECHANISM_TYPE> {
    let signs = |scheme: Scheme| key.allows(&[&scheme.needs()]);
    let signing = MECHANISMS.iter().filter(|row| row.scheme.is_some_and(signs));
    let others = NEEDS.iter().filter(|(needed, _)| key.allows(&[needed]));
    let others = others.flat_map(|(_, kinds)| kinds.iter().copied());
    let mut kinds: Vec<_> = signing.map(|row| row.kind).chain(others).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}
