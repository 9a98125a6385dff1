//! Mechanisms: what PKCS#11 names, with parameters that were read at the border.

mod hash;
mod table;

use cryptoki_sys::{CK_MECHANISM_TYPE, CK_RSA_PKCS_MGF_TYPE, CK_ULONG};

pub use hash::{Hash, Hasher};
pub use table::{find, scheme, Scheme, MECHANISMS};

/// A mechanism with its parameters.
#[derive(Clone, Debug)]
pub struct Mechanism {
    /// `CKM_…`
    pub kind: CK_MECHANISM_TYPE,
    /// What was given with it.
    pub parameters: Parameters,
}

/// The parameters of mechanisms.
#[derive(Clone, Debug)]
pub enum Parameters {
    /// None were given.
    None,
    /// Of RSA-PSS.
    Pss {
        /// The hash of the message.
        hash: CK_MECHANISM_TYPE,
        /// The mask generation function.
        mgf: CK_RSA_PKCS_MGF_TYPE,
        /// The length of the salt.
        salt: CK_ULONG,
    },
    /// Of RSA-OAEP.
    Oaep {
        /// The hash of the label.
        hash: CK_MECHANISM_TYPE,
        /// The mask generation function.
        mgf: CK_RSA_PKCS_MGF_TYPE,
        /// The label.
        label: Vec<u8>,
    },
    /// An initialisation vector.
    Iv(Vec<u8>),
    /// Of AES-GCM.
    Gcm {
        /// The initialisation vector.
        iv: Vec<u8>,
        /// The additional data.
        aad: Vec<u8>,
        /// The length of the tag.
        tag_bits: CK_ULONG,
    },
    /// Of ECDH.
    Ecdh {
        /// The key derivation function.
        kdf: CK_ULONG,
        /// The other party's public key.
        public_key: Vec<u8>,
    },
    /// What a signature is for: of `EdDSA` and ML-DSA.
    Context {
        /// Whether the message is hashed before (Ed25519ph).
        prehash: bool,
        /// The context itself.
        context: Vec<u8>,
    },
}
