//! Hashes, which the module computes itself: a row for each.

use cryptoki_sys::*;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::der::{element, tag};

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// What PKCS#11, the API and the standards of signatures have for a hash.
struct Row {
    hash: Hash,
    name: &'static str,
    mechanism: CK_MECHANISM_TYPE,
    mgf: CK_RSA_PKCS_MGF_TYPE,
    size: usize,
    /// The object identifier in DER.
    oid: &'static [u8],
}

const OID_SHA1: &[u8] = b"\x06\x05\x2b\x0e\x03\x02\x1a";
const OID_SHA224: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04";
const OID_SHA256: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const OID_SHA384: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02";
const OID_SHA512: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03";
const NULL: &[u8] = b"\x05\x00";

const fn row(
    (hash, name): (Hash, &'static str),
    (mechanism, mgf): (CK_MECHANISM_TYPE, CK_RSA_PKCS_MGF_TYPE),
    (size, oid): (usize, &'static [u8]),
) -> Row {
    Row { hash, name, mechanism, mgf, size, oid }
}

/// In the order of `Hash`.
static ROWS: [Row; 5] = [
    row((Hash::Sha1, "SHA1"), (CKM_SHA_1, CKG_MGF1_SHA1), (20, OID_SHA1)),
    row((Hash::Sha224, "SHA224"), (CKM_SHA224, CKG_MGF1_SHA224), (28, OID_SHA224)),
    row((Hash::Sha256, "SHA256"), (CKM_SHA256, CKG_MGF1_SHA256), (32, OID_SHA256)),
    row((Hash::Sha384, "SHA384"), (CKM_SHA384, CKG_MGF1_SHA384), (48, OID_SHA384)),
    row((Hash::Sha512, "SHA512"), (CKM_SHA512, CKG_MGF1_SHA512), (64, OID_SHA512)),
];

/// A digest that is not finished.
pub type Hasher = Box<dyn DynDigest + Send + Sync>;

impl Hash {
    /// Returns the hash that a mechanism like `CKM_SHA256` names.
    pub fn of_mechanism(kind: CK_MECHANISM_TYPE) -> Option<Self> {
        ROWS.iter().find(|row| row.mechanism == kind).map(|row| row.hash)
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Returns the mask generation function MGF1 with the hash.
    pub fn mgf(self) -> CK_RSA_PKCS_MGF_TYPE {
        self.row().mgf
    }

    /// Returns the name in the modes of the API, as in `PSS_SHA256`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns the length of a digest in bytes.
    pub fn size(self) -> usize {
        self.row().size
    }

    /// Returns a digest as a `DigestInfo` (RFC 8017, 9.2). It says nothing of the digest's length.
    pub fn digest_info(self, digest: &[u8]) -> Vec<u8> {
        let algorithm = element(tag::SEQUENCE, &[self.row().oid, NULL]);
        element(tag::SEQUENCE, &[&algorithm, &element(tag::OCTET_STRING, &[digest])])
    }

    /// Begins a digest.
    pub fn begin(self) -> Hasher {
        match self {
            Self::Sha1 => Box::new(Sha1::default()),
            Self::Sha224 => Box::new(Sha224::default()),
            Self::Sha256 => Box::new(Sha256::default()),
            Self::Sha384 => Box::new(Sha384::default()),
            Self::Sha512 => Box::new(Sha512::default()),
        }
    }
}

#[cfg(test)]
#[path = "../../tests/unit/mechanisms_hash.rs"]
mod tests;
