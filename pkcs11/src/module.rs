//! What the process has, from `C_Initialize` to `C_Finalize`, and what its child has after a fork.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use cryptoki_sys::*;

use crate::config::{self, SlotConfig};
use crate::http::Client;
use crate::refusal::{require, tell, Answer, Refusal};
use crate::session::{Session, Sessions};
use crate::slot::Slot;

/// The module between `C_Initialize` and `C_Finalize`.
pub struct Module {
    pub slots: Vec<Arc<Slot>>,
    pub sessions: Sessions,
}

/// The state of one process.
///
/// A child of a fork must not touch its parent's locks: threads that are not there any more may hold
/// them. It gets a state of its own, in which nothing is initialised, as the standard says
/// (PKCS#11 3.0, 5.1.1); the parent's is left as it is.
struct Process {
    pid: u32,
    module: RwLock<Option<Arc<Module>>>,
    /// What the parent's configuration was: a child may have lost the right to read the file.
    inherited: Vec<Arc<SlotConfig>>,
    child: OnceLock<Box<Process>>,
}

static FIRST: OnceLock<Process> = OnceLock::new();

impl Process {
    fn new(inherited: Vec<Arc<SlotConfig>>) -> Self {
        let pid = std::process::id();
        Self { pid, module: RwLock::new(None), inherited, child: OnceLock::new() }
    }

    /// Returns the state of the running process.
    fn current() -> &'static Self {
        let pid = std::process::id();
        let mut process = FIRST.get_or_init(|| Self::new(Vec::new()));
        loop {
            match process.child.get() {
                Some(child) => process = child,
                None if process.pid == pid => return process,
                None => {
                    let inherited = process.leave();
                    process = process.child.get_or_init(|| Box::new(Self::new(inherited)));
                }
            }
        }
    }

    /// Closes a child's copies of its parent's connections; returns the parent's configuration.
    fn leave(&self) -> Vec<Arc<SlotConfig>> {
        let Ok(module) = self.module.try_read() else { return self.inherited.clone() };
        let Some(module) = &*module else { return self.inherited.clone() };
        module.slots.iter().for_each(|slot| slot.close());
        module.slots.iter().map(|slot| Arc::clone(&slot.config)).collect()
    }

    /// Returns the configuration: of the parent, or of the file.
    fn configuration(&self) -> Result<Vec<Arc<SlotConfig>>, String> {
        if self.inherited.is_empty() {
            return Ok(config::read()?.into_iter().map(Arc::new).collect());
        }
        Ok(self.inherited.clone())
    }
}

impl Module {
    /// Reads the configuration and makes the slots. It asks no server.
    pub fn initialize() -> Answer<()> {
        let process = Process::current();
        let mut module = process.module.write().unwrap_or_else(PoisonError::into_inner);
        require(module.is_none(), Refusal(CKR_CRYPTOKI_ALREADY_INITIALIZED))?;
        let slots = process.configuration().and_then(Self::slots).map_err(|error| {
            tell(&error);
            Refusal(CKR_GENERAL_ERROR)
        })?;
        *module = Some(Arc::new(Self { slots, sessions: Sessions::default() }));
        Ok(())
    }

    /// Closes all sessions and connections.
    pub fn finalize() -> Answer<()> {
        let module =
            Process::current().module.write().unwrap_or_else(PoisonError::into_inner).take();
        let module = module.ok_or(Refusal(CKR_CRYPTOKI_NOT_INITIALIZED))?;
        for slot in &module.slots {
            module.sessions.close_all(slot.id);
            slot.close();
        }
        Ok(())
    }

    /// Returns the module of this process.
    pub fn get() -> Answer<Arc<Self>> {
        let module = Process::current().module.read().unwrap_or_else(PoisonError::into_inner);
        module.clone().ok_or(Refusal(CKR_CRYPTOKI_NOT_INITIALIZED))
    }

    /// Returns a slot.
    pub fn slot(id: CK_SLOT_ID) -> Answer<Arc<Slot>> {
        let module = Self::get()?;
        let found = module.slots.iter().find(|slot| slot.id == id).cloned();
        found.ok_or(Refusal(CKR_SLOT_ID_INVALID))
    }

    /// Returns a session.
    pub fn session(handle: CK_SESSION_HANDLE) -> Answer<Arc<Session>> {
        Self::get()?.sessions.get(handle)
    }

    fn slots(configuration: Vec<Arc<SlotConfig>>) -> Result<Vec<Arc<Slot>>, String> {
        let slots = configuration.into_iter().zip(0..).map(|(slot, id)| {
            let client = Client::new(slot.instances()?, slot.patience);
            Ok(Arc::new(Slot::new(id, slot, client)))
        });
        slots.collect()
    }
}
