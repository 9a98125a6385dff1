//! The handles of a slot's objects. An object of the server keeps its handle as long as it exists.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cryptoki_sys::*;

use super::{Class, Handle, Object, Place};
use crate::refusal::{Answer, Refusal};

/// The objects that have handles.
#[derive(Default)]
pub struct Table {
    last: Handle,
    objects: HashMap<Handle, Arc<Object>>,
    on_token: HashMap<(Class, String), Handle>,
    /// Those that end with sessions.
    of_sessions: BTreeSet<Handle>,
}

impl Table {
    /// Returns an object.
    pub fn get(&self, handle: Handle) -> Answer<Arc<Object>> {
        let object = self.objects.get(&handle).ok_or(Refusal(CKR_OBJECT_HANDLE_INVALID))?;
        Ok(Arc::clone(object))
    }

    /// Adds an object, or replaces what is known of it; returns its handle.
    pub fn put(&mut self, object: Object) -> Handle {
        let name = (object.class, object.key.id.clone());
        let known = self.on_token.get(&name).copied().filter(|_| object.place == Place::Token);
        let handle = known.unwrap_or_else(|| {
            self.last += 1;
            self.last
        });
        self.insert(handle, object);
        handle
    }

    /// Replaces the object that has this handle, which may have moved to the token.
    pub fn replace(&mut self, handle: Handle, object: Object) {
        self.forget(handle);
        self.insert(handle, object);
    }

    /// Takes an object out; returns it.
    pub fn remove(&mut self, handle: Handle) -> Answer<Arc<Object>> {
        let object = self.objects.remove(&handle).ok_or(Refusal(CKR_OBJECT_HANDLE_INVALID))?;
        self.forget(handle);
        Ok(object)
    }

    /// Returns the handles of the objects of a key.
    pub fn of_key(&self, id: &str) -> Vec<Handle> {
        let found = self.objects.iter().filter(|(_, object)| object.key.id == id);
        found.map(|(handle, _)| *handle).collect()
    }

    /// Returns the objects that end with sessions, in the order in which they came.
    pub fn of_sessions(&self) -> Vec<(Handle, Arc<Object>)> {
        let object = |handle| self.objects.get(handle).map(|object| (*handle, Arc::clone(object)));
        self.of_sessions.iter().filter_map(object).collect()
    }

    /// Takes out what ends with a session; returns it.
    pub fn end_session(&mut self, session: Handle) -> Vec<Arc<Object>> {
        let mut ended = self.of_sessions();
        ended.retain(|(_, object)| object.session() == Some(session));
        for (handle, _) in &ended {
            self.of_sessions.remove(handle);
            self.objects.remove(handle);
        }
        ended.into_iter().map(|(_, object)| object).collect()
    }

    fn insert(&mut self, handle: Handle, object: Object) {
        if object.place == Place::Token {
            self.on_token.insert((object.class, object.key.id.clone()), handle);
        } else {
            self.of_sessions.insert(handle);
        }
        self.objects.insert(handle, Arc::new(object));
    }

    fn forget(&mut self, handle: Handle) {
        self.on_token.retain(|_, known| *known != handle);
        self.of_sessions.remove(&handle);
    }
}
