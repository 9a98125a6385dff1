//! Decryption with private and secret keys, and encryption with public and secret ones.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::messages::{IV_BYTES as GCM_IV, TAG_BYTES as GCM_TAG};
use super::rsa;
use crate::der;
use crate::mechanisms::{Hash, Mechanism, Parameters};
use crate::objects::key_types::Family;
use crate::objects::{Class, Object};
use crate::refusal::{require, Answer, Refusal};
use crate::rest::{Decryption, Encryption, Public};
use crate::slot::Slot;

const BLOCK: usize = 16;
/// What AES-KW and AES-KWP wrap is a multiple of this, and the wrapped key is longer by as much.
const HALF_BLOCK: usize = 8;

/// A decryption that was begun.
pub struct Decrypting {
    with: Decryption,
    is_padded: bool,
    is_gcm: bool,
    /// What the length of ciphertexts of AES is a multiple of.
    unit: usize,
}

impl Decrypting {
    /// Refuses a mechanism that does not decrypt or not with this key, and wrong parameters.
    pub fn new(mechanism: &Mechanism, key: &Object) -> Answer<Self> {
        let mut with = Decryption::default();
        match (mechanism.kind, &mechanism.parameters) {
            (CKM_RSA_PKCS, Parameters::None) => with.mode = "PKCS1".into(),
            (CKM_RSA_PKCS_OAEP, parameters) => {
                with.mode = format!("OAEP_{}", oaep_hash(parameters)?.name());
            }
            (CKM_AES_CBC | CKM_AES_CBC_PAD, parameters) => {
                with.mode = "AES_CBC".into();
                with.iv = Some(block_iv(parameters)?);
            }
            (CKM_AES_GCM, Parameters::Gcm { iv, aad, tag_bits }) => {
                require(
                    iv.len() == GCM_IV && usize::try_from(*tag_bits) == Ok(8 * GCM_TAG),
                    Refusal(CKR_MECHANISM_PARAM_INVALID),
                )?;
                with.mode = "AES_GCM".into();
                with.iv = Some(iv.clone());
                with.aad = Some(aad.clone());
            }
            (CKM_AES_KEY_WRAP | CKM_AES_KEY_WRAP_KWP, Parameters::None) => {
                with.mode = wrapping_mode(mechanism.kind).into();
            }
            (CKM_RSA_PKCS | CKM_AES_GCM | CKM_AES_KEY_WRAP | CKM_AES_KEY_WRAP_KWP, _) => {
                return Err(Refusal(CKR_MECHANISM_PARAM_INVALID))
            }
            _ => return Err(Refusal(CKR_MECHANISM_INVALID)),
        }
        require_key(mechanism, key, Class::Private)?;
        let (is_padded, is_gcm) =
            (mechanism.kind == CKM_AES_CBC_PAD, mechanism.kind == CKM_AES_GCM);
        let unit = if with.mode.starts_with("AES_KW") { HALF_BLOCK } else { BLOCK };
        Ok(Self { with, is_padded, is_gcm, unit })
    }

    /// Returns how long the plaintext is at most.
    pub fn longest(key: &Object, data: usize) -> usize {
        key.modulus().map_or(data, <[u8]>::len)
    }

    /// Decrypts the whole ciphertext.
    pub fn decrypt(&self, slot: &Slot, key: &Object, data: &[u8]) -> Answer<Zeroizing<Vec<u8>>> {
        let mut with = self.with.clone();
        let mut ciphertext = data;
        if self.is_gcm {
            let length =
                data.len().checked_sub(GCM_TAG).ok_or(Refusal(CKR_ENCRYPTED_DATA_LEN_RANGE))?;
            let (front, tag) = data.split_at(length);
            ciphertext = front;
            with.tag = Some(tag.to_vec());
        } else {
            let is_whole = match key.modulus() {
                Some(modulus) => modulus.len() == data.len(),
                None => data.len() % self.unit == 0,
            };
            require(is_whole, Refusal(CKR_ENCRYPTED_DATA_LEN_RANGE))?;
        }
        let mut plaintext = slot.user()?.decrypt(key.id(), &with, ciphertext)?;
        if self.is_padded {
            let length = unpadded_length(&plaintext)?;
            plaintext.truncate(length);
        }
        Ok(plaintext)
    }
}

/// An encryption that was begun.
pub enum Encrypting {
    /// With RSA and PKCS#1 v1.5, here.
    Pkcs1,
    /// With RSA and OAEP, here.
    Oaep(Hash),
    /// With AES, on the server.
    Cbc {
        iv: Vec<u8>,
        /// Whether a padding is added.
        is_padded: bool,
    },
    /// With AES-KW or AES-KWP, on the server: by the mode of the API.
    Wrap(&'static str),
}

impl Encrypting {
    /// Refuses a mechanism that does not encrypt or not with this key, and wrong parameters.
    pub fn new(mechanism: &Mechanism, key: &Object) -> Answer<Self> {
        require_key(mechanism, key, Class::Public)?;
        let parameters = &mechanism.parameters;
        Ok(match mechanism.kind {
            CKM_RSA_PKCS => Self::Pkcs1,
            CKM_RSA_PKCS_OAEP => Self::Oaep(oaep_hash(parameters)?),
            CKM_AES_KEY_WRAP | CKM_AES_KEY_WRAP_KWP if !matches!(parameters, Parameters::None) => {
                return Err(Refusal(CKR_MECHANISM_PARAM_INVALID));
            }
            CKM_AES_KEY_WRAP | CKM_AES_KEY_WRAP_KWP => Self::Wrap(wrapping_mode(mechanism.kind)),
            CKM_AES_CBC => Self::Cbc { iv: block_iv(parameters)?, is_padded: false },
            CKM_AES_CBC_PAD => Self::Cbc { iv: block_iv(parameters)?, is_padded: true },
            _ => return Err(Refusal(CKR_MECHANISM_INVALID)),
        })
    }

