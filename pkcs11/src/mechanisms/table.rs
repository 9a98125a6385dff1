//! The table of mechanisms: what each can do, for which lengths of keys, and how it signs.

use cryptoki_sys::*;

use super::Hash;

/// A mechanism that the module has.
pub struct Row {
    /// `CKM_…`
    pub kind: CK_MECHANISM_TYPE,
    /// The shortest key.
    pub min: CK_ULONG,
    /// The longest key.
    pub max: CK_ULONG,
    /// `CKF_…`
    pub flags: CK_FLAGS,
}

const HARDWARE: CK_FLAGS = CKF_HW;
const SIGN: CK_FLAGS = HARDWARE | CKF_SIGN | CKF_VERIFY;
const CRYPT: CK_FLAGS = HARDWARE | CKF_ENCRYPT | CKF_DECRYPT;
const WRAP: CK_FLAGS = CKF_WRAP | CKF_UNWRAP;
const MESSAGES: CK_FLAGS = CKF_MESSAGE_ENCRYPT | CKF_MESSAGE_DECRYPT;
const PAIR: CK_FLAGS = HARDWARE | CKF_GENERATE_KEY_PAIR;
const CURVE: CK_FLAGS = CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;

const fn row(kind: CK_MECHANISM_TYPE, min: CK_ULONG, max: CK_ULONG, flags: CK_FLAGS) -> Row {
    Row { kind, min, max, flags }
}

const fn rsa(kind: CK_MECHANISM_TYPE, flags: CK_FLAGS) -> Row {
    row(kind, 1024, 8192, flags)
}

const fn ec(kind: CK_MECHANISM_TYPE, flags: CK_FLAGS) -> Row {
    row(kind, 224, 521, flags | CURVE)
}

const fn digest(kind: CK_MECHANISM_TYPE) -> Row {
    row(kind, 0, 0, CKF_DIGEST)
}

/// Every mechanism, in the order in which applications get them.
pub static MECHANISMS: &[Row] = &[
    rsa(CKM_RSA_PKCS_KEY_PAIR_GEN, PAIR),
    rsa(CKM_RSA_PKCS, SIGN | CRYPT | WRAP),
    rsa(CKM_RSA_PKCS_OAEP, CRYPT | WRAP),
    rsa(CKM_RSA_PKCS_PSS, SIGN),
    rsa(CKM_SHA1_RSA_PKCS, SIGN),
    rsa(CKM_SHA224_RSA_PKCS, SIGN),
    rsa(CKM_SHA256_RSA_PKCS, SIGN),
    rsa(CKM_SHA384_RSA_PKCS, SIGN),
    rsa(CKM_SHA512_RSA_PKCS, SIGN),
    rsa(CKM_SHA1_RSA_PKCS_PSS, SIGN),
    rsa(CKM_SHA224_RSA_PKCS_PSS, SIGN),
    rsa(CKM_SHA256_RSA_PKCS_PSS, SIGN),
    rsa(CKM_SHA384_RSA_PKCS_PSS, SIGN),
    rsa(CKM_SHA512_RSA_PKCS_PSS, SIGN),
    ec(CKM_EC_KEY_PAIR_GEN, PAIR),
    ec(CKM_ECDSA, SIGN),
    ec(CKM_ECDSA_SHA1, SIGN),
    ec(CKM_ECDSA_SHA224, SIGN),
    ec(CKM_ECDSA_SHA256, SIGN),
    ec(CKM_ECDSA_SHA384, SIGN),
    ec(CKM_ECDSA_SHA512, SIGN),
    ec(CKM_ECDH1_DERIVE, HARDWARE | CKF_DERIVE),
    row(CKM_EC_EDWARDS_KEY_PAIR_GEN, 255, 448, PAIR | CURVE),
    row(CKM_EC_MONTGOMERY_KEY_PAIR_GEN, 255, 448, PAIR | CURVE),
    // Some callers generate with it (GnuTLS), so it does both.
    row(CKM_EDDSA, 255, 448, SIGN | CKF_GENERATE_KEY_PAIR | CURVE),
    row(CKM_ML_DSA_KEY_PAIR_GEN, 1312, 2592, PAIR),
    row(CKM_ML_DSA, 1312, 2592, HARDWARE | CKF_SIGN),
    row(CKM_ML_KEM_KEY_PAIR_GEN, 1184, 1568, PAIR),
    row(CKM_ML_KEM, 1184, 1568, HARDWARE | CKF_ENCAPSULATE | CKF_DECAPSULATE),
    row(CKM_GENERIC_SECRET_KEY_GEN, 128, 8192, HARDWARE | CKF_GENERATE),
    row(CKM_AES_KEY_GEN, 16, 32, HARDWARE | CKF_GENERATE),
    row(CKM_AES_CBC, 16, 32, CRYPT),
    row(CKM_AES_CBC_PAD, 16, 32, CRYPT),
    row(CKM_AES_GCM, 16, 32, HARDWARE | CKF_DECRYPT | MESSAGES),
    row(CKM_AES_KEY_WRAP, 16, 32, CRYPT | WRAP),
    row(CKM_AES_KEY_WRAP_KWP, 16, 32, CRYPT | WRAP),
    row(CKM_AES_CMAC, 16, 32, SIGN),
    row(CKM_SHA256_HMAC, 128, 8192, SIGN),
    row(CKM_SHA384_HMAC, 128, 8192, SIGN),
    row(CKM_SHA512_HMAC, 128, 8192, SIGN),
    digest(CKM_SHA_1),
    digest(CKM_SHA224),
    digest(CKM_SHA256),
    digest(CKM_SHA384),
    digest(CKM_SHA512),
];

