//! IDs, labels and places of new objects.

use cryptoki_sys::*;
use rustls::crypto::ring;

use super::Slot;
use crate::objects::{ids, Place, Template};
use crate::refusal::{Answer, Refusal};

const LONGEST_LABEL: usize = 32;
const RANDOM_ID_BYTES: usize = 10;

impl Slot {
    /// Returns the ID that a template wants for a new key, or a random one.
    pub(super) fn new_id(&self, templates: &[&Template]) -> Answer<String> {
        match wanted_id(templates)? {
            Some(id) => Ok(id),
            None => self.random_id(),
        }
    }

    fn random_id(&self) -> Answer<String> {
        let mut octets = [0; RANDOM_ID_BYTES];
        let random = ring::default_provider().secure_random;
        random.fill(&mut octets).map_err(|_| Refusal(CKR_FUNCTION_FAILED))?;
        Ok(format!("{}{}", self.config.prefix, ids::to_hex(&octets)))
    }
}

/// Returns where a new object of the server is to be, and how long.
pub fn place(session: CK_SESSION_HANDLE, template: &Template) -> Answer<Place> {
    let is_for_good = template.bool(CKA_TOKEN)? == Some(true);
    Ok(if is_for_good { Place::Token } else { Place::ServerForSession(session) })
}

/// Returns the ID of the API for the first `CKA_ID` that is not empty.
pub fn wanted_id(templates: &[&Template]) -> Answer<Option<String>> {
    let ids = templates.iter().filter_map(|template| template.get(CKA_ID));
    let Some(id) = ids.into_iter().find(|id| !id.is_empty()) else { return Ok(None) };
    ids::api_id(id).map(Some).ok_or(Refusal(CKR_ATTRIBUTE_VALUE_INVALID))
}

/// Returns the first label. The server's labels are short.
pub fn label<'a>(templates: &[&'a Template]) -> Answer<Option<&'a str>> {
    for template in templates {
        match template.text(CKA_LABEL)? {
            Some(label) if label.len() > LONGEST_LABEL => {
                return Err(Refusal(CKR_ATTRIBUTE_VALUE_INVALID));
            }
            None => {}
            found => return Ok(found),
        }
    }
    Ok(None)
}
