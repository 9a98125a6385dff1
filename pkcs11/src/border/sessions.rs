//! Sessions and logins.

use std::ffi::c_void;
use std::sync::Arc;

use cryptoki_sys::*;

use super::{entry, memory};
use crate::module::Module;
use crate::refusal::{Answer, Refusal};

entry! {
    fn C_OpenSession(
        slot: CK_SLOT_ID,
        flags: CK_FLAGS,
        _application: *mut c_void,
        _notify: CK_NOTIFY,
        handle: *mut CK_SESSION_HANDLE,
    ) {
        let module = Module::get()?;
        let slot = Module::slot(slot)?;
        if flags & CKF_SERIAL_SESSION == 0 {
            return Err(Refusal(CKR_SESSION_PARALLEL_NOT_SUPPORTED));
        }
        if handle.is_null() {
            return Err(Refusal(CKR_ARGUMENTS_BAD));
        }
        let opened = module.sessions.open(Arc::clone(&slot), flags & CKF_RW_SESSION != 0);
        // SAFETY: the caller promises room for a handle.
        unsafe { memory::put(handle, opened) }
    }

    fn C_CloseSession(session: CK_SESSION_HANDLE) {
        Module::get()?.sessions.close(session)
    }

    fn C_CloseAllSessions(slot: CK_SLOT_ID) {
        Module::slot(slot)?;
        Module::get()?.sessions.close_all(slot);
        Ok(())
    }

    fn C_GetSessionInfo(session: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO) {
        let session = Module::session(session)?;
        let state = match (session.is_read_write, session.slot.has_user()) {
            (true, true) => CKS_RW_USER_FUNCTIONS,
            (true, false) => CKS_RW_PUBLIC_SESSION,
            (false, true) => CKS_RO_USER_FUNCTIONS,
            (false, false) => CKS_RO_PUBLIC_SESSION,
        };
        let read_write = if session.is_read_write { CKF_RW_SESSION } else { 0 };
        let filled = CK_SESSION_INFO {
            slotID: session.slot.id,
            state,
            flags: CKF_SERIAL_SESSION | read_write,
            ulDeviceError: 0,
        };
        // SAFETY: the caller promises room for the structure.
        unsafe { memory::put(info, filled) }
    }

    fn C_Login(
        session: CK_SESSION_HANDLE,
        user_type: CK_USER_TYPE,
        pin: *mut CK_UTF8CHAR,
        pin_length: CK_ULONG,
    ) {
        let session = Module::session(session)?;
        // SAFETY: the caller promises a PIN of this length.
        let pin = unsafe { text(pin, pin_length) }?;
        session.slot.log_in(user_type, None, pin)
    }

    fn C_LoginUser(
        session: CK_SESSION_HANDLE,
        user_type: CK_USER_TYPE,
        pin: *mut CK_UTF8CHAR,
        pin_length: CK_ULONG,
        name: *mut CK_UTF8CHAR,
        name_length: CK_ULONG,
    ) {
        let session = Module::session(session)?;
        // SAFETY: the caller promises a PIN and a name of these lengths.
        let (pin, name) = unsafe { (text(pin, pin_length)?, text(name, name_length)?) };
        session.slot.log_in(user_type, Some(name).filter(|name| !name.is_empty()), pin)
    }

    fn C_Logout(session: CK_SESSION_HANDLE) {
        Module::session(session)?.slot.log_out()
    }

    fn C_SetPIN(
        session: CK_SESSION_HANDLE,
        old: *mut CK_UTF8CHAR,
        old_length: CK_ULONG,
        new: *mut CK_UTF8CHAR,
        new_length: CK_ULONG,
    ) {
        let session = Module::session(session)?;
        if !session.is_read_write {
            return Err(Refusal(CKR_SESSION_READ_ONLY));
        }
        // SAFETY: the caller promises PINs of these lengths.
        let (old, new) = unsafe { (text(old, old_length)?, text(new, new_length)?) };
        session.slot.set_pin(old, new)
    }

    fn C_SessionCancel(session: CK_SESSION_HANDLE, flags: CK_FLAGS) {
        let session = Module::session(session)?;
        session.begun().cancel(flags);
        Ok(())
    }

    fn C_GenerateRandom(session: CK_SESSION_HANDLE, bytes: *mut CK_BYTE, length: CK_ULONG) {
        let session = Module::session(session)?;
        let wanted = memory::size(length)?;
        if bytes.is_null() && wanted > 0 {
            return Err(Refusal(CKR_ARGUMENTS_BAD));
        }
        let random = session.slot.random(wanted)?;
        if wanted == 0 {
            return Ok(());
        }
        // SAFETY: not NULL; the caller promises room for `length` bytes, and `random` has as many.
        unsafe { bytes.copy_from_nonoverlapping(random.as_ptr(), random.len()) };
        Ok(())
    }
}

/// Returns a text. NULL is an empty one.
///
/// # Safety
/// `pointer` is NULL or points at `length` bytes that outlive `'a`.
unsafe fn text<'a>(pointer: *const CK_UTF8CHAR, length: CK_ULONG) -> Answer<&'a str> {
    if pointer.is_null() {
        return Ok("");
    }
    // SAFETY: as the caller of this function promises.
    let bytes = unsafe { memory::bytes(pointer, length) }?;
    std::str::from_utf8(bytes).map_err(|_| Refusal(CKR_PIN_INCORRECT))
}
