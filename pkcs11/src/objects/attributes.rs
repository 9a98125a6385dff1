//! The attributes of objects.

use cryptoki_sys::*;
use sha1::{Digest as _, Sha1};

use super::mechanisms_of_keys::allowed_mechanisms;
use super::{ids, labels, Attribute, Class, Object, Place, Template};
use crate::der::{element, tag};
use crate::rest::Public;

/// An attribute of an object.
#[derive(Debug, PartialEq, Eq)]
pub enum Value {
    /// Its bytes, as they are in the caller's memory.
    Bytes(Vec<u8>),
    /// It does not leave the server.
    Sensitive,
    /// The object does not have it.
    Missing,
}

use Value::{Bytes, Missing, Sensitive};

fn flag(value: bool) -> Value {
    Bytes(vec![CK_BBOOL::from(value)])
}

fn number(value: CK_ULONG) -> Value {
    Bytes(value.to_ne_bytes().to_vec())
}

fn maybe_number(value: Option<CK_ULONG>) -> Value {
    value.map_or(Missing, number)
}

fn maybe(value: Option<Vec<u8>>) -> Value {
    value.map_or(Missing, Bytes)
}

impl Object {
    /// Returns an attribute.
    pub fn attribute(&self, kind: CK_ATTRIBUTE_TYPE) -> Value {
        match kind {
            CKA_CLASS => number(self.class.number()),
            CKA_TOKEN => flag(self.place == Place::Token),
            CKA_PRIVATE => flag(matches!(self.class, Class::Private | Class::Secret)),
            CKA_MODIFIABLE | CKA_COPYABLE | CKA_DESTROYABLE => flag(true),
            CKA_LABEL => Bytes(self.label().as_bytes().to_vec()),
            CKA_ID => Bytes(ids::cka_id(self.id())),
            _ if self.class == Class::Certificate => self.of_certificate(kind),
            _ => self.of_key(kind),
        }
    }

    /// Says whether the object has every attribute of a template with its value.
    pub fn matches(&self, template: &Template) -> bool {
        template.0.iter().all(|Attribute { kind, value }| match self.attribute(*kind) {
            Bytes(bytes) => {
                bytes == value.as_slice() || *kind == CKA_LABEL && self.is_labelled(value)
            }
            Sensitive | Missing => false,
        })
    }

    /// Says whether a label that is too long for the server was shortened to the object's.
    fn is_labelled(&self, label: &[u8]) -> bool {
        std::str::from_utf8(label).is_ok_and(|label| labels::kept(label) == self.label())
    }

    fn label(&self) -> &str {
        self.key.label.as_deref().unwrap_or(&self.key.id)
    }

    fn of_certificate(&self, kind: CK_ATTRIBUTE_TYPE) -> Value {
        let Some(certificate) = &self.certificate else { return Missing };
        match kind {
            CKA_CERTIFICATE_TYPE => number(CKC_X_509),
            CKA_CERTIFICATE_CATEGORY => number(CK_CERTIFICATE_CATEGORY_UNSPECIFIED),
            CKA_VALUE => Bytes(certificate.der.clone()),
            CKA_SUBJECT => Bytes(certificate.subject.clone()),
            CKA_ISSUER => Bytes(certificate.issuer.clone()),
            CKA_SERIAL_NUMBER => Bytes(certificate.serial.clone()),
            CKA_PUBLIC_KEY_INFO => Bytes(certificate.public_key_info.clone()),
            CKA_CHECK_VALUE => Bytes(Sha1::digest(&certificate.der)[..3].to_vec()),
            CKA_TRUSTED => flag(false),
            CKA_START_DATE | CKA_END_DATE => Bytes(Vec::new()),
            _ => Missing,
        }
    }

    fn of_key(&self, kind: CK_ATTRIBUTE_TYPE) -> Value {
        match kind {
            CKA_KEY_TYPE => number(self.key_type()),
            CKA_LOCAL => flag(self.class != Class::Secret || self.value.is_none()),
            CKA_KEY_GEN_MECHANISM => number(CK_UNAVAILABLE_INFORMATION),
            CKA_START_DATE | CKA_END_DATE => Bytes(Vec::new()),
            CKA_DERIVE => flag(self.class != Class::Public && self.key.allows(&["ECDH"])),
            CKA_ALLOWED_MECHANISMS => {
                let kinds = allowed_mechanisms(&self.key);
                Bytes(kinds.into_iter().flat_map(CK_ULONG::to_ne_bytes).collect())
            }
            CKA_SIGN_RECOVER | CKA_VERIFY_RECOVER if self.class != Class::Secret => flag(false),
            _ if self.class == Class::Secret => self.of_secret_key(kind),
            CKA_SUBJECT => Bytes(Vec::new()),
            _ if self.class == Class::Private => self.of_private_key(kind),
            _ => self.of_public_key(kind),
        }
    }

