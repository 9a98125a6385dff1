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

use cryptoki_sys::*;

use crate::refusal::{Answer, Refusal};

/// Runs a call. A panic does not reach the application's code, which could not cope with it.
fn answered(call: impl FnOnce() -> Answer<()> + std::panic::UnwindSafe) -> CK_RV {
    match std::panic::catch_unwind(call) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(Refusal(reason))) => reason,
        Err(_) => CKR_GENERAL_ERROR,
    }
}

/// Defines functions of PKCS#11.
///
/// An argument of a kind below stands for the handle, the pointer or the pointer and its length
/// that the standard has in this place. They are read in their order before the body, which has no
/// pointer to follow; one that cannot be read refuses the call. All others are as they are in C.
macro_rules! entry {
    ($(fn $name:ident($($arguments:tt)*) $body:block)*) => {
        $(entry!(@read $name [] [] ($($arguments)*,) $body);)*
    };
    // An open session.
    (@read $name:ident [$($c:tt)*] [$($read:tt)*] ($a:ident: Session, $($more:tt)*) $body:block) => {
        entry!(@read $name [$($c)* $a: cryptoki_sys::CK_SESSION_HANDLE,]
            [$($read)* let $a = $crate::module::Module::session($a)?;] ($($more)*) $body);
    };
    // A mechanism with its parameters.
    (@read $name:ident [$($c:tt)*] [$($read:tt)*] ($a:ident: Mechanism, $($more:tt)*) $body:block) => {
        entry!(@promised $name [$($c)* $a: *mut cryptoki_sys::CK_MECHANISM,]
            [$($read)*] $a (parameters::mechanism($a)) ($($more)*) $body);
    };
    // The same, or NULL.
    (@read $name:ident [$($c:tt)*] [$($read:tt)*] ($a:ident: Option<Mechanism>, $($more:tt)*) $body:block) => {
        entry!(@promised $name [$($c)* $a: *mut cryptoki_sys::CK_MECHANISM,]
            [$($read)*] $a (parameters::mechanism_or_null($a)) ($($more)*) $body);
    };
    // The parameters of a message of AES-GCM.
    (@read $name:ident [$($c:tt)*] [$($read:tt)*] ($a:ident: GcmMessage, $($more:tt)*) $body:block) => {
        entry!(@promised $name [$($c)* $a: *mut std::ffi::c_void, length: cryptoki_sys::CK_ULONG,]
            [$($read)*] $a (parameters::GcmMessage::read($a, length)) ($($more)*) $body);
    };
    // A template.
    (@read $name:ident [$($c:tt)*] [$($read:tt)*] ($a:ident: Template, $($more:tt)*) $body:block) => {
        entry!(@promised $name [$($c)* $a: *mut cryptoki_sys::CK_ATTRIBUTE, count: cryptoki_sys::CK_ULONG,]
            [$($read)*] $a (memory::template($a, count)) ($($more)*) $body);
    };
    // Bytes that the caller has.
    (@read $name:ident [$($c:tt)*] [$($read:tt)*] ($a:ident: Bytes, $($more:tt)*) $body:block) => {
        entry!(@promised $name [$($c)* $a: *mut cryptoki_sys::CK_BYTE, length: cryptoki_sys::CK_ULONG,]
            [$($read)*] $a (memory::bytes($a, length)) ($($more)*) $body);
    };
    // A text that the caller has.
    (@read $name:ident [$($c:tt)*] [$($read:tt)*] ($a:ident: Text, $($more:tt)*) $body:block) => {
        entry!(@promised $name [$($c)* $a: *mut cryptoki_sys::CK_UTF8CHAR, length: cryptoki_sys::CK_ULONG,]
            [$($read)*] $a (memory::text($a, length)) ($($more)*) $body);
    };
    // Where the caller wants bytes.
    (@read $name:ident [$($c:tt)*] [$($read:tt)*] ($a:ident: Output, $($more:tt)*) $body:block) => {
        entry!(@read $name [$($c)*] [$($read)*] ($a: List<cryptoki_sys::CK_BYTE>, $($more)*) $body);
    };
    // Where the caller wants a list.
    (@read $name:ident [$($c:tt)*] [$($read:tt)*] ($a:ident: List<$kind:ty>, $($more:tt)*) $body:block) => {
        entry!(@promised $name [$($c)* $a: *mut $kind, length: *mut cryptoki_sys::CK_ULONG,]
            [$($read)*] $a (memory::Output::new($a, length)) ($($more)*) $body);
    };
    // Where the caller wants a value.
    (@read $name:ident [$($c:tt)*] [$($read:tt)*] ($a:ident: Room<$kind:ty>, $($more:tt)*) $body:block) => {
        entry!(@promised $name [$($c)* $a: *mut $kind,]
            [$($read)*] $a (memory::Room::new($a)) ($($more)*) $body);
    };
    // As it is.
    (@read $name:ident [$($c:tt)*] [$($read:tt)*] ($a:ident: $kind:ty, $($more:tt)*) $body:block) => {
        entry!(@read $name [$($c)* $a: $kind,] [$($read)*] ($($more)*) $body);
    };
    (@read $name:ident [$($c:tt)*] [$($read:tt)*] ($(,)?) $body:block) => {
        #[doc = concat!("`", stringify!($name), "` of PKCS#11.")]
        #[no_mangle]
        pub unsafe extern "C" fn $name($($c)*) -> cryptoki_sys::CK_RV {
            $crate::border::answered(std::panic::AssertUnwindSafe(
                move || -> $crate::refusal::Answer<()> { $($read)* $body },
            ))
        }
    };
    (@promised $name:ident [$($c:tt)*] [$($read:tt)*] $a:ident ($($reader:tt)*) ($($more:tt)*) $body:block) => {
        entry!(@read $name [$($c)*] [$($read)*
            // SAFETY: each reader wants what the standard makes the caller promise.
            let $a = unsafe { $crate::border::$($reader)* }?;
        ] ($($more)*) $body);
    };
}
use entry;
