//! Changes, copies and removes objects.

use std::sync::Arc;

use cryptoki_sys::*;

use super::naming::label;
use super::Slot;
use crate::objects::{Attribute, Class, Handle, Object, Place, Template};
use crate::refusal::{require, Answer, Refusal};
use crate::session::Session;

impl Slot {
    /// Destroys an object: a private or secret key with all that belongs to it.
    pub fn destroy(&self, handle: Handle) -> Answer<()> {
        let object = self.object(handle)?;
        match (object.class, object.place) {
            (_, Place::Session(_)) | (Class::Public, Place::ServerForSession(_)) => {}
            (Class::Certificate, _) => self.administrator()?.delete_certificate(object.id())?,
            (Class::Public, Place::Token) => {
                // Gone with its private key; else there is no way to remove it alone.
                if self.user()?.key(object.id())?.is_some() {
                    return Err(Refusal(CKR_ACTION_PROHIBITED));
                }
            }
            _ => self.administrator()?.delete(object.id())?,
        }
        self.forget_listing();
        self.objects().remove(handle).map(drop)
    }

    /// Sets attributes: the ID moves the key, the label labels it.
    pub fn set_attributes(&self, handle: Handle, template: &Template) -> Answer<()> {
        let object = self.object(handle)?;
        if object.id().is_empty() {
            // It is in this process alone.
            return Err(Refusal(CKR_ACTION_PROHIBITED));
        }
        let may_change = |kind| matches!(kind, CKA_ID | CKA_LABEL | CKA_SUBJECT);
        for attribute in &template.0 {
            let is_same = object.matches(&Template(vec![attribute.clone()]));
            require(may_change(attribute.kind) || is_same, Refusal(CKR_ATTRIBUTE_READ_ONLY))?;
        }
        let mut key = (*object.key).clone();
        if let Some(id) = self.wanted_id(&[template])?.filter(|id| *id != key.id) {
            self.administrator()?.move_key(&key.id, &id)?;
            key.id = id;
        }
        if let Some(label) = label(&[template])?.filter(|label| key.label.as_deref() != Some(label))
        {
            self.administrator()?.set_label(&key.id, &label)?;
            key.label = Some(label.into_owned());
        }
        self.forget_listing();
        let key = Arc::new(key);
        let mut table = self.objects();
        for handle in table.of_key(object.id()) {
            let changed = Object { key: Arc::clone(&key), ..(*table.get(handle)?).clone() };
            table.replace(handle, changed);
        }
        Ok(())
    }
}

impl Session {
    /// Copies an object; returns the copy's handle.
    ///
    /// The server keeps a key once. So a key of a session is not copied to the token but stays
    /// there, and what the session has is a second handle for it.
    pub fn copy(&self, handle: Handle, template: &Template) -> Answer<Handle> {
        let to_token = self.place(template)? == Place::Token;
        let is_of_session = matches!(self.slot.object(handle)?.place, Place::ServerForSession(_));
        require(is_of_session && to_token, Refusal(CKR_ACTION_PROHIBITED))?;
        let stays = |attribute: &&Attribute| matches!(attribute.kind, CKA_ID | CKA_LABEL);
        let changes = Template(template.0.iter().filter(stays).cloned().collect());
        self.slot.set_attributes(handle, &changes)?;
        let object = self.slot.object(handle)?;
        let mut table = self.slot.objects();
        for other in table.of_key(object.id()) {
            let kept =
                Object { place: Place::Session(self.handle), ..(*table.get(other)?).clone() };
            table.replace(other, kept);
        }
        Ok(table.put(Object { place: Place::Token, ..(*object).clone() }))
    }
}
