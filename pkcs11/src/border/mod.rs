//! The functions of PKCS#11 in C: they read arguments, call the module, and write results.
//!
//! This is the only code with raw pointers. Its contract is that of the standard: a pointer is NULL
//! or points at what the standard says, and stays valid during the call.
#![allow(unsafe_code, non_snake_case)]

mod crypt;
mod general;
mod interfaces;
mod keys;
mod memory;
mod messages;
mod objects;
mod parameters;
mod sessions;
mod unsupported;
mod wrapping;

use cryptoki_sys::{CKR_GENERAL_ERROR, CKR_OK, CK_RV};

use crate::refusal::{Answer, Refusal};

/// Runs a call. A panic does not reach the application's code, which could not cope with it.
fn answered(call: impl FnOnce() -> Answer<()> + std::panic::UnwindSafe) -> CK_RV {
    match std::panic::catch_unwind(call) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(Refusal(reason))) => reason,
        Err(_) => CKR_GENERAL_ERROR,
    }
}

/// Defines a function of PKCS#11.
macro_rules! entry {
    ($(fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $body:block)*) => {$(
        #[doc = concat!("`", stringify!($name), "` of PKCS#11.")]
        #[no_mangle]
        pub unsafe extern "C" fn $name($($argument: $kind),*) -> cryptoki_sys::CK_RV {
            $crate::border::answered(std::panic::AssertUnwindSafe(
                move || -> $crate::refusal::Answer<()> { $body },
            ))
        }
    )*};
}
use entry;
