//! The lists of functions, by which applications find them all.

use cryptoki_sys::*;

use super::crypt::*;
use super::entry;
use super::general::*;
use super::keys::*;
use super::memory;
use super::messages::*;
use super::objects::*;
use super::sessions::*;
use super::unsupported::*;
use super::wrapping::*;
use crate::refusal::Refusal;

const NAME: &[u8] = b"PKCS 11\0";
const VERSION_2_40: CK_VERSION = CK_VERSION { major: 2, minor: 40 };
const VERSION_3_0: CK_VERSION = CK_VERSION { major: 3, minor: 0 };
const VERSION_3_2: CK_VERSION = CK_VERSION { major: 3, minor: 2 };

/// Makes a function list: of 2.40, of 3.0, which has more at its end, or of 3.2, which has still more.
macro_rules! function_list {
    (3.2: $list:ident, $version:ident) => {
        function_list!(3.0: $list, $version,
            C_EncapsulateKey, C_DecapsulateKey, C_VerifySignatureInit, C_VerifySignature,
            C_VerifySignatureUpdate, C_VerifySignatureFinal, C_GetSessionValidationFlags,
            C_AsyncComplete, C_AsyncGetID, C_AsyncJoin, C_WrapKeyAuthenticated,
            C_UnwrapKeyAuthenticated)
    };
    (3.0: $list:ident, $version:ident $(, $more:ident)*) => {
        function_list!(2.40: $list, $version,
            C_GetInterfaceList, C_GetInterface, C_LoginUser, C_SessionCancel,
            C_MessageEncryptInit, C_EncryptMessage, C_EncryptMessageBegin, C_EncryptMessageNext,
            C_MessageEncryptFinal, C_MessageDecryptInit, C_DecryptMessage, C_DecryptMessageBegin,
            C_DecryptMessageNext, C_MessageDecryptFinal, C_MessageSignInit, C_SignMessage,
            C_SignMessageBegin, C_SignMessageNext, C_MessageSignFinal, C_MessageVerifyInit,
            C_VerifyMessage, C_VerifyMessageBegin, C_VerifyMessageNext, C_MessageVerifyFinal
            $(, $more)*)
    };
    (2.40: $list:ident, $version:ident $(, $more:ident)*) => {
        function_list!(of: $list, $version,
            C_Initialize, C_Finalize, C_GetInfo, C_GetFunctionList, C_GetSlotList, C_GetSlotInfo,
            C_GetTokenInfo, C_GetMechanismList, C_GetMechanismInfo, C_InitToken, C_InitPIN,
            C_SetPIN, C_OpenSession, C_CloseSession, C_CloseAllSessions, C_GetSessionInfo,
            C_GetOperationState, C_SetOperationState, C_Login, C_Logout, C_CreateObject,
            C_CopyObject, C_DestroyObject, C_GetObjectSize, C_GetAttributeValue,
            C_SetAttributeValue, C_FindObjectsInit, C_FindObjects, C_FindObjectsFinal,
            C_EncryptInit, C_Encrypt, C_EncryptUpdate, C_EncryptFinal, C_DecryptInit, C_Decrypt,
            C_DecryptUpdate, C_DecryptFinal, C_DigestInit, C_Digest, C_DigestUpdate, C_DigestKey,
            C_DigestFinal, C_SignInit, C_Sign, C_SignUpdate, C_SignFinal, C_SignRecoverInit,
            C_SignRecover, C_VerifyInit, C_Verify, C_VerifyUpdate, C_VerifyFinal,
            C_VerifyRecoverInit, C_VerifyRecover, C_DigestEncryptUpdate, C_DecryptDigestUpdate,
            C_SignEncryptUpdate, C_DecryptVerifyUpdate, C_GenerateKey, C_GenerateKeyPair,
            C_WrapKey, C_UnwrapKey, C_DeriveKey, C_SeedRandom, C_GenerateRandom,
            C_GetFunctionStatus, C_CancelFunction, C_WaitForSlotEvent
            $(, $more)*)
    };
    (of: $list:ident, $version:ident, $($name:ident),*) => {
        $list { version: $version, $($name: Some($name),)* }
    };
}

static LIST_2_40: CK_FUNCTION_LIST = function_list!(2.40: CK_FUNCTION_LIST, VERSION_2_40);
static LIST_3_0: CK_FUNCTION_LIST_3_0 = function_list!(3.0: CK_FUNCTION_LIST_3_0, VERSION_3_0);
static LIST_3_2: CK_FUNCTION_LIST_3_2 = function_list!(3.2: CK_FUNCTION_LIST_3_2, VERSION_3_2);
const VERSIONS: [CK_VERSION; 3] = [VERSION_3_2, VERSION_3_0, VERSION_2_40];

/// The interfaces, the newest first: it is the one that an application gets if it names none.
struct Interfaces([CK_INTERFACE; 3]);

// SAFETY: they point at statics, which never change.
unsafe impl Sync for Interfaces {}

const fn interface<T>(list: *const T) -> CK_INTERFACE {
    CK_INTERFACE {
        pInterfaceName: NAME.as_ptr().cast_mut(),
        pFunctionList: list.cast_mut().cast(),
        flags: 0,
    }
}

static INTERFACES: Interfaces = Interfaces([
    interface(&raw const LIST_3_2),
    interface(&raw const LIST_3_0),
    interface(&raw const LIST_2_40),
]);

entry! {
    fn C_GetFunctionList(list: Room<*mut CK_FUNCTION_LIST>) {
        list.fill((&raw const LIST_2_40).cast_mut())
    }

    fn C_GetInterfaceList(list: List<CK_INTERFACE>) {
        list.put(&INTERFACES.0)
    }

    fn C_GetInterface(
        name: *mut CK_UTF8CHAR, version: *mut CK_VERSION, interface: Room<*mut CK_INTERFACE>,
        flags: CK_FLAGS
    ) {
        // SAFETY: the caller promises a text that ends with a zero, or NULL.
        let is_other = !name.is_null()
            && unsafe { std::ffi::CStr::from_ptr(name.cast()) }.to_bytes_with_nul() != NAME;
        let place = if version.is_null() {
            Some(0)
        } else {
            // SAFETY: the caller promises a version.
            let wanted = unsafe { memory::read(version) }?;
            let is = |offered: CK_VERSION| (offered.major, offered.minor) == (wanted.major, wanted.minor);
            VERSIONS.into_iter().position(is)
        };
        let found = place.filter(|_| !is_other && flags & !CKF_INTERFACE_FORK_SAFE == 0);
        let found = &INTERFACES.0[found.ok_or(Refusal(CKR_FUNCTION_FAILED))?];
        interface.fill((&raw const *found).cast_mut())
    }
}
