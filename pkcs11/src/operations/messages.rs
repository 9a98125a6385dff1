//! Messages of AES-GCM, each sealed with a nonce that the server makes at random.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use crate::objects::key_types::Family;
use crate::objects::Object;
use crate::refusal::{require, Answer, Refusal};
use crate::rest::Cipher;
use crate::slot::Slot;

/// The length of a nonce.
pub const IV_BYTES: usize = 12;
/// The length of a tag.
pub const TAG_BYTES: usize = 16;
const MODE: &str = "AES_GCM";

/// A message that was encrypted.
pub struct Sealed {
    /// As long as the plaintext.
    pub ciphertext: Vec<u8>,
    pub iv: [u8; IV_BYTES],
    pub tag: [u8; TAG_BYTES],
}

/// Refuses other mechanisms than AES-GCM, and keys that are not on the server for it.
pub fn require_key(kind: CK_MECHANISM_TYPE, key: &Object) -> Answer<()> {
    require(kind == CKM_AES_GCM, Refusal(CKR_MECHANISM_INVALID))?;
    require(key.family() == Family::Secret, Refusal(CKR_KEY_TYPE_INCONSISTENT))?;
    require(key.value.is_none(), Refusal(CKR_KEY_FUNCTION_NOT_PERMITTED))?;
    Ok(())
}

/// Encrypts a message.
pub fn encrypt(slot: &Slot, key: &Object, plaintext: &[u8], aad: &[u8]) -> Answer<Sealed> {
    let with = Cipher { mode: MODE, aad: Some(aad), ..Cipher::default() };
    let given = slot.user()?.encrypt(key.id(), &with, plaintext)?;
    let bad = Refusal(CKR_DEVICE_ERROR);
    require(given.ciphertext.len() == plaintext.len(), bad)?;
    Ok(Sealed {
        iv: given.iv.as_slice().try_into().map_err(|_| bad)?,
        tag: given.tag.as_slice().try_into().map_err(|_| bad)?,
        ciphertext: given.ciphertext,
    })
}

/// Decrypts a message, if none of the four was changed.
pub fn decrypt(
    slot: &Slot,
    key: &Object,
    ciphertext: &[u8],
    iv: &[u8],
    tag: &[u8],
    aad: &[u8],
) -> Answer<Zeroizing<Vec<u8>>> {
    let with = Cipher { mode: MODE, iv: Some(iv), tag: Some(tag), aad: Some(aad) };
    slot.user()?.decrypt(key.id(), &with, ciphertext)
}
