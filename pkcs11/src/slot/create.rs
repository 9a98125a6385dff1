//! Creates objects of what a caller brings: keys, certificates, and what stays in this process.

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::naming::label;
use super::Slot;
use crate::der::{self, tag};
use crate::objects::key_types::{curve_of, Family, KeyType, AES_BYTES, GENERIC, RSA};
use crate::objects::{api_mechanisms, Certificate, Class, Handle, Object, Place, Template, Usage};
use crate::refusal::{require, Answer, Refusal};
use crate::rest::{Key, NewKey, PrivateData, Public};
use crate::session::Session;

const INVALID: Refusal = Refusal(CKR_ATTRIBUTE_VALUE_INVALID);

impl Session {
    /// Creates an object; returns its handle.
    pub fn create(&self, template: &Template) -> Answer<Handle> {
        let (slot, place) = (&self.slot, self.place(template)?);
        let object = match template.number(CKA_CLASS)?.ok_or(Refusal(CKR_TEMPLATE_INCOMPLETE))? {
            CKO_PRIVATE_KEY => Object { place, ..slot.import_private(template)? },
            CKO_SECRET_KEY if place == Place::Token => slot.import_secret(template)?,
            CKO_SECRET_KEY => {
                let value = Zeroizing::new(template.require(CKA_VALUE)?.to_vec());
                self.local_secret(value, template)
            }
            CKO_PUBLIC_KEY if place == Place::Token => slot.known_public(template)?,
            CKO_PUBLIC_KEY => Object {
                place: Place::Session(self.handle),
                ..Object::on_token(Class::Public, &Arc::new(public_key(template)?))
            },
            CKO_CERTIFICATE if place == Place::Token => slot.store_certificate(template)?,
            _ => return Err(INVALID),
        };
        slot.forget_listing();
        Ok(slot.objects().put(object))
    }

    /// Makes the object of a secret that is in this process.
    pub(super) fn local_secret(&self, value: Zeroizing<Vec<u8>>, template: &Template) -> Object {
        let key = local_key(GENERIC, Public::None, template);
        Object {
            value: Some(Arc::new(value)),
            place: Place::Session(self.handle),
            ..Object::on_token(Class::Secret, &Arc::new(key))
        }
    }
}

impl Slot {
    fn import_private(&self, template: &Template) -> Answer<Object> {
        let (kind, private) = private_data(template)?;
        let mechanisms = api_mechanisms(kind, &Usage::of(template)?, false);
        self.import(Class::Private, kind, mechanisms, &private, template)
    }

    fn import_secret(&self, template: &Template) -> Answer<Object> {
        let is_aes = template.number(CKA_KEY_TYPE)? == Some(CKK_AES);
        let value = template.require(CKA_VALUE)?;
        require(!is_aes || AES_BYTES.contains(&value.len()), INVALID)?;
        let private = PrivateData::data(value);
        let mechanisms = api_mechanisms(GENERIC, &Usage::of(template)?, is_aes);
        self.import(Class::Secret, GENERIC, mechanisms, &private, template)
    }

    fn import(
        &self,
        class: Class,
        kind: &KeyType,
        mechanisms: Vec<&str>,
        private: &PrivateData,
        template: &Template,
    ) -> Answer<Object> {
        let id = self.new_id(&[template])?;
        let label = label(&[template])?;
        let (label, private) = (label.as_deref(), Some(private));
        let wanted = NewKey { kind: kind.name, mechanisms, label, private, ..NewKey::default() };
        let key = self.administrator()?.import(&id, &wanted)?;
        Ok(Object::on_token(class, &Arc::new(key)))
    }

    /// Returns the public half of a key that the server has. It keeps no public keys alone.
    fn known_public(&self, template: &Template) -> Answer<Object> {
        let id = self.wanted_id(&[template])?.ok_or(Refusal(CKR_TEMPLATE_INCOMPLETE))?;
        let given = public_key(template)?;
        let known = self.user()?.key(&id)?.filter(|key| key.public == given.public);
        let known = known.ok_or(Refusal(CKR_TEMPLATE_INCONSISTENT))?;
        Ok(Object::on_token(Class::Public, &Arc::new(known)))
    }

