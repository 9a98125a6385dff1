//! The functions of PKCS#11 that the module does not have. Function lists need all of them.

use std::ffi::c_void;

use cryptoki_sys::*;

/// Defines functions by the types of their arguments, which they do not look at.
macro_rules! unsupported {
    (of: $name:ident($($kind:ty),*)) => {
        #[doc = concat!("`", stringify!($name), "` of PKCS#11, which is not supported.")]
        #[no_mangle]
        pub extern "C" fn $name($(_: $kind),*) -> CK_RV {
            CKR_FUNCTION_NOT_SUPPORTED
        }
    };
    ($($arguments:tt => $($name:ident),*;)*) => {$($(unsupported!(of: $name $arguments);)*)*};
}

unsupported! {
    (CK_SLOT_ID, *mut CK_UTF8CHAR, CK_ULONG, *mut CK_UTF8CHAR) => C_InitToken;
    (CK_SESSION_HANDLE, *mut CK_UTF8CHAR, CK_ULONG) => C_InitPIN;
    (CK_SESSION_HANDLE, *mut CK_BYTE, *mut CK_ULONG) => C_GetOperationState;
    (CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG, CK_OBJECT_HANDLE, CK_OBJECT_HANDLE) => C_SetOperationState;
    (CK_SESSION_HANDLE, CK_OBJECT_HANDLE) => C_DigestKey;
    (CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE) => C_SignRecoverInit, C_VerifyRecoverInit, C_MessageSignInit, C_MessageVerifyInit;
    (CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG) =>
        C_SignRecover, C_VerifyRecover, C_DigestEncryptUpdate, C_DecryptDigestUpdate, C_SignEncryptUpdate, C_DecryptVerifyUpdate;
    (CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG) => C_SeedRandom, C_VerifySignature, C_VerifySignatureUpdate;
    (CK_SESSION_HANDLE) => C_GetFunctionStatus, C_CancelFunction, C_MessageSignFinal, C_MessageVerifyFinal, C_VerifySignatureFinal;
    (CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG) => C_EncryptMessageBegin, C_DecryptMessageBegin;
    (CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG, CK_FLAGS) => C_EncryptMessageNext, C_DecryptMessageNext;
    (CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG) => C_SignMessage, C_SignMessageNext;
    (CK_SESSION_HANDLE, *mut c_void, CK_ULONG) => C_SignMessageBegin, C_VerifyMessageBegin;
    (CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, CK_ULONG) => C_VerifyMessage, C_VerifyMessageNext;
    (CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE, *mut CK_BYTE, CK_ULONG) => C_VerifySignatureInit;
    (CK_SESSION_HANDLE, CK_SESSION_VALIDATION_FLAGS_TYPE, *mut CK_FLAGS) => C_GetSessionValidationFlags;
    (CK_SESSION_HANDLE, *mut CK_UTF8CHAR, *mut CK_ASYNC_DATA) => C_AsyncComplete;
    (CK_SESSION_HANDLE, *mut CK_UTF8CHAR, *mut CK_ULONG) => C_AsyncGetID;
    (CK_SESSION_HANDLE, *mut CK_UTF8CHAR, CK_ULONG, *mut CK_BYTE, CK_ULONG) => C_AsyncJoin;
    (CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE, CK_OBJECT_HANDLE, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG) => C_WrapKeyAuthenticated;
    (CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE, *mut CK_BYTE, CK_ULONG, *mut CK_ATTRIBUTE, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_OBJECT_HANDLE) =>
        C_UnwrapKeyAuthenticated;
}
