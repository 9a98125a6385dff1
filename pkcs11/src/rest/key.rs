//! What the server tells of a key.

use base64::prelude::{Engine as _, BASE64_STANDARD};
use serde::Deserialize;

use crate::objects::key_types::{key_type, KeyType};

/// A key of the server. Its private half stays there.
#[derive(Clone, Debug)]
pub struct Key {
    /// The ID in the API.
    pub id: String,
    /// The row of its type.
    pub kind: &'static KeyType,
    /// What the key allows, by the API's names.
    pub mechanisms: Vec<String>,
    pub public: Public,
    /// The label, if it has one.
    pub label: Option<String>,
    /// Whether it may have a certificate: only a list of Keystead's says that it has none.
    pub may_have_certificate: bool,
}

/// The public half of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Public {
    /// Modulus and public exponent.
    Rsa(Vec<u8>, Vec<u8>),
    /// A point, or whatever stands for the public key.
    Data(Vec<u8>),
    /// A secret key has none.
    None,
}

impl Key {
    /// Says whether the key allows any of these mechanisms of the API.
    pub fn allows(&self, prefixes: &[&str]) -> bool {
        let allows = |prefix: &&str| self.mechanisms.iter().any(|name| name.starts_with(*prefix));
        prefixes.iter().any(allows)
    }
}

#[derive(Deserialize)]
pub(super) struct KeyView {
    #[serde(default)]
    pub id: String,
    #[serde(rename = "type")]
    kind: String,
    mechanisms: Vec<String>,
    #[serde(default)]
    public: Option<PublicView>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default = "yes", rename = "hasCertificate")]
    may_have_certificate: bool,
}

fn yes() -> bool {
    true
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicView {
    modulus: Option<String>,
    public_exponent: Option<String>,
    data: Option<String>,
}

impl KeyView {
    /// Returns the key; None if its type is not known here or its numbers are missing.
    pub(super) fn key(self) -> Option<Key> {
        let kind = key_type(&self.kind)?;
        let public = self.public.unwrap_or_default();
        let bytes = |text: Option<String>| text.and_then(|text| BASE64_STANDARD.decode(text).ok());
        let public =
            match (bytes(public.modulus), bytes(public.public_exponent), bytes(public.data)) {
                (Some(modulus), Some(exponent), _) => Public::Rsa(modulus, exponent),
                (_, _, Some(data)) => Public::Data(data),
                _ if kind.is_secret() => Public::None,
                _ => return None,
            };
        let Self { id, mechanisms, label, may_have_certificate, .. } = self;
        Some(Key { id, kind, mechanisms, public, label, may_have_certificate })
    }
}
