//! Generates keys.

use std::sync::Arc;

use cryptoki_sys::*;

use super::naming::label;
use super::Slot;
use crate::mechanisms::Mechanism;
use crate::objects::key_types::{curve_of, KeyType, AES_BYTES, GENERIC, KEY_TYPES, RSA};
use crate::objects::{api_mechanisms, Class, Handle, Object, Template, Usage};
use crate::refusal::{require, Answer, Refusal};
use crate::rest::{Key, NewKey};
use crate::session::Session;

impl Session {
    /// Generates a key pair; returns the handles of the public and of the private key.
    pub fn generate_pair(
        &self,
        mechanism: &Mechanism,
        public: &Template,
        private: &Template,
    ) -> Answer<(Handle, Handle)> {
        let kind = pair_type(mechanism, public)?;
        let length = match kind.name {
            "RSA" => Some(rsa_bits(public)?),
            _ => None,
        };
        let place = self.place(private)?;
        let key = self.slot.generate(kind, length, &[private, public], false)?;
        let mut table = self.slot.objects();
        let mut put = |class| table.put(Object { place, ..Object::on_token(class, &key) });
        Ok((put(Class::Public), put(Class::Private)))
    }

    /// Generates a secret key; returns its handle.
    pub fn generate_secret(&self, mechanism: &Mechanism, template: &Template) -> Answer<Handle> {
        let is_aes = match mechanism.kind {
            CKM_AES_KEY_GEN => true,
            CKM_GENERIC_SECRET_KEY_GEN => false,
            _ => return Err(Refusal(CKR_MECHANISM_INVALID)),
        };
        let length = template.number(CKA_VALUE_LEN)?.ok_or(Refusal(CKR_TEMPLATE_INCOMPLETE))?;
        let bytes =
            usize::try_from(length).ok().filter(|bytes| !is_aes || AES_BYTES.contains(bytes));
        let bits = bytes.and_then(|bytes| bytes.checked_mul(8));
        let bits = bits.ok_or(Refusal(CKR_ATTRIBUTE_VALUE_INVALID))?;
        let place = self.place(template)?;
        let key = self.slot.generate(GENERIC, Some(bits), &[template], is_aes)?;
        Ok(self.slot.objects().put(Object { place, ..Object::on_token(Class::Secret, &key) }))
    }
}

impl Slot {
    fn generate(
        &self,
        kind: &KeyType,
        length: Option<usize>,
        templates: &[&Template],
        is_aes: bool,
    ) -> Answer<Arc<Key>> {
        let usage = Usage::of(templates.first().ok_or(Refusal(CKR_TEMPLATE_INCOMPLETE))?)?;
        let id = self.new_id(templates)?;
        let label = label(templates)?;
        let key = self.administrator()?.generate(&NewKey {
            kind: kind.name,
            id: Some(&id),
            has_random_id: self.wanted_id(templates)?.is_none(),
            mechanisms: api_mechanisms(kind, &usage, is_aes),
            length,
            label: label.as_deref(),
            private: None,
        })?;
        self.forget_listing();
        Ok(Arc::new(key))
    }
}

/// Returns the type of a pair: by the mechanism, and by the curve or parameter set.
fn pair_type(mechanism: &Mechanism, public: &Template) -> Answer<&'static KeyType> {
    let kinds: &[CK_KEY_TYPE] = match mechanism.kind {
        CKM_RSA_PKCS_KEY_PAIR_GEN => return Ok(RSA),
        CKM_EC_KEY_PAIR_GEN => &[CKK_EC],
        // GnuTLS generates with the mechanism that signs.
        CKM_EC_EDWARDS_KEY_PAIR_GEN | CKM_EDDSA => &[CKK_EC_EDWARDS],
        CKM_EC_MONTGOMERY_KEY_PAIR_GEN => &[CKK_EC_MONTGOMERY],
        CKM_ML_DSA_KEY_PAIR_GEN => return by_parameter_set(CKK_ML_DSA, public),
        CKM_ML_KEM_KEY_PAIR_GEN => return by_parameter_set(CKK_ML_KEM, public),
        _ => return Err(Refusal(CKR_MECHANISM_INVALID)),
    };
    curve_of(public.require(CKA_EC_PARAMS)?)
        .filter(|kind| kinds.contains(&kind.kind))
        .ok_or(Refusal(CKR_CURVE_NOT_SUPPORTED))
}

fn by_parameter_set(kind: CK_KEY_TYPE, public: &Template) -> Answer<&'static KeyType> {
    let set = public.number(CKA_PARAMETER_SET)?.ok_or(Refusal(CKR_TEMPLATE_INCOMPLETE))?;
    let fits = |row: &&KeyType| row.kind == kind && row.parameter_set() == Some(set);
    KEY_TYPES.iter().find(fits).ok_or(Refusal(CKR_ATTRIBUTE_VALUE_INVALID))
}

fn rsa_bits(public: &Template) -> Answer<usize> {
    let exponent = public.get(CKA_PUBLIC_EXPONENT).map(crate::der::without_zeros);
    require(
        exponent.is_none_or(|exponent| exponent == [1, 0, 1]),
        Refusal(CKR_ATTRIBUTE_VALUE_INVALID),
    )?;
    let bits = public.number(CKA_MODULUS_BITS)?.ok_or(Refusal(CKR_TEMPLATE_INCOMPLETE))?;
    usize::try_from(bits).map_err(|_| Refusal(CKR_ATTRIBUTE_VALUE_INVALID))
}
