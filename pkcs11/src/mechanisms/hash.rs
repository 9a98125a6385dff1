//! Hashes, which the module computes itself: a row for each.

use cryptoki_sys::*;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha224, Sha256, Sha384, Sha512};

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
    digest_info: &'static [u8],
}

/// In the order of `Hash`.
static ROWS: [Row; 5] = [
    Row {
        hash: Hash::Sha1,
        name: "SHA1",
        mechanism: CKM_SHA_1,
        mgf: CKG_MGF1_SHA1,
        size: 20,
        digest_info: b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
    },
    Row {
        hash: Hash::Sha224,
        name: "SHA224",
        mechanism: CKM_SHA224,
        mgf: CKG_MGF1_SHA224,
        size: 28,
        digest_info:
            b"\x30\x2d\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04\x05\x00\x04\x1c",
    },
    Row {
        hash: Hash::Sha256,
        name: "SHA256",
        mechanism: CKM_SHA256,
        mgf: CKG_MGF1_SHA256,
        size: 32,
        digest_info:
            b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
    },
    Row {
        hash: Hash::Sha384,
        name: "SHA384",
        mechanism: CKM_SHA384,
        mgf: CKG_MGF1_SHA384,
        size: 48,
        digest_info:
            b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
    },
    Row {
        hash: Hash::Sha512,
        name: "SHA512",
        mechanism: CKM_SHA512,
        mgf: CKG_MGF1_SHA512,
        size: 64,
        digest_info:
            b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
    },
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

    /// Returns what precedes a digest in a `DigestInfo` (RFC 8017, 9.2, note 1).
    pub fn digest_info(self) -> &'static [u8] {
        self.row().digest_info
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
mod tests {
    use super::*;

    #[test]
    fn each_row_is_that_of_its_hash() {
        for (place, row) in ROWS.iter().enumerate() {
            assert_eq!((row.hash as usize, row.hash.begin().output_size()), (place, row.size));
            assert_eq!(row.digest_info.last().copied().map(usize::from), Some(row.size));
        }
    }
}
