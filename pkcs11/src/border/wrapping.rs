//! Keys that come out of other keys: wrap and unwrap, encapsulate and decapsulate.

use cryptoki_sys::*;

use super::entry;
use crate::objects::Handle;
use crate::operations::crypt::Crypting;
use crate::refusal::{require, Refusal};
use crate::slot::kem_ciphertext_length;

entry! {
    fn C_WrapKey(
        session: Session, mechanism: Mechanism, wrapping_key: Handle, key: Handle, wrapped: Output
    ) {
        let slot = &session.slot;
        let with = slot.key_object(wrapping_key, CKR_WRAPPING_KEY_HANDLE_INVALID)?;
        let key = slot.key_object(key, CKR_KEY_HANDLE_INVALID)?;
        let wrapping = Crypting::to_encrypt(&mechanism, &with)?;
        // What is on the server stays there.
        let value = key.value.as_ref().ok_or(Refusal(CKR_KEY_UNEXTRACTABLE))?;
        if wrapped.is_told(wrapping.ciphertext_length(&with, value.len()))? {
            return Ok(());
        }
        wrapped.put(&wrapping.encrypt(slot, &with, value)?)
    }

    fn C_UnwrapKey(
        session: Session, mechanism: Mechanism, unwrapping_key: Handle, wrapped: Bytes,
        template: Template, key: Room<Handle>
    ) {
        let with = session.slot.key_object(unwrapping_key, CKR_UNWRAPPING_KEY_HANDLE_INVALID)?;
        key.fill(session.unwrap(&mechanism, &with, wrapped, template)?)
    }

    fn C_EncapsulateKey(
        session: Session, mechanism: Mechanism, public_key: Handle, template: Template,
        ciphertext: Output, key: Room<Handle>
    ) {
        let with = session.slot.key_object(public_key, CKR_KEY_HANDLE_INVALID)?;
        if ciphertext.is_told(kem_ciphertext_length(&mechanism, &with)?)? {
            return Ok(());
        }
        let (made, secret) = session.encapsulate(&with, &template)?;
        ciphertext.put(&made)?;
        key.fill(secret)
    }

    fn C_DecapsulateKey(
        session: Session, mechanism: Mechanism, private_key: Handle, template: Template,
        ciphertext: Bytes, key: Room<Handle>
    ) {
        let with = session.slot.key_object(private_key, CKR_KEY_HANDLE_INVALID)?;
        let length = kem_ciphertext_length(&mechanism, &with)?;
        require(ciphertext.len() == length, Refusal(CKR_ENCRYPTED_DATA_LEN_RANGE))?;
        key.fill(session.decapsulate(&with, ciphertext, &template)?)
    }
}
