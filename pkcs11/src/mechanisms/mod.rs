//! Mechanisms: what PKCS#11 names, with parameters that were read at the border.

mod hash;
mod table;

use cryptoki_sys::*;

pub use hash::{Hash, Hasher};
pub use table::{find, scheme, Scheme, MECHANISMS};

/// A mechanism with its parameters.
#[derive(Clone, Debug)]
pub struct Mechanism {
    pub kind: CK_MECHANISM_TYPE,
    pub parameters: Parameters,
}

/// The parameters of mechanisms. A `Context` is what a signature of `EdDSA` or ML-DSA is for; `prehash`
/// says whether the message is hashed before (Ed25519ph).
#[derive(Clone, Debug)]
pub enum Parameters {
    None,
    Pss { hash: CK_MECHANISM_TYPE, mgf: CK_RSA_PKCS_MGF_TYPE, salt: CK_ULONG },
    Oaep { hash: CK_MECHANISM_TYPE, mgf: CK_RSA_PKCS_MGF_TYPE, label: Vec<u8> },
    Iv(Vec<u8>),
    Gcm { iv: Vec<u8>, aad: Vec<u8>, tag_bits: CK_ULONG },
    Ecdh { kdf: CK_ULONG, public_key: Vec<u8> },
    Context { prehash: bool, context: Vec<u8> },
}
