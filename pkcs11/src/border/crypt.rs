//! Sign, verify, encrypt, decrypt and digest: the same four steps for each.

use cryptoki_sys::*;

use super::{entry, memory, parameters};
use crate::module::Module;
use crate::operations::Operation;
use crate::refusal::{Answer, Refusal};
use crate::session::Purpose;

entry! {
    fn C_SignInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
        // SAFETY: the caller promises a mechanism.
        unsafe { begin(session, Purpose::Sign, mechanism, key) }
    }

    fn C_Sign(
        session: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        data_length: CK_ULONG,
        signature: *mut CK_BYTE,
        signature_length: *mut CK_ULONG,
    ) {
        // SAFETY: the caller promises data, and room for the result.
        unsafe { finish(session, Purpose::Sign, data, data_length, signature, signature_length) }
    }

    fn C_SignUpdate(session: CK_SESSION_HANDLE, part: *mut CK_BYTE, part_length: CK_ULONG) {
        // SAFETY: the caller promises data.
        unsafe { update(session, Purpose::Sign, part, part_length) }
    }

    fn C_SignFinal(
        session: CK_SESSION_HANDLE,
        signature: *mut CK_BYTE,
        signature_length: *mut CK_ULONG,
    ) {
        // SAFETY: the caller promises room for the result.
        unsafe {
            finish(session, Purpose::Sign, std::ptr::null(), 0, signature, signature_length)
        }
    }

    fn C_VerifyInit(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a mechanism.
        unsafe { begin(session, Purpose::Verify, mechanism, key) }
    }

    fn C_Verify(
        session: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        data_length: CK_ULONG,
        signature: *mut CK_BYTE,
        signature_length: CK_ULONG,
    ) {
        // SAFETY: the caller promises data and a signature.
        unsafe { check(session, data, data_length, signature, signature_length) }
    }

    fn C_VerifyUpdate(session: CK_SESSION_HANDLE, part: *mut CK_BYTE, part_length: CK_ULONG) {
        // SAFETY: the caller promises data.
        unsafe { update(session, Purpose::Verify, part, part_length) }
    }

    fn C_VerifyFinal(
        session: CK_SESSION_HANDLE,
        signature: *mut CK_BYTE,
        signature_length: CK_ULONG,
    ) {
        // SAFETY: the caller promises a signature.
        unsafe { check(session, std::ptr::null(), 0, signature, signature_length) }
    }

    fn C_EncryptInit(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a mechanism.
        unsafe { begin(session, Purpose::Encrypt, mechanism, key) }
    }

    fn C_Encrypt(
        session: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        data_length: CK_ULONG,
        encrypted: *mut CK_BYTE,
        encrypted_length: *mut CK_ULONG,
    ) {
        // SAFETY: the caller promises data, and room for the result.
        unsafe { finish(session, Purpose::Encrypt, data, data_length, encrypted, encrypted_length) }
    }

    fn C_EncryptUpdate(
        session: CK_SESSION_HANDLE,
        part: *mut CK_BYTE,
        part_length: CK_ULONG,
        encrypted: *mut CK_BYTE,
        encrypted_length: *mut CK_ULONG,
    ) {
        // SAFETY: the caller promises data, and a number for the length.
        unsafe { gather(session, Purpose::Encrypt, part, part_length, encrypted, encrypted_length) }
    }

    fn C_EncryptFinal(
        session: CK_SESSION_HANDLE,
        encrypted: *mut CK_BYTE,
        encrypted_length: *mut CK_ULONG,
    ) {
        // SAFETY: the caller promises room for the result.
        unsafe {
            finish(session, Purpose::Encrypt, std::ptr::null(), 0, encrypted, encrypted_length)
        }
    }

    fn C_DecryptInit(
        session: CK_SESSION_HANDLE,
        mechanism: *mut CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
    ) {
        // SAFETY: the caller promises a mechanism.
        unsafe { begin(session, Purpose::Decrypt, mechanism, key) }
    }

    fn C_Decrypt(
        session: CK_SESSION_HANDLE,
        encrypted: *mut CK_BYTE,
        encrypted_length: CK_ULONG,
        data: *mut CK_BYTE,
        data_length: *mut CK_ULONG,
    ) {
        // SAFETY: the caller promises data, and room for the result.
        unsafe { finish(session, Purpose::Decrypt, encrypted, encrypted_length, data, data_length) }
    }

    fn C_DecryptUpdate(
        session: CK_SESSION_HANDLE,
        part: *mut CK_BYTE,
        part_length: CK_ULONG,
        data: *mut CK_BYTE,
        data_length: *mut CK_ULONG,
    ) {
        // SAFETY: the caller promises data, and a number for the length.
        unsafe { gather(session, Purpose::Decrypt, part, part_length, data, data_length) }
    }

    fn C_DecryptFinal(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_length: *mut CK_ULONG) {
        // SAFETY: the caller promises room for the result.
        unsafe { finish(session, Purpose::Decrypt, std::ptr::null(), 0, data, data_length) }
    }

    fn C_DigestInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM) {
        let session = Module::session(session)?;
        // SAFETY: the caller promises a mechanism.
        let mechanism = unsafe { parameters::mechanism(mechanism) }?;
        let mut begun = session.begun();
        begun.begin(Purpose::Digest, || Operation::digest(&mechanism))
    }

    fn C_Digest(
        session: CK_SESSION_HANDLE,
        data: *mut CK_BYTE,
        data_length: CK_ULONG,
        digest: *mut CK_BYTE,
        digest_length: *mut CK_ULONG,
    ) {
        // SAFETY: the caller promises data, and room for the result.
        unsafe { finish(session, Purpose::Digest, data, data_length, digest, digest_length) }
    }

    fn C_DigestUpdate(session: CK_SESSION_HANDLE, part: *mut CK_BYTE, part_length: CK_ULONG) {
        // SAFETY: the caller promises data.
        unsafe { update(session, Purpose::Digest, part, part_length) }
    }

    fn C_DigestFinal(session: CK_SESSION_HANDLE, digest: *mut CK_BYTE, digest_length: *mut CK_ULONG) {
        // SAFETY: the caller promises room for the result.
        unsafe { finish(session, Purpose::Digest, std::ptr::null(), 0, digest, digest_length) }
    }
}

