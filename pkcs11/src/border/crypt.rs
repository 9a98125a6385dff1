//! Sign, verify, encrypt, decrypt and digest: the same four steps for each.

use cryptoki_sys::*;

use super::{entry, memory::Output};
use crate::mechanisms::Mechanism;
use crate::objects::Handle;
use crate::operations::{Operation, Purpose};
use crate::refusal::{Answer, Refusal};
use crate::session::Session;

entry! {
    fn C_SignInit(session: Session, mechanism: Option<Mechanism>, key: Handle) {
        begin(&session, Purpose::Sign, mechanism, key)
    }

    fn C_Sign(session: Session, data: Bytes, signature: Output) {
        finish(&session, Purpose::Sign, data, &signature)
    }

    fn C_SignUpdate(session: Session, part: Bytes) {
        update(&session, Purpose::Sign, part)
    }

    fn C_SignFinal(session: Session, signature: Output) {
        finish(&session, Purpose::Sign, &[], &signature)
    }

    fn C_VerifyInit(session: Session, mechanism: Option<Mechanism>, key: Handle) {
        begin(&session, Purpose::Verify, mechanism, key)
    }

    fn C_Verify(session: Session, data: Bytes, signature: Bytes) {
        check(&session, data, signature)
    }

    fn C_VerifyUpdate(session: Session, part: Bytes) {
        update(&session, Purpose::Verify, part)
    }

    fn C_VerifyFinal(session: Session, signature: Bytes) {
        check(&session, &[], signature)
    }

    fn C_EncryptInit(session: Session, mechanism: Option<Mechanism>, key: Handle) {
        begin(&session, Purpose::Encrypt, mechanism, key)
    }

    fn C_Encrypt(session: Session, data: Bytes, encrypted: Output) {
        finish(&session, Purpose::Encrypt, data, &encrypted)
    }

    fn C_EncryptUpdate(session: Session, part: Bytes, encrypted: Output) {
        gather(&session, Purpose::Encrypt, part, &encrypted)
    }

    fn C_EncryptFinal(session: Session, encrypted: Output) {
        finish(&session, Purpose::Encrypt, &[], &encrypted)
    }

    fn C_DecryptInit(session: Session, mechanism: Option<Mechanism>, key: Handle) {
        begin(&session, Purpose::Decrypt, mechanism, key)
    }

    fn C_Decrypt(session: Session, encrypted: Bytes, data: Output) {
        finish(&session, Purpose::Decrypt, encrypted, &data)
    }

    fn C_DecryptUpdate(session: Session, part: Bytes, data: Output) {
        gather(&session, Purpose::Decrypt, part, &data)
    }

    fn C_DecryptFinal(session: Session, data: Output) {
        finish(&session, Purpose::Decrypt, &[], &data)
    }

    fn C_DigestInit(session: Session, mechanism: Mechanism) {
        let mut begun = session.begun();
        begun.operations.begin(Purpose::Digest, || Operation::digest(&mechanism))
    }

    fn C_Digest(session: Session, data: Bytes, digest: Output) {
        finish(&session, Purpose::Digest, data, &digest)
    }

    fn C_DigestUpdate(session: Session, part: Bytes) {
        update(&session, Purpose::Digest, part)
    }

    fn C_DigestFinal(session: Session, digest: Output) {
        finish(&session, Purpose::Digest, &[], &digest)
    }
}

/// Begins an operation with a key. A NULL mechanism ends one (PKCS#11 3.0, 5.2).
fn begin(
    session: &Session,
    purpose: Purpose,
    mechanism: Option<Mechanism>,
    key: Handle,
) -> Answer<()> {
    let Some(mechanism) = mechanism else {
        session.begun().operations.end(purpose);
        return Ok(());
    };
    let key = session.slot.key_object(key, CKR_KEY_HANDLE_INVALID)?;
    session.begun().operations.begin(purpose, || Operation::new(purpose, &mechanism, key))
}

/// Takes a part of the data.
fn update(session: &Session, purpose: Purpose, part: &[u8]) -> Answer<()> {
    let mut begun = session.begun();
    let taken = begun.operations.get(purpose)?.update(part);
    if taken.is_err() {
        begun.operations.end(purpose);
    }
    taken
}

/// Takes a part of the data, and gives nothing yet: the server does it all in one request.
fn gather(session: &Session, purpose: Purpose, part: &[u8], output: &Output) -> Answer<()> {
    output.tell_length(0);
    if output.asks_length() {
        return session.begun().operations.get(purpose).map(drop);
    }
    update(session, purpose, part)
}

/// Ends a verification, whatever it finds.
fn check(session: &Session, data: &[u8], signature: &[u8]) -> Answer<()> {
    let mut begun = session.begun();
    let checked = begun.operations.get(Purpose::Verify)?.check(&session.slot, data, signature);
    begun.operations.end(Purpose::Verify);
    checked
}

/// Gives the result, or its length if there is no room for it: then the operation goes on.
fn finish(session: &Session, purpose: Purpose, data: &[u8], output: &Output) -> Answer<()> {
    let mut begun = session.begun();
    let operation = begun.operations.get(purpose)?;
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
    begun.operations.end(purpose);
    output.put(&given?)
}