    /// Stores a certificate beside its key.
    fn store_certificate(&self, template: &Template) -> Answer<Object> {
        let certificate = Certificate::parse(template.require(CKA_VALUE)?).ok_or(INVALID)?;
        let id = self.wanted_id(&[template])?.ok_or(Refusal(CKR_TEMPLATE_INCOMPLETE))?;
        let api = self.administrator()?;
        let key = api.key(&id)?.ok_or(Refusal(CKR_TEMPLATE_INCONSISTENT))?;
        api.set_certificate(&id, &certificate.der)?;
        Ok(Object {
            certificate: Some(Arc::new(certificate)),
            ..Object::on_token(Class::Certificate, &Arc::new(key))
        })
    }
}

/// Returns the type and the numbers of a private key.
fn private_data(template: &Template) -> Answer<(&'static KeyType, PrivateData)> {
    let key_type_number = template.number(CKA_KEY_TYPE)?.ok_or(Refusal(CKR_TEMPLATE_INCOMPLETE))?;
    if key_type_number == CKK_RSA {
        let numbers = PrivateData::rsa(
            template.require(CKA_PRIME_1)?,
            template.require(CKA_PRIME_2)?,
            template.require(CKA_PUBLIC_EXPONENT)?,
        );
        return Ok((RSA, numbers));
    }
    let kind =
        curve_of(template.require(CKA_EC_PARAMS)?).ok_or(Refusal(CKR_CURVE_NOT_SUPPORTED))?;
    require(kind.kind == key_type_number, Refusal(CKR_TEMPLATE_INCONSISTENT))?;
    let value = template.require(CKA_VALUE)?;
    let value = match kind.family {
        Family::Weierstrass { field, .. } => der::padded(value, field).ok_or(INVALID)?,
        _ => value.to_vec(),
    };
    Ok((kind, PrivateData::data(&Zeroizing::new(value))))
}

/// Returns the public key that a template describes, as a key without an ID on the server.
fn public_key(template: &Template) -> Answer<Key> {
    let key_type_number = template.number(CKA_KEY_TYPE)?.ok_or(Refusal(CKR_TEMPLATE_INCOMPLETE))?;
    let (kind, public) = if key_type_number == CKK_RSA {
        let modulus = der::without_zeros(template.require(CKA_MODULUS)?).to_vec();
        let exponent = der::without_zeros(template.require(CKA_PUBLIC_EXPONENT)?).to_vec();
        (RSA, Public::Rsa(modulus, exponent))
    } else {
        let kind = curve_of(template.require(CKA_EC_PARAMS)?);
        let kind = kind.ok_or(Refusal(CKR_CURVE_NOT_SUPPORTED))?;
        let point = point(kind.family, template.require(CKA_EC_POINT)?).to_vec();
        (kind, Public::Data(point))
    };
    Ok(local_key(kind, public, template))
}

fn local_key(kind: &'static KeyType, public: Public, template: &Template) -> Key {
    let text = |kind| template.get(kind).map(|value| String::from_utf8_lossy(value).into_owned());
    Key {
        id: String::new(),
        kind,
        mechanisms: Vec::new(),
        public,
        label: text(CKA_LABEL),
        may_have_certificate: false,
    }
}

/// Returns a point without the OCTET STRING that most callers put around it.
pub(super) fn point(family: Family, encoded: &[u8]) -> &[u8] {
    let is_bare = match family {
        Family::Weierstrass { field, .. } => encoded.len() == 2 * field + 1,
        _ => false,
    };
    match der::take(tag::OCTET_STRING, encoded) {
        Some((point, [])) if !is_bare => point,
        _ => encoded,
    }
}
