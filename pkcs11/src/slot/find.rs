//! Finds objects, with as few requests as the template allows.

use std::sync::Arc;
use std::time::Instant;

use cryptoki_sys::*;

use super::{Listing, Slot};
use crate::objects::{ids, labels, Certificate, Class, Handle, Object, Place, Template, Value};
use crate::refusal::Answer;
use crate::rest::{Api, Key};

impl Slot {
    /// Returns the handles of all objects that match a template.
    pub fn find(&self, template: &Template) -> Answer<Vec<Handle>> {
        let class = template.number(CKA_CLASS)?;
        let of_sessions = self.objects().of_sessions();
        let is_on_server = |object: &Object| matches!(object.place, Place::ServerForSession(_));
        let is_of_session = |key: &Key| {
            of_sessions.iter().any(|(_, object)| is_on_server(object) && object.id() == key.id)
        };
        let matching = of_sessions.iter().filter(|(_, object)| object.matches(template));
        let mut found: Vec<_> = matching.map(|(handle, _)| *handle).collect();
        if template.bool(CKA_TOKEN)? == Some(false) || !self.has_user() || !is_known(class) {
            return Ok(found);
        }
        let api = self.user()?;
        let keys = self.keys_for(&api, template)?;
        for key in keys.iter().filter(|key| self.shows(key) && !is_of_session(key)) {
            for object in self.objects_of(&api, key, class, template)? {
                if object.matches(template) {
                    found.push(self.objects().put(object));
                }
            }
        }
        Ok(found)
    }

    /// Returns at least the keys that can match a template.
    fn keys_for(&self, api: &Api, template: &Template) -> Answer<Arc<Vec<Arc<Key>>>> {
        if let Some(id) = template.get(CKA_ID) {
            return Ok(Arc::new(key(api, ids::api_id(id))?.into_iter().collect()));
        }
        match template.text(CKA_LABEL)? {
            Some(label) => keys_by_label(api, label),
            None => self.all_keys(api),
        }
    }

    fn all_keys(&self, api: &Api) -> Answer<Arc<Vec<Arc<Key>>>> {
        if let Some(listing) = &*self.listed() {
            if listing.at.elapsed() < self.config.list_cache {
                return Ok(Arc::clone(&listing.keys));
            }
        }
        let keys = api.keys(&self.config.prefix)?;
        let keys = Arc::new(keys.into_iter().map(Arc::new).collect::<Vec<_>>());
        *self.listed() = Some(Listing { at: Instant::now(), keys: Arc::clone(&keys) });
        Ok(keys)
    }

    /// Says whether the configuration does not hide a key.
    fn shows(&self, key: &Key) -> bool {
        let types = &self.config.key_types;
        key.id.starts_with(&self.config.prefix)
            && (types.is_empty() || types.iter().any(|name| name == key.kind.name))
    }

    /// Returns the objects of a key that may match; its certificate is only asked for if it may.
    fn objects_of(
        &self,
        api: &Api,
        key: &Arc<Key>,
        class: Option<CK_OBJECT_CLASS>,
        template: &Template,
    ) -> Answer<Vec<Object>> {
        let classes: &[Class] =
            if key.kind.is_secret() { &[Class::Secret] } else { &[Class::Private, Class::Public] };
        let wanted = |wanted: Class| class.is_none_or(|number| number == wanted.number());
        let classes = classes.iter().filter(|class| wanted(**class));
        let mut objects: Vec<_> = classes.map(|class| Object::on_token(*class, key)).collect();
        let is_kept = self.config.certificates && key.may_have_certificate;
        if wanted(Class::Certificate) && is_kept && !key.kind.is_secret() {
            let object = |certificate| Object {
                certificate: Some(Arc::new(certificate)),
                ..Object::on_token(Class::Certificate, key)
            };
            let any = object(Certificate::default());
            if template.0.iter().all(|one| any.attribute(one.kind) != Value::Missing) {
                let stored = api.certificate(&key.id)?;
                objects.extend(stored.and_then(|stored| Certificate::parse(&stored)).map(object));
            }
        }
        Ok(objects)
    }
}

fn key(api: &Api, id: Option<String>) -> Answer<Option<Arc<Key>>> {
    Ok(id.map(|id| api.key(&id)).transpose()?.flatten().map(Arc::new))
}

/// Returns the keys with a label. A key without one has its ID as its label.
fn keys_by_label(api: &Api, label: &str) -> Answer<Arc<Vec<Arc<Key>>>> {
    let labelled = api.keys_with_label(&labels::kept(label))?;
    let mut found: Vec<_> = labelled.into_iter().map(Arc::new).collect();
    let by_id = ids::api_id(label.as_bytes()).filter(|id| id == label);
    if let Some(key) = key(api, by_id)? {
        if found.iter().all(|other| other.id != key.id) {
            found.push(key);
        }
    }
    Ok(Arc::new(found))
}

fn is_known(class: Option<CK_OBJECT_CLASS>) -> bool {
    let classes = [Class::Private, Class::Public, Class::Secret, Class::Certificate];
    class.is_none_or(|number| classes.iter().any(|class| class.number() == number))
}
