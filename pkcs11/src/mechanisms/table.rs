//! The table of mechanisms: what each can do, for which lengths of keys, and how it signs.

use std::borrow::Cow;

use cryptoki_sys::*;

use super::Hash::{self, Sha1, Sha224, Sha256, Sha384, Sha512};
use Scheme::{Cmac, Ecdsa, Eddsa, Hmac, MlDsa, Pkcs1, Pss};

/// A mechanism that the module has.
#[derive(Clone, Copy)]
pub struct Row {
    pub kind: CK_MECHANISM_TYPE,
    pub min: CK_ULONG,
    pub max: CK_ULONG,
    pub flags: CK_FLAGS,
    /// How it signs, if it does.
    pub scheme: Option<Scheme>,
}

const HARDWARE: CK_FLAGS = CKF_HW;
const SIGN: CK_FLAGS = HARDWARE | CKF_SIGN | CKF_VERIFY;
const CRYPT: CK_FLAGS = HARDWARE | CKF_ENCRYPT | CKF_DECRYPT;
const WRAP: CK_FLAGS = CKF_WRAP | CKF_UNWRAP;
const MESSAGES: CK_FLAGS = CKF_MESSAGE_ENCRYPT | CKF_MESSAGE_DECRYPT;
const PAIR: CK_FLAGS = HARDWARE | CKF_GENERATE_KEY_PAIR;
const CURVE: CK_FLAGS = CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;

const fn row(kind: CK_MECHANISM_TYPE, min: CK_ULONG, max: CK_ULONG, flags: CK_FLAGS) -> Row {
    Row { kind, min, max, flags, scheme: None }
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

/// A row of a mechanism that signs, beside what else it does.
const fn signs(scheme: Scheme, row: Row) -> Row {
    Row { flags: row.flags | CKF_SIGN, scheme: Some(scheme), ..row }
}

/// Every mechanism, in the order in which applications get them.
pub static MECHANISMS: &[Row] = &[
    rsa(CKM_RSA_PKCS_KEY_PAIR_GEN, PAIR),
    signs(Pkcs1(None), rsa(CKM_RSA_PKCS, SIGN | CRYPT | WRAP)),
    rsa(CKM_RSA_PKCS_OAEP, CRYPT | WRAP),
    signs(Pss(None), rsa(CKM_RSA_PKCS_PSS, SIGN)),
    signs(Pkcs1(Some(Sha1)), rsa(CKM_SHA1_RSA_PKCS, SIGN)),
    signs(Pkcs1(Some(Sha224)), rsa(CKM_SHA224_RSA_PKCS, SIGN)),
    signs(Pkcs1(Some(Sha256)), rsa(CKM_SHA256_RSA_PKCS, SIGN)),
    signs(Pkcs1(Some(Sha384)), rsa(CKM_SHA384_RSA_PKCS, SIGN)),
    signs(Pkcs1(Some(Sha512)), rsa(CKM_SHA512_RSA_PKCS, SIGN)),
    signs(Pss(Some(Sha1)), rsa(CKM_SHA1_RSA_PKCS_PSS, SIGN)),
    signs(Pss(Some(Sha224)), rsa(CKM_SHA224_RSA_PKCS_PSS, SIGN)),
    signs(Pss(Some(Sha256)), rsa(CKM_SHA256_RSA_PKCS_PSS, SIGN)),
    signs(Pss(Some(Sha384)), rsa(CKM_SHA384_RSA_PKCS_PSS, SIGN)),
    signs(Pss(Some(Sha512)), rsa(CKM_SHA512_RSA_PKCS_PSS, SIGN)),
    ec(CKM_EC_KEY_PAIR_GEN, PAIR),
    signs(Ecdsa(None), ec(CKM_ECDSA, SIGN)),
    signs(Ecdsa(Some(Sha1)), ec(CKM_ECDSA_SHA1, SIGN)),
    signs(Ecdsa(Some(Sha224)), ec(CKM_ECDSA_SHA224, SIGN)),
    signs(Ecdsa(Some(Sha256)), ec(CKM_ECDSA_SHA256, SIGN)),
    signs(Ecdsa(Some(Sha384)), ec(CKM_ECDSA_SHA384, SIGN)),
    signs(Ecdsa(Some(Sha512)), ec(CKM_ECDSA_SHA512, SIGN)),
    ec(CKM_ECDH1_DERIVE, HARDWARE | CKF_DERIVE),
    row(CKM_EC_EDWARDS_KEY_PAIR_GEN, 255, 448, PAIR | CURVE),
    row(CKM_EC_MONTGOMERY_KEY_PAIR_GEN, 255, 448, PAIR | CURVE),
    // Some callers generate with it (GnuTLS), so it does both.
    signs(Eddsa, row(CKM_EDDSA, 255, 448, SIGN | CKF_GENERATE_KEY_PAIR | CURVE)),
    row(CKM_ML_DSA_KEY_PAIR_GEN, 1312, 2592, PAIR),
    signs(MlDsa, row(CKM_ML_DSA, 1312, 2592, HARDWARE)),
    row(CKM_ML_KEM_KEY_PAIR_GEN, 1184, 1568, PAIR),
    row(CKM_ML_KEM, 1184, 1568, HARDWARE | CKF_ENCAPSULATE | CKF_DECAPSULATE),
    row(CKM_GENERIC_SECRET_KEY_GEN, 128, 8192, HARDWARE | CKF_GENERATE),
    row(CKM_AES_KEY_GEN, 16, 32, HARDWARE | CKF_GENERATE),
    row(CKM_AES_CBC, 16, 32, CRYPT),
    row(CKM_AES_CBC_PAD, 16, 32, CRYPT),
    row(CKM_AES_GCM, 16, 32, HARDWARE | CKF_DECRYPT | MESSAGES),
    row(CKM_AES_KEY_WRAP, 16, 32, CRYPT | WRAP),
    row(CKM_AES_KEY_WRAP_KWP, 16, 32, CRYPT | WRAP),
    signs(Cmac, row(CKM_AES_CMAC, 16, 32, SIGN)),
    signs(Hmac(Sha256), row(CKM_SHA256_HMAC, 128, 8192, SIGN)),
    signs(Hmac(Sha384), row(CKM_SHA384_HMAC, 128, 8192, SIGN)),
    signs(Hmac(Sha512), row(CKM_SHA512_HMAC, 128, 8192, SIGN)),
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
    Eddsa,
    MlDsa,
    Cmac,
    Hmac(Hash),
}

/// Returns how a mechanism signs, if it does.
pub fn scheme(kind: CK_MECHANISM_TYPE) -> Option<Scheme> {
    find(kind).and_then(|row| row.scheme)
}

impl Scheme {
    /// Returns the beginning of the name of what the API must allow a key.
    pub fn needs(self) -> Cow<'static, str> {
        match self {
            Self::Pkcs1(_) => "RSA_Signature_PKCS1".into(),
            Self::Pss(hash) => {
                format!("RSA_Signature_PSS_{}", hash.map_or("SHA", Hash::name)).into()
            }
            Self::Ecdsa(_) => "ECDSA_Signature".into(),
            Self::Eddsa => "EdDSA_Signature".into(),
            Self::MlDsa => "ML_DSA_Signature".into(),
            Self::Cmac => "AES_CMAC".into(),
            Self::Hmac(hash) => format!("HMAC_{}", hash.name()).into(),
        }
    }
}
