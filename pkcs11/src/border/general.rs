//! Initialising, and what there is: the module, its slots and mechanisms.

use std::ffi::c_void;

use cryptoki_sys::*;

use super::{entry, memory};
use crate::mechanisms::{find, MECHANISMS};
use crate::module::Module;
use crate::refusal::{require, Answer, Refusal};

const MANUFACTURER: &str = "Keystead";
const LONGEST_PIN: CK_ULONG = 1024;

entry! {
    fn C_Initialize(arguments: *mut c_void) {
        if !arguments.is_null() {
            // SAFETY: not NULL, so the caller promises the structure of this call.
            check_arguments(&unsafe { memory::read(arguments.cast::<CK_C_INITIALIZE_ARGS>()) }?)?;
        }
        Module::initialize()
    }

    fn C_Finalize(reserved: *mut c_void) {
        require(reserved.is_null(), Refusal(CKR_ARGUMENTS_BAD))?;
        Module::finalize()
    }

    fn C_GetInfo(info: Room<CK_INFO>) {
        Module::get()?;
        info.fill(CK_INFO {
            cryptokiVersion: CK_VERSION { major: 3, minor: 2 },
            manufacturerID: padded(MANUFACTURER),
            flags: 0,
            libraryDescription: padded("Keystead PKCS#11"),
            libraryVersion: version(),
        })
    }

    fn C_GetSlotList(_with_token: CK_BBOOL, list: List<CK_SLOT_ID>) {
        let ids: Vec<_> = Module::get()?.slots.iter().map(|slot| slot.id).collect();
        list.put(&ids)
    }

    fn C_GetSlotInfo(slot: CK_SLOT_ID, info: Room<CK_SLOT_INFO>) {
        let slot = Module::slot(slot)?;
        let urls = slot.config.urls.join(" ");
        info.fill(CK_SLOT_INFO {
            slotDescription: padded(&urls),
            manufacturerID: padded(MANUFACTURER),
            flags: CKF_TOKEN_PRESENT | CKF_HW_SLOT,
            hardwareVersion: version(),
            firmwareVersion: version(),
        })
    }

    fn C_GetTokenInfo(slot: CK_SLOT_ID, info: Room<CK_TOKEN_INFO>) {
        let slot = Module::slot(slot)?;
        let login = if slot.needs_login() { CKF_LOGIN_REQUIRED } else { 0 };
        info.fill(CK_TOKEN_INFO {
            label: padded(&slot.config.label),
            manufacturerID: padded(MANUFACTURER),
            model: padded("Keystead"),
            serialNumber: padded(&format!("{:016}", slot.id)),
            flags: CKF_RNG | CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED | login,
            ulMaxSessionCount: CK_EFFECTIVELY_INFINITE,
            ulSessionCount: CK_UNAVAILABLE_INFORMATION,
            ulMaxRwSessionCount: CK_EFFECTIVELY_INFINITE,
            ulRwSessionCount: CK_UNAVAILABLE_INFORMATION,
            ulMaxPinLen: LONGEST_PIN,
            ulMinPinLen: 0,
            ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
            hardwareVersion: version(),
            firmwareVersion: version(),
            utcTime: padded(""),
        })
    }

    fn C_GetMechanismList(slot: CK_SLOT_ID, list: List<CK_MECHANISM_TYPE>) {
        Module::slot(slot)?;
        let kinds: Vec<_> = MECHANISMS.iter().map(|row| row.kind).collect();
        list.put(&kinds)
    }

    fn C_GetMechanismInfo(slot: CK_SLOT_ID, kind: CK_MECHANISM_TYPE, info: Room<CK_MECHANISM_INFO>) {
        Module::slot(slot)?;
        let row = find(kind).ok_or(Refusal(CKR_MECHANISM_INVALID))?;
        info.fill(CK_MECHANISM_INFO {
            ulMinKeySize: row.min,
            ulMaxKeySize: row.max,
            flags: row.flags,
        })
    }

    fn C_WaitForSlotEvent(_flags: CK_FLAGS, _slot: *mut CK_SLOT_ID, _reserved: *mut c_void) {
        Module::get()?;
        // Tokens neither come nor go.
        Err(Refusal(CKR_NO_EVENT))
    }
}

/// Refuses to do without locks of the operating system, or with the caller's own.
fn check_arguments(arguments: &CK_C_INITIALIZE_ARGS) -> Answer<()> {
    let given = [
        arguments.CreateMutex.is_some(),
        arguments.DestroyMutex.is_some(),
        arguments.LockMutex.is_some(),
        arguments.UnlockMutex.is_some(),
    ];
    let (all, some) = (given.iter().all(|one| *one), given.contains(&true));
    require(arguments.pReserved.is_null() && some == all, Refusal(CKR_ARGUMENTS_BAD))?;
    require(!all || arguments.flags & CKF_OS_LOCKING_OK != 0, Refusal(CKR_CANT_LOCK))?;
    Ok(())
}

/// Returns a text with blanks behind it, cut off between two letters if it is too long.
fn padded<const SIZE: usize>(text: &str) -> [CK_UTF8CHAR; SIZE] {
    let mut length = text.len().min(SIZE);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    let mut field = [b' '; SIZE];
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
    field
}

fn version() -> CK_VERSION {
    let part = |text: &str| text.parse().unwrap_or_default();
    CK_VERSION {
        major: part(env!("CARGO_PKG_VERSION_MAJOR")),
        minor: part(env!("CARGO_PKG_VERSION_MINOR")),
    }
}

#[cfg(test)]
#[path = "../../tests/unit/border_general.rs"]
mod tests;
