//! Messages of AES-GCM (PKCS#11 3.0, 5.9): each has a nonce of its own, which the server makes.

use cryptoki_sys::*;

use super::{entry, memory};
use crate::objects::Handle;
use crate::operations::{messages, Purpose};
use crate::refusal::Answer;
use crate::session::Session;

entry! {
    fn C_MessageEncryptInit(session: Session, mechanism: *mut CK_MECHANISM, key: Handle) {
        // SAFETY: the caller promises a mechanism.
        unsafe { begin(&session, Purpose::Encrypt, mechanism, key) }
    }

    fn C_EncryptMessage(
        session: Session, message: GcmMessage, aad: Bytes, plaintext: Bytes, ciphertext: Output
    ) {
        let key = session.begun().messages.get(Purpose::Encrypt)?.clone();
        message.require_nonce_of_server()?;
        if ciphertext.is_told(plaintext.len())? {
            return Ok(());
        }
        let sealed = messages::encrypt(&session.slot, &key, plaintext, aad)?;
        ciphertext.put(&sealed.ciphertext)?;
        message.fill(&sealed);
        Ok(())
    }

    fn C_MessageEncryptFinal(session: Session) {
        end(&session, Purpose::Encrypt)
    }

    fn C_MessageDecryptInit(session: Session, mechanism: *mut CK_MECHANISM, key: Handle) {
        // SAFETY: the caller promises a mechanism.
        unsafe { begin(&session, Purpose::Decrypt, mechanism, key) }
    }

    fn C_DecryptMessage(
        session: Session, message: GcmMessage, aad: Bytes, ciphertext: Bytes, plaintext: Output
    ) {
        let key = session.begun().messages.get(Purpose::Decrypt)?.clone();
        if plaintext.is_told(ciphertext.len())? {
            return Ok(());
        }
        let (iv, tag) = message.nonce_and_tag();
        plaintext.put(&messages::decrypt(&session.slot, &key, ciphertext, &iv, &tag, aad)?)
    }

    fn C_MessageDecryptFinal(session: Session) {
        end(&session, Purpose::Decrypt)
    }
}

/// Begins messages with a key. A NULL mechanism ends them.
///
/// # Safety
/// `mechanism` is NULL or points at a mechanism.
unsafe fn begin(
    session: &Session,
    purpose: Purpose,
    mechanism: *const CK_MECHANISM,
    key: Handle,
) -> Answer<()> {
    if mechanism.is_null() {
        return end(session, purpose);
    }
    // SAFETY: as the caller of this function promises; each message has its own parameters.
    let kind = unsafe { memory::read(mechanism) }?.mechanism;
    let key = session.slot.key_object(key, CKR_KEY_HANDLE_INVALID)?;
    messages::require_key(kind, &key)?;
    session.begun().messages.begin(purpose, || Ok(key))
}

fn end(session: &Session, purpose: Purpose) -> Answer<()> {
    let mut begun = session.begun();
    begun.messages.get(purpose)?;
    begun.messages.end(purpose);
    Ok(())
}
