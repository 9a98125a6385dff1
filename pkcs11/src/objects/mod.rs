//! Objects as PKCS#11 has them, made of the server's keys and of what applications keep here.

mod attributes;
mod certificate;
pub mod ids;
pub mod key_types;
pub mod labels;
mod mechanisms_of_keys;
mod table;
mod template;

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

pub use attributes::Value;
pub use certificate::Certificate;
pub use mechanisms_of_keys::{api_mechanisms, without_extensions, Usage};
pub use table::Table;
pub use template::Template;

use crate::rest::{Key, Public};
use key_types::Family;

/// The handle of an object or a session.
pub type Handle = CK_ULONG;

/// An attribute of a template.
#[derive(Clone)]
pub struct Attribute {
    pub kind: CK_ATTRIBUTE_TYPE,
    /// The bytes of the value, which may be a secret.
    pub value: Zeroizing<Vec<u8>>,
}

/// The classes of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Private,
    Public,
    Secret,
    Certificate,
}

impl Class {
    /// Returns the class in PKCS#11.
    pub fn number(self) -> CK_OBJECT_CLASS {
        match self {
            Self::Private => CKO_PRIVATE_KEY,
            Self::Public => CKO_PUBLIC_KEY,
            Self::Secret => CKO_SECRET_KEY,
            Self::Certificate => CKO_CERTIFICATE,
        }
    }
}

/// Where an object is, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the server, for good.
    Token,
    /// On the server, until a session ends.
    ServerForSession(Handle),
    /// In this process, until a session ends.
    Session(Handle),
}

/// An object.
#[derive(Clone)]
pub struct Object {
    pub class: Class,
    /// The key, or that of the certificate.
    pub key: Arc<Key>,
    pub certificate: Option<Arc<Certificate>>,
    /// The value of a secret key that is in this process.
    pub value: Option<Arc<Zeroizing<Vec<u8>>>>,
    pub place: Place,
}

impl Object {
    /// Makes a key's object on the token.
    pub fn on_token(class: Class, key: &Arc<Key>) -> Self {
        Self { class, key: Arc::clone(key), certificate: None, value: None, place: Place::Token }
    }

    /// Returns the ID of the key in the API.
    pub fn id(&self) -> &str {
        &self.key.id
    }

    /// Returns the family of the key's type.
    pub fn family(&self) -> Family {
        self.key.kind.family
    }

    /// Returns the type in PKCS#11: secret keys that do AES are AES keys.
    pub fn key_type(&self) -> CK_KEY_TYPE {
        if self.key.kind.is_secret() && self.key.allows(&["AES_"]) {
            return CKK_AES;
        }
        self.key.kind.kind
    }

    /// Returns the modulus of an RSA key.
    pub fn modulus(&self) -> Option<&[u8]> {
        match &self.key.public {
            Public::Rsa(modulus, _) => Some(modulus),
            _ => None,
        }
    }

    /// Returns the session that the object ends with.
    pub fn session(&self) -> Option<Handle> {
        match self.place {
            Place::Token => None,
            Place::ServerForSession(session) | Place::Session(session) => Some(session),
        }
    }
}
