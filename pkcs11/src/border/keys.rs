//! Making keys and other objects: generate, derive, create, copy.

use cryptoki_sys::*;

use super::entry;
use crate::objects::Handle;

entry! {
    fn C_GenerateKey(session: Session, mechanism: Mechanism, template: Template, key: Room<Handle>) {
        key.fill(session.generate_secret(&mechanism, &template)?)
    }

    fn C_GenerateKeyPair(
        session: Session, mechanism: Mechanism, public: Template, private: Template,
        public_key: Room<Handle>, private_key: Room<Handle>
    ) {
        let made = session.generate_pair(&mechanism, &public, &private)?;
        public_key.write(made.0);
        private_key.fill(made.1)
    }

    fn C_DeriveKey(
        session: Session, mechanism: Mechanism, base: Handle, template: Template, key: Room<Handle>
    ) {
        let base = session.slot.key_object(base, CKR_KEY_HANDLE_INVALID)?;
        key.fill(session.derive(&mechanism, &base, &template)?)
    }

    fn C_CreateObject(session: Session, template: Template, object: Room<Handle>) {
        object.fill(session.create(&template)?)
    }

    fn C_CopyObject(session: Session, object: Handle, template: Template, copy: Room<Handle>) {
        copy.fill(session.copy(object, &template)?)
    }
}
