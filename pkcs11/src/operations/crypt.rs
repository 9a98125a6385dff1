//! Decryption with private and secret keys, and encryption with public and secret ones.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::messages::{IV_BYTES as GCM_IV, TAG_BYTES as GCM_TAG};
use super::rsa;
use crate::der;
use crate::mechanisms::{find, Hash, Mechanism, Parameters};
use crate::objects::key_types::Family;
use crate::objects::{Class, Object};
use crate::refusal::{require, Answer, Refusal};
use crate::rest::{Cipher, Public};
use crate::slot::Slot;

const BLOCK: usize = 16;
/// What AES-KW and AES-KWP wrap is a multiple of this, and the wrapped key is longer by as much.
const HALF_BLOCK: usize = 8;

/// An encryption or a decryption that was begun.
pub struct Crypting {
    kind: CK_MECHANISM_TYPE,
    /// The mode of the API.
    mode: String,
    /// Of RSA with OAEP.
    hash: Option<Hash>,
    iv: Option<Vec<u8>>,
    aad: Option<Vec<u8>>,
}

impl Crypting {
    /// Refuses a mechanism that does not encrypt or not with this key, and wrong parameters.
    pub fn to_encrypt(mechanism: &Mechanism, key: &Object) -> Answer<Self> {
        // Who encrypts by it would bring the nonce, which gives the key away if it is used twice.
        require(mechanism.kind != CKM_AES_GCM, Refusal(CKR_MECHANISM_INVALID))?;
        Self::new(mechanism, key, Class::Public)
    }

    /// Refuses a mechanism that does not decrypt or not with this key, and wrong parameters.
    pub fn to_decrypt(mechanism: &Mechanism, key: &Object) -> Answer<Self> {
        Self::new(mechanism, key, Class::Private)
    }

    fn new(mechanism: &Mechanism, key: &Object, rsa_class: Class) -> Answer<Self> {
        let kind = mechanism.kind;
        let mut this = Self { kind, mode: String::new(), hash: None, iv: None, aad: None };
        match (kind, &mechanism.parameters) {
            (CKM_RSA_PKCS, Parameters::None) => this.mode = "PKCS1".into(),
            (CKM_RSA_PKCS_OAEP, Parameters::Oaep { hash, mgf, label }) => {
                // The server has one hash for label and mask, and no labels.
                let hash = Hash::of_mechanism(*hash)
                    .filter(|hash| hash.mgf() == *mgf && label.is_empty())
                    .ok_or(Refusal(CKR_MECHANISM_PARAM_INVALID))?;
                this.mode = format!("OAEP_{}", hash.name());
                this.hash = Some(hash);
            }
            (CKM_AES_CBC | CKM_AES_CBC_PAD, Parameters::Iv(iv)) if iv.len() == BLOCK => {
                this.mode = "AES_CBC".into();
                this.iv = Some(iv.clone());
            }
            (CKM_AES_GCM, Parameters::Gcm { iv, aad, tag_bits })
                if iv.len() == GCM_IV && usize::try_from(*tag_bits) == Ok(8 * GCM_TAG) =>
            {
                this.mode = "AES_GCM".into();
                this.iv = Some(iv.clone());
                this.aad = Some(aad.clone());
            }
            (CKM_AES_KEY_WRAP, Parameters::None) => this.mode = "AES_KW".into(),
            (CKM_AES_KEY_WRAP_KWP, Parameters::None) => this.mode = "AES_KWP".into(),
            _ if find(kind).is_some_and(|row| row.flags & CKF_DECRYPT != 0) => {
                return Err(Refusal(CKR_MECHANISM_PARAM_INVALID))
            }
            _ => return Err(Refusal(CKR_MECHANISM_INVALID)),
        }
        require_key(kind, key, rsa_class)?;
        Ok(this)
    }

    fn wraps(&self) -> bool {
        matches!(self.kind, CKM_AES_KEY_WRAP | CKM_AES_KEY_WRAP_KWP)
    }

    fn cipher<'a>(&'a self, tag: Option<&'a [u8]>) -> Cipher<'a> {
        Cipher { mode: &self.mode, iv: self.iv.as_deref(), tag, aad: self.aad.as_deref() }
    }

