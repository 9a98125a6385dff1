//! Templates: what a caller says of an object that it looks for or wants to be made.

use cryptoki_sys::*;

use super::Attribute;
use crate::refusal::{Answer, Refusal};

/// A template.
#[derive(Clone, Default)]
pub struct Template(pub Vec<Attribute>);

impl Template {
    /// Returns the value of an attribute.
    pub fn get(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<&[u8]> {
        let found = self.0.iter().find(|attribute| attribute.kind == kind);
        found.map(|attribute| attribute.value.as_slice())
    }

    /// Returns the value of an attribute that must be there.
    pub fn require(&self, kind: CK_ATTRIBUTE_TYPE) -> Answer<&[u8]> {
        self.get(kind).ok_or(Refusal(CKR_TEMPLATE_INCOMPLETE))
    }

    /// Returns the value of an attribute that is true or false.
    pub fn bool(&self, kind: CK_ATTRIBUTE_TYPE) -> Answer<Option<bool>> {
        match self.get(kind) {
            None => Ok(None),
            Some([octet]) => Ok(Some(*octet != 0)),
            Some(_) => Err(Refusal(CKR_ATTRIBUTE_VALUE_INVALID)),
        }
    }

    /// Returns the value of an attribute that is a number.
    pub fn number(&self, kind: CK_ATTRIBUTE_TYPE) -> Answer<Option<CK_ULONG>> {
        let Some(value) = self.get(kind) else { return Ok(None) };
        let octets = value.try_into().map_err(|_| Refusal(CKR_ATTRIBUTE_VALUE_INVALID))?;
        Ok(Some(CK_ULONG::from_ne_bytes(octets)))
    }

    /// Returns the value of an attribute that is a text, if it is not empty.
    pub fn text(&self, kind: CK_ATTRIBUTE_TYPE) -> Answer<Option<&str>> {
        let Some(value) = self.get(kind) else { return Ok(None) };
        let text = std::str::from_utf8(value).map_err(|_| Refusal(CKR_ATTRIBUTE_VALUE_INVALID))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}