/// Returns the row of a mechanism.
pub fn find(kind: CK_MECHANISM_TYPE) -> Option<&'static Row> {
    MECHANISMS.iter().find(|row| row.kind == kind)
}

/// How a mechanism signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RSA with PKCS#1 v1.5; with a hash, of the `DigestInfo` that is made here.
    Pkcs1(Option<Hash>),
    /// RSA-PSS; with a hash, of a message that is hashed here.
    Pss(Option<Hash>),
    /// ECDSA; with a hash, of a message that is hashed here.
    Ecdsa(Option<Hash>),
    /// `EdDSA`.
    Eddsa,
    /// ML-DSA.
    MlDsa,
    /// AES-CMAC.
    Cmac,
    /// HMAC.
    Hmac(Hash),
}

/// Returns how a mechanism signs, if it does.
pub fn scheme(kind: CK_MECHANISM_TYPE) -> Option<Scheme> {
    use Hash::{Sha1, Sha224, Sha256, Sha384, Sha512};
    Some(match kind {
        CKM_RSA_PKCS => Scheme::Pkcs1(None),
        CKM_SHA1_RSA_PKCS => Scheme::Pkcs1(Some(Sha1)),
        CKM_SHA224_RSA_PKCS => Scheme::Pkcs1(Some(Sha224)),
        CKM_SHA256_RSA_PKCS => Scheme::Pkcs1(Some(Sha256)),
        CKM_SHA384_RSA_PKCS => Scheme::Pkcs1(Some(Sha384)),
        CKM_SHA512_RSA_PKCS => Scheme::Pkcs1(Some(Sha512)),
        CKM_RSA_PKCS_PSS => Scheme::Pss(None),
        CKM_SHA1_RSA_PKCS_PSS => Scheme::Pss(Some(Sha1)),
        CKM_SHA224_RSA_PKCS_PSS => Scheme::Pss(Some(Sha224)),
        CKM_SHA256_RSA_PKCS_PSS => Scheme::Pss(Some(Sha256)),
        CKM_SHA384_RSA_PKCS_PSS => Scheme::Pss(Some(Sha384)),
        CKM_SHA512_RSA_PKCS_PSS => Scheme::Pss(Some(Sha512)),
        CKM_ECDSA => Scheme::Ecdsa(None),
        CKM_ECDSA_SHA1 => Scheme::Ecdsa(Some(Sha1)),
        CKM_ECDSA_SHA224 => Scheme::Ecdsa(Some(Sha224)),
        CKM_ECDSA_SHA256 => Scheme::Ecdsa(Some(Sha256)),
        CKM_ECDSA_SHA384 => Scheme::Ecdsa(Some(Sha384)),
        CKM_ECDSA_SHA512 => Scheme::Ecdsa(Some(Sha512)),
        CKM_EDDSA => Scheme::Eddsa,
        CKM_ML_DSA => Scheme::MlDsa,
        CKM_AES_CMAC => Scheme::Cmac,
        CKM_SHA256_HMAC => Scheme::Hmac(Sha256),
        CKM_SHA384_HMAC => Scheme::Hmac(Sha384),
        CKM_SHA512_HMAC => Scheme::Hmac(Sha512),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mechanism_that_signs_has_a_scheme() {
        for row in MECHANISMS {
            assert_eq!(row.flags & CKF_SIGN != 0, scheme(row.kind).is_some(), "{:#x}", row.kind);
        }
    }
}
