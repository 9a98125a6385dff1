//! What the server tells of a key.

use std::borrow::Cow;

use base64::prelude::{Engine as _, BASE64_STANDARD};
use serde::Deserialize;

use crate::objects::ids::is_name;
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

/// What an answer has of a key. `NetHSM`'s list has no more than IDs.
#[derive(Deserialize)]
pub(super) struct KeyView<'a> {
    #[serde(default)]
    pub id: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    mechanisms: Vec<String>,
    #[serde(borrow)]
    public: Option<PublicView<'a>>,
    label: Option<String>,
    #[serde(rename = "hasCertificate")]
    may_have_certificate: Option<bool>,
}

/// Numbers in base64. Those that the key has not are empty.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PublicView<'a> {
    #[serde(borrow)]
    modulus: Cow<'a, str>,
    #[serde(borrow)]
    public_exponent: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
}

impl KeyView<'_> {
    /// Says whether the answer has the ID alone.
    pub(super) fn is_id(&self) -> bool {
        self.kind.is_empty()
    }

    /// Returns the key; None if its type is not known here, or its ID or numbers are none.
    pub(super) fn key(self) -> Option<Key> {
        let kind = key_type(&self.kind).filter(|_| is_name(self.id.as_bytes()))?;
        let public = self.public.unwrap_or_default();
        let bytes = |text: &str| BASE64_STANDARD.decode(text).ok().filter(|some| !some.is_empty());
        let public =
            match (bytes(&public.modulus), bytes(&public.public_exponent), bytes(&public.data)) {
                (Some(modulus), Some(exponent), _) => Public::Rsa(modulus, exponent),
                (_, _, Some(data)) => Public::Data(data),
                _ if kind.is_secret() => Public::None,
                _ => return None,
            };
        let may_have_certificate = self.may_have_certificate.unwrap_or(true);
        let Self { id, mechanisms, label, .. } = self;
        Some(Key { id, kind, mechanisms, public, label, may_have_certificate })
    }
}
