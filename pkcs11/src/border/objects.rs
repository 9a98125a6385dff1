//! Objects: finding, reading, making, changing and destroying them.

use cryptoki_sys::*;

use super::{entry, memory};
use crate::module::Module;
use crate::objects::{Template, Value};
use crate::refusal::{Answer, Refusal};
use crate::session::Session;

entry! {
    fn C_FindObjectsInit(session: CK_SESSION_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG) {
        let session = Module::session(session)?;
        if session.begun().found.is_some() {
            return Err(Refusal(CKR_OPERATION_ACTIVE));
        }
        // SAFETY: the caller promises a template.
        let template = Template(unsafe { memory::template(template, count) }?);
        let found = session.slot.find(&template)?;
        session.begun().found = Some(found.into());
        Ok(())
    }

    fn C_FindObjects(
        session: CK_SESSION_HANDLE,
        handles: *mut CK_OBJECT_HANDLE,
        most: CK_ULONG,
        count: *mut CK_ULONG,
    ) {
        let session = Module::session(session)?;
        let mut begun = session.begun();
        let found = begun.found.as_mut().ok_or(Refusal(CKR_OPERATION_NOT_INITIALIZED))?;
        if handles.is_null() && most > 0 {
            return Err(Refusal(CKR_ARGUMENTS_BAD));
        }
        let taken = memory::size(most)?.min(found.len());
        let taken: Vec<_> = found.drain(..taken).collect();
        // SAFETY: the caller promises room for `most` handles, and a number.
        unsafe {
            memory::put(count, taken.len() as CK_ULONG)?;
            handles.copy_from_nonoverlapping(taken.as_ptr(), taken.len());
        }
        Ok(())
    }

    fn C_FindObjectsFinal(session: CK_SESSION_HANDLE) {
        let session = Module::session(session)?;
        let found = session.begun().found.take();
        found.map(drop).ok_or(Refusal(CKR_OPERATION_NOT_INITIALIZED))
    }

    fn C_GetAttributeValue(
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        template: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
    ) {
        let object = Module::session(session)?.slot.object(object)?;
        // SAFETY: the caller promises a template.
        let wanted = unsafe { memory::wanted(template, count) }?;
        let mut first_refusal = Ok(());
        for attribute in wanted {
            // SAFETY: the caller promises that each value has the room that it says.
            let filled = unsafe { fill(attribute, &object.attribute(attribute.type_)) };
            first_refusal = first_refusal.and(filled);
        }
        first_refusal
    }

    fn C_SetAttributeValue(
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        template: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
    ) {
        let session = read_write(session)?;
        // SAFETY: the caller promises a template.
        let template = Template(unsafe { memory::template(template, count) }?);
        session.slot.set_attributes(object, &template)
    }

    fn C_DestroyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) {
        let session = Module::session(session)?;
        let ends_with_session = session.slot.object(object)?.session().is_some();
        if !session.is_read_write && !ends_with_session {
            return Err(Refusal(CKR_SESSION_READ_ONLY));
        }
        session.slot.destroy(object)
    }

    fn C_GetObjectSize(
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        size: *mut CK_ULONG,
    ) {
        Module::session(session)?.slot.object(object)?;
        // SAFETY: the caller promises room for a number.
        unsafe { memory::put(size, CK_UNAVAILABLE_INFORMATION) }
    }
}

/// Returns a session that may change objects on the token.
pub fn read_write(handle: CK_SESSION_HANDLE) -> Answer<std::sync::Arc<Session>> {
    let session = Module::session(handle)?;
    if session.is_read_write {
        Ok(session)
    } else {
        Err(Refusal(CKR_SESSION_READ_ONLY))
    }
}

/// Fills an attribute, or says why it is not filled.
///
/// # Safety
/// The value of the attribute is NULL or has as much room as it says.
unsafe fn fill(attribute: &mut CK_ATTRIBUTE, value: &Value) -> Answer<()> {
    let reason = match value {
        Value::Bytes(bytes) if attribute.pValue.is_null() => {
            attribute.ulValueLen = bytes.len() as CK_ULONG;
            return Ok(());
        }
        Value::Bytes(bytes) if attribute.ulValueLen >= bytes.len() as CK_ULONG => {
            attribute.ulValueLen = bytes.len() as CK_ULONG;
            let room = attribute.pValue.cast::<CK_BYTE>();
            // SAFETY: there is room for as many bytes.
            unsafe { room.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            return Ok(());
        }
        Value::Bytes(_) => CKR_BUFFER_TOO_SMALL,
        Value::Sensitive => CKR_ATTRIBUTE_SENSITIVE,
        Value::Missing => CKR_ATTRIBUTE_TYPE_INVALID,
    };
    attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
    Err(Refusal(reason))
}
