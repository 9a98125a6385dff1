//! What a key allows, in the API's words and in PKCS#11's.

use cryptoki_sys::*;

use super::key_types::{Family, KeyType};
use super::Template;
use crate::refusal::Answer;
use crate::rest::Key;

/// What a caller wants a new key to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    sign: bool,
    decrypt: bool,
    derive: bool,
}

impl Usage {
    /// Reads a template. One that names no use wants what keys of the type do most: to sign.
    pub fn of(template: &Template) -> Answer<Self> {
        let is_set = |kind| template.bool(kind).map(|value| value == Some(true));
        let usage = Self {
            sign: is_set(CKA_SIGN)?,
            decrypt: is_set(CKA_DECRYPT)? || is_set(CKA_UNWRAP)?,
            derive: is_set(CKA_DERIVE)?,
        };
        if usage == Self::default() {
            return Ok(Self { sign: true, decrypt: true, derive: false });
        }
        Ok(usage)
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
const AES_CRYPT: [&str; 2] = ["AES_Encryption_CBC", "AES_Decryption_CBC"];
const HMAC: [&str; 3] = ["HMAC_SHA256", "HMAC_SHA384", "HMAC_SHA512"];

/// Returns the mechanisms of the API that a new key needs for its use.
pub fn api_mechanisms(kind: &KeyType, usage: Usage, is_aes: bool) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut add = |wanted: bool, some: &[&'static str]| {
        if wanted {
            names.extend(some);
        }
    };
    match kind.family {
        Family::Rsa => {
            add(usage.sign, &RSA_SIGN);
            add(usage.decrypt, &RSA_DECRYPT);
        }
        Family::Weierstrass { .. } => {
            add(usage.sign || !usage.derive, &["ECDSA_Signature"]);
            add(usage.derive, &["ECDH_Derivation"]);
        }
        Family::Edwards { .. } => add(true, &["EdDSA_Signature"]),
        Family::Montgomery => add(true, &["ECDH_Derivation"]),
        Family::MlDsa { .. } => add(true, &["ML_DSA_Signature"]),
        Family::MlKem { .. } => add(true, &["ML_KEM_Decapsulation"]),
        Family::Secret if is_aes => add(true, &AES_CRYPT),
        Family::Secret => add(true, &HMAC),
    }
    names
}

/// Mechanisms of PKCS#11, by what of the API each needs: the beginning of a name.
const NEEDS: &[(&str, &[CK_MECHANISM_TYPE])] = &[
    ("RSA_Decryption_PKCS1", &[CKM_RSA_PKCS]),
    ("RSA_Decryption_OAEP", &[CKM_RSA_PKCS_OAEP]),
    (
        "RSA_Signature_PKCS1",
        &[
            CKM_RSA_PKCS,
            CKM_SHA1_RSA_PKCS,
            CKM_SHA224_RSA_PKCS,
            CKM_SHA256_RSA_PKCS,
            CKM_SHA384_RSA_PKCS,
            CKM_SHA512_RSA_PKCS,
        ],
    ),
    ("RSA_Signature_PSS_SHA", &[CKM_RSA_PKCS_PSS]),
    ("RSA_Signature_PSS_SHA1", &[CKM_SHA1_RSA_PKCS_PSS]),
    ("RSA_Signature_PSS_SHA224", &[CKM_SHA224_RSA_PKCS_PSS]),
    ("RSA_Signature_PSS_SHA256", &[CKM_SHA256_RSA_PKCS_PSS]),
    ("RSA_Signature_PSS_SHA384", &[CKM_SHA384_RSA_PKCS_PSS]),
    ("RSA_Signature_PSS_SHA512", &[CKM_SHA512_RSA_PKCS_PSS]),
    (
        "ECDSA_Signature",
        &[
            CKM_ECDSA,
            CKM_ECDSA_SHA1,
            CKM_ECDSA_SHA224,
            CKM_ECDSA_SHA256,
            CKM_ECDSA_SHA384,
            CKM_ECDSA_SHA512,
        ],
    ),
    ("ECDH_Derivation", &[CKM_ECDH1_DERIVE]),
    ("EdDSA_Signature", &[CKM_EDDSA]),
    ("ML_DSA_Signature", &[CKM_ML_DSA]),
    ("AES_Encryption_CBC", &[CKM_AES_CBC, CKM_AES_CBC_PAD]),
    ("AES_Decryption_CBC", &[CKM_AES_CBC, CKM_AES_CBC_PAD]),
    ("AES_Decryption_GCM", &[CKM_AES_GCM]),
    ("AES_CMAC", &[CKM_AES_CMAC]),
    ("HMAC_SHA256", &[CKM_SHA256_HMAC]),
    ("HMAC_SHA384", &[CKM_SHA384_HMAC]),
    ("HMAC_SHA512", &[CKM_SHA512_HMAC]),
];

/// Returns the mechanisms of PKCS#11 that a key allows, raw and with a hash.
pub fn allowed_mechanisms(key: &Key) -> Vec<CK_MECHANISM_TYPE> {
    let allowed = NEEDS.iter().filter(|(needed, _)| key.allows(&[needed]));
    let mut kinds: Vec<_> = allowed.flat_map(|(_, kinds)| kinds.iter().copied()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}
