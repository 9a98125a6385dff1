//! Keys that come out of other keys: wrap and unwrap, encapsulate and decapsulate.

use cryptoki_sys::*;

use super::entry;
use crate::refusal::{require, Refusal};
use crate::slot::{kem_ciphertext_length, Wrapping};

entry! {
    fn C_WrapKey(
        session: Session,
        mechanism: Mechanism,
        wrapping_key: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
        wrapped: Output
    ) {
        let slot = &session.slot;
        let with = slot.key_object(wrapping_key, CKR_WRAPPING_KEY_HANDLE_INVALID)?;
        let key = slot.key_object(key, CKR_KEY_HANDLE_INVALID)?;
        let wrapping = Wrapping::new(&mechanism, &with, &key)?;
        if wrapped.is_told(wrapping.length())? {
            return Ok(());
        }
        wrapped.put(&wrapping.wrap(slot)?)
    }

    fn C_UnwrapKey(
        session: Session,
        mechanism: Mechanism,
        unwrapping_key: CK_OBJECT_HANDLE,
        wrapped: Bytes,
        template: Template,
        key: Room<CK_OBJECT_HANDLE>
    ) {
        session.require_place(&template)?;
        let with = session.slot.key_object(unwrapping_key, CKR_UNWRAPPING_KEY_HANDLE_INVALID)?;
        key.fill(session.slot.unwrap(session.handle, &mechanism, &with, wrapped, template)?);
        Ok(())
    }

    fn C_EncapsulateKey(
        session: Session,
        mechanism: Mechanism,
        public_key: CK_OBJECT_HANDLE,
        template: Template,
        ciphertext: Output,
        key: Room<CK_OBJECT_HANDLE>
    ) {
        let with = session.slot.key_object(public_key, CKR_KEY_HANDLE_INVALID)?;
        if ciphertext.is_told(kem_ciphertext_length(&mechanism, &with)?)? {
            return Ok(());
        }
        session.require_place(&template)?;
        let (made, secret) = session.slot.encapsulate(session.handle, &with, &template)?;
        ciphertext.put(&made)?;
        key.fill(secret);
        Ok(())
    }

    fn C_DecapsulateKey(
        session: Session,
        mechanism: Mechanism,
        private_key: CK_OBJECT_HANDLE,
        template: Template,
        ciphertext: Bytes,
        key: Room<CK_OBJECT_HANDLE>
    ) {
        session.require_place(&template)?;
        let with = session.slot.key_object(private_key, CKR_KEY_HANDLE_INVALID)?;
        require(ciphertext.len() == kem_ciphertext_length(&mechanism, &with)?, Refusal(CKR_ENCRYPTED_DATA_LEN_RANGE))?;
        key.fill(session.slot.decapsulate(session.handle, &with, ciphertext, &template)?);
        Ok(())
    }
}
