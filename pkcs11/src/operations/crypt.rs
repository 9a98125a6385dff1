//! Decryption with private and secret keys, and encryption with public and secret ones.

use cryptoki_sys::{
    CKM_AES_CBC, CKM_AES_CBC_PAD, CKM_AES_GCM, CKM_RSA_PKCS, CKM_RSA_PKCS_OAEP, CKR_DATA_LEN_RANGE,
    CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_KEY_FUNCTION_NOT_PERMITTED,
    CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID,
};
use zeroize::Zeroizing;

use super::rsa;
use crate::der;
use crate::mechanisms::{Hash, Mechanism, Parameters};
use crate::objects::key_types::Family;
use crate::objects::{Class, Object};
use crate::refusal::{Answer, Refusal};
use crate::rest::{Decryption, Public};
use crate::slot::Slot;

const BLOCK: usize = 16;
const GCM_IV: usize = 12;
const GCM_TAG: usize = 16;

/// A decryption that was begun.
pub struct Decrypting {
    with: Decryption,
    is_padded: bool,
    is_gcm: bool,
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
                if iv.len() != GCM_IV || usize::try_from(*tag_bits) != Ok(8 * GCM_TAG) {
                    return Err(Refusal(CKR_MECHANISM_PARAM_INVALID));
                }
                with.mode = "AES_GCM".into();
                with.iv = Some(iv.clone());
                with.aad = Some(aad.clone());
            }
            (CKM_RSA_PKCS | CKM_AES_GCM, _) => return Err(Refusal(CKR_MECHANISM_PARAM_INVALID)),
            _ => return Err(Refusal(CKR_MECHANISM_INVALID)),
        }
        require_key(mechanism, key, Class::Private)?;
        let (is_padded, is_gcm) =
            (mechanism.kind == CKM_AES_CBC_PAD, mechanism.kind == CKM_AES_GCM);
        Ok(Self { with, is_padded, is_gcm })
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
                None => data.len() % BLOCK == 0,
            };
            if !is_whole {
                return Err(Refusal(CKR_ENCRYPTED_DATA_LEN_RANGE));
            }
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
        /// The initialisation vector.
        iv: Vec<u8>,
        /// Whether a padding is added.
        is_padded: bool,
    },
}

impl Encrypting {
    /// Refuses a mechanism that does not encrypt or not with this key, and wrong parameters.
    pub fn new(mechanism: &Mechanism, key: &Object) -> Answer<Self> {
        require_key(mechanism, key, Class::Public)?;
        let parameters = &mechanism.parameters;
        Ok(match mechanism.kind {
            CKM_RSA_PKCS => Self::Pkcs1,
            CKM_RSA_PKCS_OAEP => Self::Oaep(oaep_hash(parameters)?),
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
        }
    }

    /// Encrypts the whole plaintext.
    pub fn encrypt(&self, slot: &Slot, key: &Object, data: &[u8]) -> Answer<Vec<u8>> {
        let (iv, is_padded) = match self {
            Self::Pkcs1 => return with_public_key(key, |size| rsa::encode_pkcs1(size, data)),
            Self::Oaep(hash) => {
                return with_public_key(key, |size| rsa::encode_oaep(size, *hash, data));
            }
            Self::Cbc { iv, is_padded } => (iv, *is_padded),
        };
        let mut plaintext = Zeroizing::new(Vec::with_capacity(data.len() + BLOCK));
        plaintext.extend(data);
        if is_padded {
            let padding = BLOCK - data.len() % BLOCK;
            plaintext.extend(std::iter::repeat_n(padding.to_le_bytes()[0], padding));
        }
        if plaintext.len() % BLOCK != 0 {
            return Err(Refusal(CKR_DATA_LEN_RANGE));
        }
        slot.user()?.encrypt(key.id(), "AES_CBC", Some(iv), &plaintext)
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
    if key.family() != family {
        return Err(Refusal(CKR_KEY_TYPE_INCONSISTENT));
    }
    if key.class != class {
        return Err(Refusal(CKR_KEY_FUNCTION_NOT_PERMITTED));
    }
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
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_padding_is_taken_off() {
        assert_eq!(unpadded_length(&[1, 2, 2, 2]), Ok(2));
        assert_eq!(unpadded_length(&[16; 16]), Ok(0));
        for bad in [&[][..], &[0; 16], &[17; 17], &[1, 2, 3, 2], &[3, 3]] {
            assert!(unpadded_length(bad).is_err());
        }
    }
}
