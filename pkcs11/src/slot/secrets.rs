//! Secrets that two parties share: by ECDH and ML-KEM, or wrapped under another key.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::create::point;
use crate::mechanisms::{Mechanism, Parameters};
use crate::objects::key_types::Family;
use crate::objects::{Attribute, Class, Handle, Object, Template};
use crate::operations::crypt::Crypting;
use crate::refusal::{require, Answer, Refusal};
use crate::session::Session;

const INVALID: Refusal = Refusal(CKR_ATTRIBUTE_VALUE_INVALID);
const NOT_PERMITTED: Refusal = Refusal(CKR_KEY_FUNCTION_NOT_PERMITTED);

impl Session {
    /// Derives a secret by ECDH, which stays in this process; returns its handle.
    pub fn derive(
        &self,
        mechanism: &Mechanism,
        key: &Object,
        template: &Template,
    ) -> Answer<Handle> {
        let (CKM_ECDH1_DERIVE, Parameters::Ecdh { kdf: CKD_NULL, public_key }) =
            (mechanism.kind, &mechanism.parameters)
        else {
            return Err(Refusal(CKR_MECHANISM_INVALID));
        };
        require(key.class == Class::Private && key.key.allows(&["ECDH"]), NOT_PERMITTED)?;
        require_local(template)?;
        let public_key = point(key.family(), public_key);
        let secret = self.slot.user()?.derive(key.id(), public_key)?;
        self.keep_secret(&secret, template)
    }

    /// Makes a secret for the holder of a private key of ML-KEM; returns its ciphertext and handle.
    pub fn encapsulate(&self, key: &Object, template: &Template) -> Answer<(Vec<u8>, Handle)> {
        require(key.class == Class::Public, NOT_PERMITTED)?;
        require_local(template)?;
        let (ciphertext, secret) = self.slot.user()?.encapsulate(key.id())?;
        Ok((ciphertext, self.keep_secret(&secret, template)?))
    }

    /// Finds the secret of a ciphertext of ML-KEM, which stays in this process; returns its handle.
    pub fn decapsulate(
        &self,
        key: &Object,
        ciphertext: &[u8],
        template: &Template,
    ) -> Answer<Handle> {
        require(key.class == Class::Private, NOT_PERMITTED)?;
        require_local(template)?;
        let secret = self.slot.user()?.decapsulate(key.id(), ciphertext)?;
        self.keep_secret(&secret, template)
    }

    /// Unwraps a secret key, and makes it what the template says; returns its handle.
    pub fn unwrap(
        &self,
        mechanism: &Mechanism,
        with: &Object,
        wrapped: &[u8],
        mut template: Template,
    ) -> Answer<Handle> {
        let is_secret = template.number(CKA_CLASS)? == Some(CKO_SECRET_KEY);
        let fits = is_secret && template.get(CKA_VALUE).is_none();
        require(fits, Refusal(CKR_TEMPLATE_INCONSISTENT))?;
        self.place(&template)?;
        let unwrapped = Crypting::to_decrypt(mechanism, with)?.decrypt(&self.slot, with, wrapped);
        let value = unwrapped.map_err(|refusal| match refusal {
            Refusal(CKR_ENCRYPTED_DATA_INVALID) => Refusal(CKR_WRAPPED_KEY_INVALID),
            Refusal(CKR_ENCRYPTED_DATA_LEN_RANGE) => Refusal(CKR_WRAPPED_KEY_LEN_RANGE),
            other => other,
        })?;
        template.0.push(Attribute { kind: CKA_VALUE, value });
        self.create(&template)
    }

    /// Keeps a shared secret, in the length that the template wants.
    fn keep_secret(&self, secret: &[u8], template: &Template) -> Answer<Handle> {
        let wanted = template.number(CKA_VALUE_LEN)?.map(usize::try_from);
        let length = wanted.transpose().map_err(|_| INVALID)?.unwrap_or(secret.len());
        // What is too much is cut off at the front (PKCS#11 3.0, 2.3.17).
        let start = secret.len().checked_sub(length).ok_or(INVALID)?;
        let value = Zeroizing::new(secret[start..].to_vec());
        Ok(self.slot.objects().put(self.local_secret(value, template)))
    }
}

/// Refuses other mechanisms and keys than ML-KEM's; returns the length of its ciphertexts.
pub fn kem_ciphertext_length(mechanism: &Mechanism, key: &Object) -> Answer<usize> {
    require(mechanism.kind == CKM_ML_KEM, Refusal(CKR_MECHANISM_INVALID))?;
    match key.family() {
        Family::MlKem { ciphertext, .. } => Ok(ciphertext),
        _ => Err(Refusal(CKR_KEY_TYPE_INCONSISTENT)),
    }
}

/// Refuses a template of a key that is not in this process alone, or cannot be read.
fn require_local(template: &Template) -> Answer<()> {
    let is_set = |kind| Ok(template.bool(kind)? == Some(true));
    require(!is_set(CKA_TOKEN)? && !is_set(CKA_SENSITIVE)?, Refusal(CKR_TEMPLATE_INCONSISTENT))
}
