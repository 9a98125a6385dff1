//! The types of keys: a row for each, with the API's name and PKCS#11's.

use cryptoki_sys::*;

use crate::der::{element, tag, unsigned};
use crate::rest::Public;

/// An object identifier in DER: of a curve, or of an algorithm.
pub type Oid = &'static [u8];

/// What the rows have in common, by the kind of mathematics, with lengths in bytes.
///
/// A `Weierstrass` curve is for ECDSA and ECDH, and signs digests of one length. `Edwards` curves are
/// for `EdDSA`, `Montgomery` ones for ECDH. ML-DSA and ML-KEM have parameter sets. A `Secret` is plain
/// bytes, for AES and HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Rsa,
    Weierstrass { digest: usize, field: usize },
    Edwards { signature: usize },
    Montgomery,
    MlDsa { set: CK_ULONG, signature: usize },
    MlKem { set: CK_ULONG, ciphertext: usize },
    Secret,
}

/// A type of keys.
#[derive(Debug)]
pub struct KeyType {
    /// The name in the API.
    pub name: &'static str,
    /// The type in PKCS#11.
    pub kind: CK_KEY_TYPE,
    pub family: Family,
    pub oid: Oid,
}

/// The curve's names that some applications send in place of an object identifier (PKCS#11 3.0, 2.3.5).
const CURVE_NAMES: [(&[u8], &str); 4] = [
    (b"edwards25519", "Curve25519"),
    (b"edwards448", "Ed448"),
    (b"curve25519", "X25519"),
    (b"curve448", "X448"),
];
const PRINTABLE_STRING: u8 = 0x13;
/// How long an AES key may be.
pub const AES_BYTES: [usize; 3] = [16, 24, 32];
const OID_RSA: Oid = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const OID_EC: Oid = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
const NULL: &[u8] = b"\x05\x00";

const fn row(name: &'static str, kind: CK_KEY_TYPE, family: Family, oid: Oid) -> KeyType {
    KeyType { name, kind, family, oid }
}

const fn curve(name: &'static str, digest: usize, field: usize, oid: Oid) -> KeyType {
    row(name, CKK_EC, Family::Weierstrass { digest, field }, oid)
}

const fn edwards(name: &'static str, signature: usize, oid: Oid) -> KeyType {
    row(name, CKK_EC_EDWARDS, Family::Edwards { signature }, oid)
}

const fn ml_dsa(name: &'static str, set: CK_ULONG, signature: usize, oid: Oid) -> KeyType {
    row(name, CKK_ML_DSA, Family::MlDsa { set, signature }, oid)
}

const fn ml_kem(name: &'static str, set: CK_ULONG, ciphertext: usize, oid: Oid) -> KeyType {
    row(name, CKK_ML_KEM, Family::MlKem { set, ciphertext }, oid)
}

/// Every type that is known here.
pub static KEY_TYPES: [KeyType; 19] = [
    row("RSA", CKK_RSA, Family::Rsa, OID_RSA),
    curve("EC_P224", 28, 28, b"\x06\x05\x2b\x81\x04\x00\x21"),
    curve("EC_P256", 32, 32, b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"),
    curve("EC_P384", 48, 48, b"\x06\x05\x2b\x81\x04\x00\x22"),
    curve("EC_P521", 64, 66, b"\x06\x05\x2b\x81\x04\x00\x23"),
    curve("EC_P256K1", 32, 32, b"\x06\x05\x2b\x81\x04\x00\x0a"),
    curve("BrainpoolP256", 32, 32, b"\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x07"),
    curve("BrainpoolP384", 48, 48, b"\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x0b"),
    curve("BrainpoolP512", 64, 64, b"\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x0d"),
    edwards("Curve25519", 64, b"\x06\x03\x2b\x65\x70"),
    edwards("Ed448", 114, b"\x06\x03\x2b\x65\x71"),
    row("X25519", CKK_EC_MONTGOMERY, Family::Montgomery, b"\x06\x03\x2b\x65\x6e"),
    row("X448", CKK_EC_MONTGOMERY, Family::Montgomery, b"\x06\x03\x2b\x65\x6f"),
    ml_dsa("ML_DSA_44", CKP_ML_DSA_44, 2420, b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11"),
    ml_dsa("ML_DSA_65", CKP_ML_DSA_65, 3309, b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12"),
    ml_dsa("ML_DSA_87", CKP_ML_DSA_87, 4627, b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13"),
    ml_kem("ML_KEM_768", CKP_ML_KEM_768, 1088, b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x02"),
    ml_kem("ML_KEM_1024", CKP_ML_KEM_1024, 1568, b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x03"),
    row("Generic", CKK_GENERIC_SECRET, Family::Secret, &[]),
];

/// The row of RSA keys.
pub static RSA: &KeyType = &KEY_TYPES[0];
/// The row of secret keys.
pub static GENERIC: &KeyType = &KEY_TYPES[KEY_TYPES.len() - 1];

/// Returns the row with this name in the API.
pub fn key_type(name: &str) -> Option<&'static KeyType> {
    KEY_TYPES.iter().find(|row| row.name == name)
}

/// Returns the row for `CKA_EC_PARAMS`: an object identifier, or the curve's name.
pub fn curve_of(parameters: &[u8]) -> Option<&'static KeyType> {
    let by_name = |name: &[u8]| CURVE_NAMES.iter().find(|(text, _)| *text == name);
    if let Some((name, _)) = crate::der::take(PRINTABLE_STRING, parameters) {
        return by_name(name).and_then(|(_, name)| key_type(name));
    }
    KEY_TYPES.iter().find(|row| row.has_curve() && row.oid == parameters)
}

impl KeyType {
    /// Says whether keys of this type have no public half.
    pub fn is_secret(&self) -> bool {
        self.family == Family::Secret
    }

    /// Says whether `CKA_EC_PARAMS` names what the key is.
    pub fn has_curve(&self) -> bool {
        matches!(self.kind, CKK_EC | CKK_EC_EDWARDS | CKK_EC_MONTGOMERY)
    }

    /// Returns the number of `CKA_PARAMETER_SET`.
    pub fn parameter_set(&self) -> Option<CK_ULONG> {
        match self.family {
            Family::MlDsa { set, .. } | Family::MlKem { set, .. } => Some(set),
            _ => None,
        }
    }

    /// Returns a public key as `SubjectPublicKeyInfo` (RFC 5280, 4.1).
    pub fn public_key_info(&self, public: &Public) -> Option<Vec<u8>> {
        let (algorithm, bits) = match public {
            Public::Rsa(modulus, exponent) => {
                let numbers = element(tag::SEQUENCE, &[&unsigned(modulus), &unsigned(exponent)]);
                (element(tag::SEQUENCE, &[OID_RSA, NULL]), numbers)
            }
            Public::Data(data) if matches!(self.family, Family::Weierstrass { .. }) => {
                (element(tag::SEQUENCE, &[OID_EC, self.oid]), data.clone())
            }
            Public::Data(data) => (element(tag::SEQUENCE, &[self.oid]), data.clone()),
            Public::None => return None,
        };
        let bits = element(tag::BIT_STRING, &[&[0], &bits]);
        Some(element(tag::SEQUENCE, &[&algorithm, &bits]))
    }
}

#[cfg(test)]
#[path = "../../tests/unit/objects_key_types.rs"]
mod tests;