    fn of_secret_key(&self, kind: CK_ATTRIBUTE_TYPE) -> Value {
        let is_here = self.value.is_some();
        match kind {
            CKA_ENCRYPT => flag(self.key.allows(&["AES_Encryption"])),
            CKA_DECRYPT => flag(self.key.allows(&["AES_Decryption"])),
            CKA_SIGN | CKA_VERIFY => flag(self.key.allows(&["AES_CMAC", "HMAC"])),
            CKA_WRAP => flag(self.key.allows(&["AES_KeyWrap"])),
            CKA_UNWRAP => flag(self.key.allows(&["AES_KeyUnwrap"])),
            CKA_EXTRACTABLE => flag(is_here),
            CKA_SENSITIVE | CKA_ALWAYS_SENSITIVE | CKA_NEVER_EXTRACTABLE => flag(!is_here),
            CKA_WRAP_WITH_TRUSTED | CKA_TRUSTED => flag(false),
            CKA_VALUE => self.value.as_ref().map_or(Sensitive, |value| Bytes(value.to_vec())),
            CKA_VALUE_LEN => maybe_number(self.value.as_ref().map(|value| value.len() as CK_ULONG)),
            _ => Missing,
        }
    }

    fn of_private_key(&self, kind: CK_ATTRIBUTE_TYPE) -> Value {
        let is_rsa = self.modulus().is_some();
        match kind {
            CKA_SIGN => flag(self.signs()),
            CKA_DECRYPT | CKA_UNWRAP => flag(self.key.allows(&["RSA_Decryption"])),
            CKA_DECAPSULATE => flag(self.key.allows(&["ML_KEM"])),
            CKA_SENSITIVE | CKA_ALWAYS_SENSITIVE | CKA_NEVER_EXTRACTABLE => flag(true),
            CKA_EXTRACTABLE | CKA_WRAP_WITH_TRUSTED | CKA_ALWAYS_AUTHENTICATE => flag(false),
            CKA_PRIVATE_EXPONENT | CKA_PRIME_1 | CKA_PRIME_2 | CKA_EXPONENT_1 | CKA_EXPONENT_2
            | CKA_COEFFICIENT
                if is_rsa =>
            {
                Sensitive
            }
            CKA_VALUE | CKA_SEED if !is_rsa => Sensitive,
            _ => self.public_numbers(kind),
        }
    }

    fn of_public_key(&self, kind: CK_ATTRIBUTE_TYPE) -> Value {
        match kind {
            CKA_VERIFY => flag(self.signs()),
            CKA_ENCRYPT | CKA_WRAP => flag(self.key.allows(&["RSA_Decryption"])),
            CKA_ENCAPSULATE => flag(self.key.allows(&["ML_KEM"])),
            CKA_TRUSTED => flag(false),
            CKA_MODULUS_BITS => maybe_number(self.modulus_bits()),
            CKA_VALUE => match &self.key.public {
                Public::Data(data) if self.key.kind.parameter_set().is_some() => {
                    Bytes(data.clone())
                }
                _ => Missing,
            },
            _ => self.public_numbers(kind),
        }
    }

    fn public_numbers(&self, kind: CK_ATTRIBUTE_TYPE) -> Value {
        let key = &self.key;
        match (kind, &key.public) {
            (CKA_MODULUS, Public::Rsa(modulus, _)) => Bytes(modulus.clone()),
            (CKA_PUBLIC_EXPONENT, Public::Rsa(_, exponent)) => Bytes(exponent.clone()),
            (CKA_EC_PARAMS, _) if key.kind.has_curve() => Bytes(key.kind.oid.to_vec()),
            (CKA_EC_POINT, Public::Data(point)) if key.kind.has_curve() => {
                Bytes(element(tag::OCTET_STRING, &[point]))
            }
            (CKA_PARAMETER_SET, _) => maybe_number(key.kind.parameter_set()),
            (CKA_PUBLIC_KEY_INFO, public) => maybe(key.kind.public_key_info(public)),
            _ => Missing,
        }
    }

    fn signs(&self) -> bool {
        let kinds = ["RSA_Signature", "ECDSA", "EdDSA", "ML_DSA"];
        self.key.allows(&kinds)
    }

    fn modulus_bits(&self) -> Option<CK_ULONG> {
        let modulus = crate::der::without_zeros(self.modulus()?);
        let zeros = CK_ULONG::from(modulus.first()?.leading_zeros());
        Some(8 * modulus.len() as CK_ULONG - zeros)
    }
}
