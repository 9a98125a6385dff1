//! Messages of AES-GCM (PKCS#11 3.0, 5.9): each has a nonce of its own, which the server makes.

use std::ffi::c_void;

use cryptoki_sys::*;

use super::{entry, memory, parameters};
use crate::module::Module;
use crate::operations::messages;
use crate::refusal::{Answer, Refusal};
use crate::session::Purpose;

const BAD: Refusal = Refusal(CKR_MECHANISM_PARAM_INVALID);

entry! {
    fn C_MessageEncryptInit(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a mechanism.
        unsafe { begin(session, Purpose::Encrypt, mechanism, key) }
    }

    fn C_EncryptMessage(
        session: CK_SESSION_HANDLE,
        parameter: *mut c_void,
        parameter_length: CK_ULONG,
        aad: *mut CK_BYTE,
        aad_length: CK_ULONG,
        plaintext: *mut CK_BYTE,
        plaintext_length: CK_ULONG,
        ciphertext: *mut CK_BYTE,
        ciphertext_length: *mut CK_ULONG,
    ) {
        let session = Module::session(session)?;
        let key = session.begun().message_key(Purpose::Encrypt)?;
        // SAFETY: the caller promises the structure, data, and room for the results.
        let (given, aad, plaintext, output) = unsafe {
            (
                gcm(parameter, parameter_length)?,
                memory::bytes(aad, aad_length)?,
                memory::bytes(plaintext, plaintext_length)?,
                memory::Output::new(ciphertext, ciphertext_length)?,
            )
        };
        let makes_nonce = matches!(given.ivGenerator, CKG_GENERATE | CKG_GENERATE_RANDOM);
        if !makes_nonce || given.ulIvFixedBits != 0 {
            return Err(BAD);
        }
        if output.asks_length() {
            output.tell_length(plaintext.len());
            return Ok(());
        }
        output.require(plaintext.len())?;
        let sealed = messages::encrypt(&session.slot, &key, plaintext, aad)?;
        output.put(&sealed.ciphertext)?;
        // SAFETY: `gcm` refuses NULL and other lengths; the caller promises room for them.
        unsafe {
            given.pIv.copy_from_nonoverlapping(sealed.iv.as_ptr(), sealed.iv.len());
            given.pTag.copy_from_nonoverlapping(sealed.tag.as_ptr(), sealed.tag.len());
        }
        Ok(())
    }

    fn C_MessageEncryptFinal(session: CK_SESSION_HANDLE) {
        Module::session(session)?.begun().end_messages(Purpose::Encrypt)
    }

    fn C_MessageDecryptInit(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a mechanism.
        unsafe { begin(session, Purpose::Decrypt, mechanism, key) }
    }

    fn C_DecryptMessage(
        session: CK_SESSION_HANDLE,
        parameter: *mut c_void,
        parameter_length: CK_ULONG,
        aad: *mut CK_BYTE,
        aad_length: CK_ULONG,
        ciphertext: *mut CK_BYTE,
        ciphertext_length: CK_ULONG,
        plaintext: *mut CK_BYTE,
        plaintext_length: *mut CK_ULONG,
    ) {
        let session = Module::session(session)?;
        let key = session.begun().message_key(Purpose::Decrypt)?;
        // SAFETY: the caller promises the structure, data, and room for the result; `gcm` refuses
        // NULL and other lengths of nonce and tag.
        let (iv, tag, aad, ciphertext, output) = unsafe {
            let given = gcm(parameter, parameter_length)?;
            (
                memory::bytes(given.pIv, given.ulIvLen)?,
                memory::bytes(given.pTag, given.ulTagBits / 8)?,
                memory::bytes(aad, aad_length)?,
                memory::bytes(ciphertext, ciphertext_length)?,
                memory::Output::new(plaintext, plaintext_length)?,
            )
        };
        if output.asks_length() {
            output.tell_length(ciphertext.len());
            return Ok(());
        }
        output.require(ciphertext.len())?;
        output.put(&messages::decrypt(&session.slot, &key, ciphertext, iv, tag, aad)?)
    }

    fn C_MessageDecryptFinal(session: CK_SESSION_HANDLE) {
        Module::session(session)?.begun().end_messages(Purpose::Decrypt)
    }
}

/// Begins messages with a key. A NULL mechanism ends them.
///
/// # Safety
/// `mechanism` is NULL or points at a mechanism.
unsafe fn begin(
    session: CK_SESSION_HANDLE,
    purpose: Purpose,
    mechanism: *const CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> Answer<()> {
    let session = Module::session(session)?;
    if mechanism.is_null() {
        return session.begun().end_messages(purpose);
    }
    // SAFETY: as the caller of this function promises; each message has its own parameters.
    let kind = unsafe { memory::read(mechanism) }?.mechanism;
    let key = session.slot.object(key).map_err(|_| Refusal(CKR_KEY_HANDLE_INVALID))?;
    messages::require_key(kind, &key)?;
    let mut begun = session.begun();
    begun.begin_messages(purpose, key)
}

/// Returns the parameters of a message, with room for the only nonce and tag that the server has.
///
/// # Safety
/// `parameter` is NULL or points at as many bytes as `length` says.
unsafe fn gcm(parameter: *const c_void, length: CK_ULONG) -> Answer<CK_GCM_MESSAGE_PARAMS> {
    // SAFETY: as the caller of this function promises.
    let given: CK_GCM_MESSAGE_PARAMS = unsafe { parameters::structure(parameter, length) }?;
    let has_sizes = given.ulIvLen == messages::IV_BYTES as CK_ULONG
        && given.ulTagBits == 8 * messages::TAG_BYTES as CK_ULONG;
    if !has_sizes || given.pIv.is_null() || given.pTag.is_null() {
        return Err(BAD);
    }
    Ok(given)
}