/// Begins an operation with a key. A NULL mechanism ends one (PKCS#11 3.0, 5.2).
///
/// # Safety
/// As of `parameters::mechanism`.
unsafe fn begin(
    session: CK_SESSION_HANDLE,
    purpose: Purpose,
    mechanism: *const CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> Answer<()> {
    let session = Module::session(session)?;
    if mechanism.is_null() {
        session.begun().end(purpose);
        return Ok(());
    }
    // SAFETY: as the caller of this function promises.
    let mechanism = unsafe { parameters::mechanism(mechanism) }?;
    let key = session.slot.object(key).map_err(|_| Refusal(CKR_KEY_HANDLE_INVALID))?;
    let mut begun = session.begun();
    begun.begin(purpose, || match purpose {
        Purpose::Sign => Operation::sign(&mechanism, key),
        Purpose::Encrypt => Operation::encrypt(&mechanism, key),
        Purpose::Decrypt => Operation::decrypt(&mechanism, key),
        Purpose::Verify => Operation::verify(&mechanism, key),
        Purpose::Digest => Err(Refusal(CKR_FUNCTION_FAILED)),
    })
}

/// Takes a part of the data.
///
/// # Safety
/// `part` points at `length` bytes.
unsafe fn update(
    session: CK_SESSION_HANDLE,
    purpose: Purpose,
    part: *const CK_BYTE,
    length: CK_ULONG,
) -> Answer<()> {
    let session = Module::session(session)?;
    // SAFETY: as the caller of this function promises.
    let part = unsafe { memory::bytes(part, length) }?;
    let mut begun = session.begun();
    let taken = begun.operation(purpose)?.update(part);
    if taken.is_err() {
        begun.end(purpose);
    }
    taken
}

/// Takes a part of the data, and gives nothing yet: the server does it all in one request.
///
/// # Safety
/// `part` points at `part_length` bytes, `length` at a number.
unsafe fn gather(
    session: CK_SESSION_HANDLE,
    purpose: Purpose,
    part: *const CK_BYTE,
    part_length: CK_ULONG,
    result: *mut CK_BYTE,
    length: *mut CK_ULONG,
) -> Answer<()> {
    // SAFETY: as the caller of this function promises.
    let output = unsafe { memory::Output::new(result, length) }?;
    output.tell_length(0);
    if output.asks_length() {
        return Module::session(session)?.begun().operation(purpose).map(drop);
    }
    // SAFETY: as the caller of this function promises.
    unsafe { update(session, purpose, part, part_length) }
}

/// Ends a verification, whatever it finds.
///
/// # Safety
/// `data` and `signature` point at as many bytes as their lengths say.
unsafe fn check(
    session: CK_SESSION_HANDLE,
    data: *const CK_BYTE,
    data_length: CK_ULONG,
    signature: *const CK_BYTE,
    signature_length: CK_ULONG,
) -> Answer<()> {
    let session = Module::session(session)?;
    // SAFETY: as the caller of this function promises.
    let (data, signature) =
        unsafe { (memory::bytes(data, data_length)?, memory::bytes(signature, signature_length)?) };
    let mut begun = session.begun();
    let checked = begun.operation(Purpose::Verify)?.check(&session.slot, data, signature);
    begun.end(Purpose::Verify);
    checked
}

/// Gives the result, or its length if there is no room for it: then the operation goes on.
///
/// # Safety
/// `data` points at `data_length` bytes; `result` is NULL or has room for `*length`.
unsafe fn finish(
    session: CK_SESSION_HANDLE,
    purpose: Purpose,
    data: *const CK_BYTE,
    data_length: CK_ULONG,
    result: *mut CK_BYTE,
    length: *mut CK_ULONG,
) -> Answer<()> {
    let session = Module::session(session)?;
    let mut begun = session.begun();
    let operation = begun.operation(purpose)?;
    // SAFETY: as the caller of this function promises.
    let (data, output) =
        unsafe { (memory::bytes(data, data_length)?, memory::Output::new(result, length)?) };
    let longest = operation.longest(data.len());
    if output.asks_length() {
        output.tell_length(longest);
        return Ok(());
    }
    if operation.has_fixed_size() {
        output.require(longest)?;
    }
    let given = operation.finish(&session.slot, data);
    if let Ok(result) = given.as_ref() {
        if output.require(result.len()).is_err() {
            operation.keep(result.clone());
            return Err(Refusal(CKR_BUFFER_TOO_SMALL));
        }
    }
    begun.end(purpose);
    output.put(&given?)
}
