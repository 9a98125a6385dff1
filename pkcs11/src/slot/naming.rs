//! IDs, labels and places of new objects.

use std::borrow::Cow;

use cryptoki_sys::*;
use rustls::crypto::ring;

use super::Slot;
use crate::objects::{ids, labels, Template};
use crate::refusal::{tell, Answer, Refusal};

const RANDOM_ID_BYTES: usize = 10;

impl Slot {
    /// Returns the ID that a template wants for a new key, or a random one.
    pub(super) fn new_id(&self, templates: &[&Template]) -> Answer<String> {
        match self.wanted_id(templates)? {
            Some(id) => Ok(id),
            None => self.random_id(),
        }
    }

    /// Returns the ID of the API for the first `CKA_ID` that is not empty. An ID without the slot's
    /// prefix is refused: the program would not see what it makes.
    pub(super) fn wanted_id(&self, templates: &[&Template]) -> Answer<Option<String>> {
        let ids = templates.iter().filter_map(|template| template.get(CKA_ID));
        let Some(id) = ids.into_iter().find(|id| !id.is_empty()) else { return Ok(None) };
        let id = ids::api_id(id).ok_or(Refusal(CKR_ATTRIBUTE_VALUE_INVALID))?;
        if !id.starts_with(&self.config.prefix) {
            let (label, prefix) = (&self.config.label, &self.config.prefix);
            tell(&format!(
                "slot {label:?}: the ID {id:?} does not begin with the prefix {prefix:?}"
            ));
            return Err(Refusal(CKR_ATTRIBUTE_VALUE_INVALID));
        }
        Ok(Some(id))
    }

    fn random_id(&self) -> Answer<String> {
        let mut octets = [0; RANDOM_ID_BYTES];
        let random = ring::default_provider().secure_random;
        random.fill(&mut octets).map_err(|_| Refusal(CKR_FUNCTION_FAILED))?;
        Ok(format!("{}{}", self.config.prefix, ids::to_hex(&octets)))
    }
}

/// Returns the first label, as the server keeps it.
pub fn label<'a>(templates: &[&'a Template]) -> Answer<Option<Cow<'a, str>>> {
    for template in templates {
        if let Some(label) = template.text(CKA_LABEL)? {
            return Ok(Some(labels::kept(label)));
        }
    }
    Ok(None)
}
