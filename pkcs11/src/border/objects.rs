//! Objects: finding, reading, making, changing and destroying them.

use cryptoki_sys::*;

use super::{entry, memory};
use crate::objects::{Handle, Value};
use crate::refusal::{require, Answer, Refusal};

entry! {
    fn C_FindObjectsInit(session: Session, template: Template) {
        require(session.begun().found.is_none(), Refusal(CKR_OPERATION_ACTIVE))?;
        let found = session.slot.find(&template)?;
        session.begun().found = Some(found.into());
        Ok(())
    }

    fn C_FindObjects(session: Session, handles: *mut Handle, most: CK_ULONG, count: Room<CK_ULONG>) {
        let mut begun = session.begun();
        let found = begun.found.as_mut().ok_or(Refusal(CKR_OPERATION_NOT_INITIALIZED))?;
        require(!handles.is_null() || most == 0, Refusal(CKR_ARGUMENTS_BAD))?;
        let taken = memory::size(most)?.min(found.len());
        let taken: Vec<_> = found.drain(..taken).collect();
        count.write(taken.len() as CK_ULONG);
        // SAFETY: the caller promises room for `most` handles.
        unsafe { handles.copy_from_nonoverlapping(taken.as_ptr(), taken.len()) };
        Ok(())
    }

    fn C_FindObjectsFinal(session: Session) {
        let found = session.begun().found.take();
        found.map(drop).ok_or(Refusal(CKR_OPERATION_NOT_INITIALIZED))
    }

    fn C_GetAttributeValue(
        session: Session, object: Handle, template: *mut CK_ATTRIBUTE, count: CK_ULONG
    ) {
        let object = session.slot.object(object)?;
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

    fn C_SetAttributeValue(session: Session, object: Handle, template: Template) {
        session.require_read_write()?;
        session.slot.set_attributes(object, &template)
    }

    fn C_DestroyObject(session: Session, object: Handle) {
        if session.slot.object(object)?.session().is_none() {
            session.require_read_write()?;
        }
        session.slot.destroy(object)
    }

    fn C_GetObjectSize(session: Session, object: Handle, size: Room<CK_ULONG>) {
        session.slot.object(object)?;
        size.fill(CK_UNAVAILABLE_INFORMATION)
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
