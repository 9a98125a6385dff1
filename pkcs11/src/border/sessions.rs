//! Sessions and logins.

use std::ffi::c_void;

use cryptoki_sys::*;

use super::{entry, memory};
use crate::module::Module;
use crate::objects::Handle;
use crate::refusal::{require, Refusal};

entry! {
    fn C_OpenSession(
        slot: CK_SLOT_ID, flags: CK_FLAGS, _application: *mut c_void, _notify: CK_NOTIFY,
        handle: Room<Handle>
    ) {
        let module = Module::get()?;
        let slot = Module::slot(slot)?;
        require(flags & CKF_SERIAL_SESSION != 0, Refusal(CKR_SESSION_PARALLEL_NOT_SUPPORTED))?;
        handle.fill(module.sessions.open(slot, flags & CKF_RW_SESSION != 0))
    }

    fn C_CloseSession(session: Handle) {
        Module::get()?.sessions.close(session)
    }

    fn C_CloseAllSessions(slot: CK_SLOT_ID) {
        Module::slot(slot)?;
        Module::get()?.sessions.close_all(slot);
        Ok(())
    }

    fn C_GetSessionInfo(session: Session, info: Room<CK_SESSION_INFO>) {
        let state = match (session.is_read_write, session.slot.has_user()) {
            (true, true) => CKS_RW_USER_FUNCTIONS,
            (true, false) => CKS_RW_PUBLIC_SESSION,
            (false, true) => CKS_RO_USER_FUNCTIONS,
            (false, false) => CKS_RO_PUBLIC_SESSION,
        };
        let read_write = if session.is_read_write { CKF_RW_SESSION } else { 0 };
        info.fill(CK_SESSION_INFO {
            slotID: session.slot.id,
            state,
            flags: CKF_SERIAL_SESSION | read_write,
            ulDeviceError: 0,
        })
    }

    fn C_Login(session: Session, user_type: CK_USER_TYPE, pin: Text) {
        session.slot.log_in(user_type, None, pin)
    }

    fn C_LoginUser(session: Session, user_type: CK_USER_TYPE, pin: Text, name: Text) {
        session.slot.log_in(user_type, Some(name).filter(|name| !name.is_empty()), pin)
    }

    fn C_Logout(session: Session) {
        session.slot.log_out()
    }

    fn C_SetPIN(session: Session, old: Text, new: Text) {
        session.require_read_write()?;
        session.slot.set_pin(old, new)
    }

    fn C_SessionCancel(session: Session, flags: CK_FLAGS) {
        session.begun().cancel(flags);
        Ok(())
    }

    fn C_GenerateRandom(session: Session, bytes: *mut CK_BYTE, length: CK_ULONG) {
        let wanted = memory::size(length)?;
        require(!bytes.is_null() || wanted == 0, Refusal(CKR_ARGUMENTS_BAD))?;
        let random = session.slot.user()?.random(wanted)?;
        if wanted == 0 {
            return Ok(());
        }
        // SAFETY: not NULL; the caller promises room for `length` bytes, and `random` has as many.
        unsafe { bytes.copy_from_nonoverlapping(random.as_ptr(), random.len()) };
        Ok(())
    }
}
