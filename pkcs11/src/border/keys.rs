//! Making keys and other objects: generate, derive, create, copy.

use cryptoki_sys::*;

use super::{entry, memory, parameters};
use crate::module::Module;
use crate::objects::Template;
use crate::refusal::{Answer, Refusal};

entry! {
    fn C_GenerateKey(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        template: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        key: *mut CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a mechanism and a template.
        let (mechanism, template) = unsafe {
            (parameters::mechanism(mechanism)?, Template(memory::template(template, count)?))
        };
        require_place(session, &template, key)?;
        let slot = &Module::session(session)?.slot;
        let made = slot.generate_secret(session, &mechanism, &template)?;
        // SAFETY: the caller promises room for a handle.
        unsafe { memory::put(key, made) }
    }

    fn C_GenerateKeyPair(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        public_template: *mut CK_ATTRIBUTE,
        public_count: CK_ULONG,
        private_template: *mut CK_ATTRIBUTE,
        private_count: CK_ULONG,
        public_key: *mut CK_OBJECT_HANDLE,
        private_key: *mut CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a mechanism and two templates.
        let (mechanism, public, private) = unsafe {
            (
                parameters::mechanism(mechanism)?,
                Template(memory::template(public_template, public_count)?),
                Template(memory::template(private_template, private_count)?),
            )
        };
        require_place(session, &private, public_key)?;
        require_place(session, &private, private_key)?;
        let slot = &Module::session(session)?.slot;
        let made = slot.generate_pair(session, &mechanism, &public, &private)?;
        // SAFETY: the caller promises room for two handles.
        unsafe {
            memory::put(public_key, made.0)?;
            memory::put(private_key, made.1)
        }
    }

    fn C_DeriveKey(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        base: CK_OBJECT_HANDLE,
        template: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        key: *mut CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a mechanism and a template.
        let (mechanism, template) = unsafe {
            (parameters::mechanism(mechanism)?, Template(memory::template(template, count)?))
        };
        require_place(session, &template, key)?;
        let slot = &Module::session(session)?.slot;
        let base = slot.object(base).map_err(|_| Refusal(CKR_KEY_HANDLE_INVALID))?;
        let made = slot.derive(session, &mechanism, &base, &template)?;
        // SAFETY: the caller promises room for a handle.
        unsafe { memory::put(key, made) }
    }

    fn C_CreateObject(
        session: CK_SESSION_HANDLE,
        template: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        object: *mut CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a template.
        let template = Template(unsafe { memory::template(template, count) }?);
        require_place(session, &template, object)?;
        let made = Module::session(session)?.slot.create(session, &template)?;
        // SAFETY: the caller promises room for a handle.
        unsafe { memory::put(object, made) }
    }

    fn C_CopyObject(
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        template: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        copy: *mut CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a template.
        let template = Template(unsafe { memory::template(template, count) }?);
        require_place(session, &template, copy)?;
        let made = Module::session(session)?.slot.copy(session, object, &template)?;
        // SAFETY: the caller promises room for a handle.
        unsafe { memory::put(copy, made) }
    }
}

/// Refuses, before anything is made, what could not be kept: no room for the handle, or a session
/// that may not write to the token.
pub fn require_place(
    session: CK_SESSION_HANDLE,
    template: &Template,
    handle: *mut CK_OBJECT_HANDLE,
) -> Answer<()> {
    let session = Module::session(session)?;
    if handle.is_null() {
        return Err(Refusal(CKR_ARGUMENTS_BAD));
    }
    if template.bool(CKA_TOKEN)? == Some(true) && !session.is_read_write {
        return Err(Refusal(CKR_SESSION_READ_ONLY));
    }
    Ok(())
}
