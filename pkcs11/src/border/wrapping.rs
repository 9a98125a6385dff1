//! Keys that come out of other keys: wrap and unwrap, encapsulate and decapsulate.

use cryptoki_sys::*;

use super::keys::require_place;
use super::{entry, memory, parameters};
use crate::module::Module;
use crate::objects::Template;
use crate::refusal::Refusal;
use crate::slot::{kem_ciphertext_length, Wrapping};

entry! {
    fn C_WrapKey(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        wrapping_key: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
        wrapped: *mut CK_BYTE,
        wrapped_length: *mut CK_ULONG,
    ) {
        // SAFETY: the caller promises a mechanism, and room for the result.
        let (mechanism, output) = unsafe {
            (parameters::mechanism(mechanism)?, memory::Output::new(wrapped, wrapped_length)?)
        };
        let slot = &Module::session(session)?.slot;
        let with = slot.object(wrapping_key).map_err(|_| Refusal(CKR_WRAPPING_KEY_HANDLE_INVALID))?;
        let key = slot.object(key).map_err(|_| Refusal(CKR_KEY_HANDLE_INVALID))?;
        let wrapping = Wrapping::new(&mechanism, &with, &key)?;
        if output.asks_length() {
            output.tell_length(wrapping.length());
            return Ok(());
        }
        output.require(wrapping.length())?;
        output.put(&wrapping.wrap(slot)?)
    }

    fn C_UnwrapKey(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        unwrapping_key: CK_OBJECT_HANDLE,
        wrapped: *mut CK_BYTE,
        wrapped_length: CK_ULONG,
        template: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        key: *mut CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a mechanism, a wrapped key and a template.
        let (mechanism, wrapped, template) = unsafe {
            (
                parameters::mechanism(mechanism)?,
                memory::bytes(wrapped, wrapped_length)?,
                Template(memory::template(template, count)?),
            )
        };
        require_place(session, &template, key)?;
        let slot = &Module::session(session)?.slot;
        let with =
            slot.object(unwrapping_key).map_err(|_| Refusal(CKR_UNWRAPPING_KEY_HANDLE_INVALID))?;
        let made = slot.unwrap(session, &mechanism, &with, wrapped, template)?;
        // SAFETY: the caller promises room for a handle.
        unsafe { memory::put(key, made) }
    }

    fn C_EncapsulateKey(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        public_key: CK_OBJECT_HANDLE,
        template: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        ciphertext: *mut CK_BYTE,
        ciphertext_length: *mut CK_ULONG,
        key: *mut CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a mechanism, a template, and room for the result.
        let (mechanism, template, output) = unsafe {
            (
                parameters::mechanism(mechanism)?,
                Template(memory::template(template, count)?),
                memory::Output::new(ciphertext, ciphertext_length)?,
            )
        };
        let slot = &Module::session(session)?.slot;
        let with = slot.object(public_key).map_err(|_| Refusal(CKR_KEY_HANDLE_INVALID))?;
        let length = kem_ciphertext_length(&mechanism, &with)?;
        if output.asks_length() {
            output.tell_length(length);
            return Ok(());
        }
        output.require(length)?;
        require_place(session, &template, key)?;
        let (ciphertext, made) = slot.encapsulate(session, &with, &template)?;
        output.put(&ciphertext)?;
        // SAFETY: the caller promises room for a handle.
        unsafe { memory::put(key, made) }
    }

    fn C_DecapsulateKey(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        private_key: CK_OBJECT_HANDLE,
        template: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        ciphertext: *mut CK_BYTE,
        ciphertext_length: CK_ULONG,
        key: *mut CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a mechanism, a template and a ciphertext.
        let (mechanism, template, ciphertext) = unsafe {
            (
                parameters::mechanism(mechanism)?,
                Template(memory::template(template, count)?),
                memory::bytes(ciphertext, ciphertext_length)?,
            )
        };
        require_place(session, &template, key)?;
        let slot = &Module::session(session)?.slot;
        let with = slot.object(private_key).map_err(|_| Refusal(CKR_KEY_HANDLE_INVALID))?;
        if ciphertext.len() != kem_ciphertext_length(&mechanism, &with)? {
            return Err(Refusal(CKR_ENCRYPTED_DATA_LEN_RANGE));
        }
        let made = slot.decapsulate(session, &with, ciphertext, &template)?;
        // SAFETY: the caller promises room for a handle.
        unsafe { memory::put(key, made) }
    }
}
