//! Making keys and other objects: generate, derive, create, copy.

use cryptoki_sys::*;

use super::entry;

entry! {
    fn C_GenerateKey(
        session: Session,
        mechanism: Mechanism,
        template: Template,
        key: Room<CK_OBJECT_HANDLE>
    ) {
        session.require_place(&template)?;
        key.fill(session.slot.generate_secret(session.handle, &mechanism, &template)?);
        Ok(())
    }

    fn C_GenerateKeyPair(
        session: Session,
        mechanism: Mechanism,
        public: Template,
        private: Template,
        public_key: Room<CK_OBJECT_HANDLE>,
        private_key: Room<CK_OBJECT_HANDLE>
    ) {
        session.require_place(&private)?;
        let made = session.slot.generate_pair(session.handle, &mechanism, &public, &private)?;
        public_key.fill(made.0);
        private_key.fill(made.1);
        Ok(())
    }

    fn C_DeriveKey(
        session: Session,
        mechanism: Mechanism,
        base: CK_OBJECT_HANDLE,
        template: Template,
        key: Room<CK_OBJECT_HANDLE>
    ) {
        session.require_place(&template)?;
        let base = session.slot.key_object(base, CKR_KEY_HANDLE_INVALID)?;
        key.fill(session.slot.derive(session.handle, &mechanism, &base, &template)?);
        Ok(())
    }

    fn C_CreateObject(session: Session, template: Template, object: Room<CK_OBJECT_HANDLE>) {
        session.require_place(&template)?;
        object.fill(session.slot.create(session.handle, &template)?);
        Ok(())
    }

    fn C_CopyObject(
        session: Session,
        object: CK_OBJECT_HANDLE,
        template: Template,
        copy: Room<CK_OBJECT_HANDLE>
    ) {
        session.require_place(&template)?;
        copy.fill(session.slot.copy(session.handle, object, &template)?);
        Ok(())
    }
}