    /// Returns how long the ciphertext is.
    pub fn longest(&self, key: &Object, data: usize) -> usize {
        match self {
            Self::Pkcs1 | Self::Oaep(_) => key.modulus().map_or(0, <[u8]>::len),
            Self::Cbc { is_padded: true, .. } => data + BLOCK - data % BLOCK,
            Self::Cbc { .. } => data,
            Self::Wrap(_) => data.next_multiple_of(HALF_BLOCK) + HALF_BLOCK,
        }
    }

    /// Encrypts the whole plaintext.
    pub fn encrypt(&self, slot: &Slot, key: &Object, data: &[u8]) -> Answer<Vec<u8>> {
        let (iv, is_padded) = match self {
            Self::Pkcs1 => return with_public_key(key, |size| rsa::encode_pkcs1(size, data)),
            Self::Oaep(hash) => {
                return with_public_key(key, |size| rsa::encode_oaep(size, *hash, data));
            }
            Self::Wrap(mode) => return on_server(slot, key, mode, None, data),
            Self::Cbc { iv, is_padded } => (iv, *is_padded),
        };
        let mut plaintext = Zeroizing::new(Vec::with_capacity(data.len() + BLOCK));
        plaintext.extend(data);
        if is_padded {
            let padding = BLOCK - data.len() % BLOCK;
            plaintext.extend(std::iter::repeat_n(padding.to_le_bytes()[0], padding));
        }
        require(plaintext.len() % BLOCK == 0, Refusal(CKR_DATA_LEN_RANGE))?;
        on_server(slot, key, "AES_CBC", Some(iv), &plaintext)
    }
}

/// Encrypts with a secret key.
fn on_server(
    slot: &Slot,
    key: &Object,
    mode: &str,
    iv: Option<&[u8]>,
    plaintext: &[u8],
) -> Answer<Vec<u8>> {
    let with = Encryption { mode, iv, aad: None };
    Ok(slot.user()?.encrypt(key.id(), &with, plaintext)?.ciphertext)
}

fn wrapping_mode(kind: CK_MECHANISM_TYPE) -> &'static str {
    if kind == CKM_AES_KEY_WRAP {
        "AES_KW"
    } else {
        "AES_KWP"
    }
}

/// Encrypts what `encode` makes for the size of the modulus.
fn with_public_key(
    key: &Object,
    encode: impl FnOnce(usize) -> Answer<Zeroizing<Vec<u8>>>,
) -> Answer<Vec<u8>> {
    let Public::Rsa(modulus, exponent) = &key.key.public else {
        return Err(Refusal(CKR_KEY_TYPE_INCONSISTENT));
    };
    let encoded = encode(der::without_zeros(modulus).len())?;
    rsa::public_operation(modulus, exponent, &encoded)
}

fn require_key(mechanism: &Mechanism, key: &Object, rsa_class: Class) -> Answer<()> {
    let is_rsa = matches!(mechanism.kind, CKM_RSA_PKCS | CKM_RSA_PKCS_OAEP);
    let (family, class) =
        if is_rsa { (Family::Rsa, rsa_class) } else { (Family::Secret, Class::Secret) };
    require(key.family() == family, Refusal(CKR_KEY_TYPE_INCONSISTENT))?;
    // A secret that is in this process is no key for what the server does.
    require(key.class == class && key.value.is_none(), Refusal(CKR_KEY_FUNCTION_NOT_PERMITTED))?;
    Ok(())
}

/// Returns the one hash of label and mask: the server has no other OAEP, and no labels.
fn oaep_hash(parameters: &Parameters) -> Answer<Hash> {
    let Parameters::Oaep { hash, mgf, label } = parameters else {
        return Err(Refusal(CKR_MECHANISM_PARAM_INVALID));
    };
    Hash::of_mechanism(*hash)
        .filter(|hash| hash.mgf() == *mgf && label.is_empty())
        .ok_or(Refusal(CKR_MECHANISM_PARAM_INVALID))
}

fn block_iv(parameters: &Parameters) -> Answer<Vec<u8>> {
    match parameters {
        Parameters::Iv(iv) if iv.len() == BLOCK => Ok(iv.clone()),
        _ => Err(Refusal(CKR_MECHANISM_PARAM_INVALID)),
    }
}

/// Returns the length without the padding of PKCS#7. Every wrong padding gives the same refusal.
fn unpadded_length(plaintext: &[u8]) -> Answer<usize> {
    let bad = Refusal(CKR_ENCRYPTED_DATA_INVALID);
    let padding = usize::from(*plaintext.last().ok_or(bad)?);
    let length = plaintext.len().checked_sub(padding).ok_or(bad)?;
    let is_whole = plaintext[length..].iter().all(|octet| usize::from(*octet) == padding);
    if padding == 0 || padding > BLOCK || !is_whole {
        Err(bad)
    } else {
        Ok(length)
    }
}

#[cfg(test)]
#[path = "../../tests/unit/operations_crypt.rs"]
mod tests;
