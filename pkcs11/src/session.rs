//! Sessions: what an application has begun on a slot. They are local: opening one asks no server.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use cryptoki_sys::*;

use crate::objects::{Handle, Object, Place, Template};
use crate::operations::{Operation, Purpose};
use crate::refusal::{require, Answer, Refusal};
use crate::slot::Slot;

/// A session.
pub struct Session {
    pub handle: Handle,
    /// What it is open on.
    pub slot: Arc<Slot>,
    /// Whether it may change objects.
    pub is_read_write: bool,
    begun: Mutex<Begun>,
}

/// What a session has begun.
#[derive(Default)]
pub struct Begun {
    /// The objects that were found and not fetched yet.
    pub found: Option<VecDeque<Handle>>,
    pub operations: Active<Operation>,
    /// The keys of messages, each of which is an operation of its own.
    pub messages: Active<Arc<Object>>,
}

/// What is active: one for each purpose at most.
pub struct Active<T>(HashMap<Purpose, T>);

/// The flags of `C_SessionCancel` for each purpose: of operations, and of messages.
const FLAGS: [(Purpose, CK_FLAGS, CK_FLAGS); 5] = [
    (Purpose::Sign, CKF_SIGN, CKF_MESSAGE_SIGN),
    (Purpose::Verify, CKF_VERIFY, CKF_MESSAGE_VERIFY),
    (Purpose::Encrypt, CKF_ENCRYPT, CKF_MESSAGE_ENCRYPT),
    (Purpose::Decrypt, CKF_DECRYPT, CKF_MESSAGE_DECRYPT),
    (Purpose::Digest, CKF_DIGEST, 0),
];

impl Session {
    /// Returns what was begun. Calls on one session wait for each other.
    pub fn begun(&self) -> MutexGuard<'_, Begun> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a session that may not change objects on the token.
    pub fn require_read_write(&self) -> Answer<()> {
        require(self.is_read_write, Refusal(CKR_SESSION_READ_ONLY))
    }

    /// Returns where a new object of the server is to be, and how long. Refuses, before anything is
    /// made, what the session may not write to the token.
    pub fn place(&self, template: &Template) -> Answer<Place> {
        if template.bool(CKA_TOKEN)? != Some(true) {
            return Ok(Place::ServerForSession(self.handle));
        }
        self.require_read_write()?;
        Ok(Place::Token)
    }
}

impl Begun {
    /// Ends what `CKF_…` name.
    pub fn cancel(&mut self, flags: CK_FLAGS) {
        for (purpose, of_operation, of_messages) in FLAGS {
            if flags & of_operation != 0 {
                self.operations.end(purpose);
            }
            if flags & of_messages != 0 {
                self.messages.end(purpose);
            }
        }
        if flags & CKF_FIND_OBJECTS != 0 {
            self.found = None;
        }
    }
}

impl<T> Default for Active<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Active<T> {
    /// Begins one, if there is none for the same purpose.
    pub fn begin(&mut self, purpose: Purpose, make: impl FnOnce() -> Answer<T>) -> Answer<()> {
        require(!self.0.contains_key(&purpose), Refusal(CKR_OPERATION_ACTIVE))?;
        self.0.insert(purpose, make()?);
        Ok(())
    }

    /// Returns the one for a purpose.
    pub fn get(&mut self, purpose: Purpose) -> Answer<&mut T> {
        self.0.get_mut(&purpose).ok_or(Refusal(CKR_OPERATION_NOT_INITIALIZED))
    }

    /// Ends the one for a purpose, if there is one.
    pub fn end(&mut self, purpose: Purpose) {
        self.0.remove(&purpose);
    }
}

/// All open sessions.
#[derive(Default)]
pub struct Sessions {
    last: AtomicU64,
    open: RwLock<HashMap<Handle, Arc<Session>>>,
}

impl Sessions {
    /// Opens a session.
    pub fn open(&self, slot: Arc<Slot>, is_read_write: bool) -> Handle {
        let handle = self.last.fetch_add(1, Ordering::Relaxed) as Handle + 1;
        let session = Session { handle, slot, is_read_write, begun: Mutex::default() };
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(handle, Arc::new(session));
        handle
    }

    /// Returns a session.
    pub fn get(&self, handle: Handle) -> Answer<Arc<Session>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&handle).cloned().ok_or(Refusal(CKR_SESSION_HANDLE_INVALID))
    }

    /// Closes a session. With the last one of a slot, its application is logged out.
    pub fn close(&self, handle: Handle) -> Answer<()> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let session = open.remove(&handle).ok_or(Refusal(CKR_SESSION_HANDLE_INVALID))?;
        let is_last = !open.values().any(|other| other.slot.id == session.slot.id);
        drop(open);
        session.slot.end_session(handle);
        if is_last {
            // Nobody may have logged in.
            let _ = session.slot.log_out();
        }
        Ok(())
    }

    /// Closes all sessions of a slot.
    pub fn close_all(&self, slot: CK_SLOT_ID) {
        let handles: Vec<_> = {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            open.values().filter(|session| session.slot.id == slot).map(|one| one.handle).collect()
        };
        for handle in handles {
            // Another thread may have closed it since.
            let _ = self.close(handle);
        }
    }
}