    /// Decrypts the whole ciphertext.
    pub fn decrypt(&self, slot: &Slot, key: &Object, data: &[u8]) -> Answer<Zeroizing<Vec<u8>>> {
        let range = Refusal(CKR_ENCRYPTED_DATA_LEN_RANGE);
        let (mut ciphertext, mut tag) = (data, None);
        if self.kind == CKM_AES_GCM {
            let (front, end) = data.split_last_chunk::<GCM_TAG>().ok_or(range)?;
            (ciphertext, tag) = (front, Some(&end[..]));
        } else {
            let unit = if self.wraps() { HALF_BLOCK } else { BLOCK };
            let is_whole = |modulus: &[u8]| modulus.len() == data.len();
            require(key.modulus().map_or(data.len() % unit == 0, is_whole), range)?;
        }
        let mut plaintext = slot.user()?.decrypt(key.id(), &self.cipher(tag), ciphertext)?;
        if self.kind == CKM_AES_CBC_PAD {
            let length = unpadded_length(&plaintext)?;
            plaintext.truncate(length);
        }
        Ok(plaintext)
    }

    /// Returns how long the ciphertext is.
    pub fn ciphertext_length(&self, key: &Object, data: usize) -> usize {
        match self.kind {
            CKM_RSA_PKCS | CKM_RSA_PKCS_OAEP => key.modulus().map_or(0, <[u8]>::len),
            CKM_AES_CBC_PAD => data + BLOCK - data % BLOCK,
            CKM_AES_CBC => data,
            _ => data.next_multiple_of(HALF_BLOCK) + HALF_BLOCK,
        }
    }

    /// Encrypts the whole plaintext: with RSA here, with AES on the server.
    pub fn encrypt(&self, slot: &Slot, key: &Object, data: &[u8]) -> Answer<Vec<u8>> {
        if let Public::Rsa(modulus, exponent) = &key.key.public {
            let size = der::without_zeros(modulus).len();
            let encoded = match self.hash {
                Some(hash) => rsa::encode_oaep(size, hash, data)?,
                None => rsa::encode_pkcs1(size, data)?,
            };
            return rsa::public_operation(modulus, exponent, &encoded);
        }
        let mut plaintext = Zeroizing::new(Vec::with_capacity(data.len() + BLOCK));
        plaintext.extend(data);
        if self.kind == CKM_AES_CBC_PAD {
            let padding = BLOCK - data.len() % BLOCK;
            plaintext.extend(std::iter::repeat_n(padding.to_le_bytes()[0], padding));
        }
        let is_whole = self.wraps() || plaintext.len() % BLOCK == 0;
        require(is_whole, Refusal(CKR_DATA_LEN_RANGE))?;
        Ok(slot.user()?.encrypt(key.id(), &self.cipher(None), &plaintext)?.ciphertext)
    }
}

fn require_key(kind: CK_MECHANISM_TYPE, key: &Object, rsa_class: Class) -> Answer<()> {
    let is_rsa = matches!(kind, CKM_RSA_PKCS | CKM_RSA_PKCS_OAEP);
    let (family, class) =
        if is_rsa { (Family::Rsa, rsa_class) } else { (Family::Secret, Class::Secret) };
    require(key.family() == family, Refusal(CKR_KEY_TYPE_INCONSISTENT))?;
    // A secret that is in this process is no key for what the server does.
    let is_usable = key.class == class && key.value.is_none();
    require(is_usable, Refusal(CKR_KEY_FUNCTION_NOT_PERMITTED))
}

/// Returns the length without the padding of PKCS#7. Every wrong padding gives the same refusal.
fn unpadded_length(plaintext: &[u8]) -> Answer<usize> {
    let bad = Refusal(CKR_ENCRYPTED_DATA_INVALID);
    let padding = usize::from(*plaintext.last().ok_or(bad)?);
    let length = plaintext.len().checked_sub(padding).ok_or(bad)?;
    let is_whole = plaintext[length..].iter().all(|octet| usize::from(*octet) == padding);
    require(padding > 0 && padding <= BLOCK && is_whole, bad)?;
    Ok(length)
}

#[cfg(test)]
#[path = "../../tests/unit/operations_crypt.rs"]
mod tests;
