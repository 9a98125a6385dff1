//! A slot with its token: the instances, who is logged in, and the objects.

mod change;
mod create;
mod find;
mod generate;
mod naming;
mod secrets;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cryptoki_sys::*;

pub use secrets::kem_ciphertext_length;

use crate::config::SlotConfig;
use crate::http::Client;
use crate::objects::{Handle, Object, Place, Table};
use crate::refusal::{require, Answer, Refusal};
use crate::rest::{Api, Credential, Key};

/// Until the last request of a call that makes many.
const LONGEST_CALL: Duration = Duration::from_secs(600);

/// A slot.
pub struct Slot {
    pub id: CK_SLOT_ID,
    /// What the configuration says of it.
    pub config: Arc<SlotConfig>,
    client: Client,
    login: Mutex<Login>,
    objects: Mutex<Table>,
    listed: Mutex<Option<Listing>>,
}

/// Who may ask the server.
#[derive(Default)]
struct Login {
    user: Option<Arc<Credential>>,
    administrator: Option<Arc<Credential>>,
    /// Whether an application logged in, beside what the configuration says.
    by_application: bool,
}

/// All keys, as they were listed.
struct Listing {
    at: Instant,
    keys: Arc<Vec<Arc<Key>>>,
}

impl Slot {
    /// Makes a slot. The configured PINs are not tried yet.
    pub fn new(id: CK_SLOT_ID, config: Arc<SlotConfig>, client: Client) -> Self {
        let login = Mutex::new(Login::configured(&config));
        Self { id, config, client, login, objects: Mutex::default(), listed: Mutex::default() }
    }

    /// Says whether applications must log in before they can use the token.
    pub fn needs_login(&self) -> bool {
        self.config.user.as_ref().is_none_or(|user| user.pin.is_none())
    }

    /// Says whether requests can be made for a user.
    pub fn has_user(&self) -> bool {
        let login = self.login();
        login.user.is_some() || login.administrator.is_some()
    }

    /// Logs in with a PIN: a passphrase, or `user:passphrase` if no user is known. An empty one stands
    /// for the configured.
    pub fn log_in(&self, user_type: CK_USER_TYPE, name: Option<&str>, pin: &str) -> Answer<()> {
        if user_type == CKU_CONTEXT_SPECIFIC {
            return Ok(());
        }
        let configured = match user_type {
            CKU_USER => &self.config.user,
            CKU_SO => &self.config.administrator,
            _ => return Err(Refusal(CKR_USER_TYPE_INVALID)),
        };
        if self.login().by_application && self.login().of(user_type).is_some() {
            return Err(Refusal(CKR_USER_ALREADY_LOGGED_IN));
        }
        let is_configured = configured.as_ref().is_some_and(|user| user.pin.is_some());
        if pin.is_empty() && is_configured {
            self.login().by_application = true;
            return Ok(());
        }
        let known = name.or(configured.as_ref().map(|user| user.name.as_str()));
        let both = known.map_or_else(|| pin.split_once(':'), |user| Some((user, pin)));
        let (user, passphrase) = both.ok_or(Refusal(CKR_PIN_INCORRECT))?;
        let credential = Arc::new(Credential::new(user, passphrase));
        self.api(&credential).check_credential()?;
        let mut login = self.login();
        *login.of(user_type) = Some(credential);
        login.by_application = true;
        drop(login);
        self.forget_listing();
        Ok(())
    }

    /// Forgets the PINs of applications.
    pub fn log_out(&self) -> Answer<()> {
        let mut login = self.login();
        require(login.by_application, Refusal(CKR_USER_NOT_LOGGED_IN))?;
        *login = Login::configured(&self.config);
        Ok(())
    }

    /// Replaces the passphrase of the user who is logged in.
    pub fn set_pin(&self, old: &str, new: &str) -> Answer<()> {
        let api = self.user()?;
        let asked = Credential::new(&api.credential.user, old);
        let with_old = self.api(&Arc::new(asked));
        with_old.check_credential()?;
        with_old.set_passphrase(new)?;
        let credential = Arc::new(Credential::new(&api.credential.user, new));
        let mut login = self.login();
        let changed = if login.user.is_some() { &mut login.user } else { &mut login.administrator };
        *changed = Some(credential);
        Ok(())
    }

    /// Returns the API for uses of keys: as the user, or as the administrator if there is no user.
    pub fn user(&self) -> Answer<Api<'_>> {
        let login = self.login();
        self.api_of(login.user.as_ref().or(login.administrator.as_ref()))
    }

    /// Returns the API for changes: as the administrator, or as the user if there is no other.
    pub fn administrator(&self) -> Answer<Api<'_>> {
        let login = self.login();
        self.api_of(login.administrator.as_ref().or(login.user.as_ref()))
    }

    /// Returns an object.
    pub fn object(&self, handle: Handle) -> Answer<Arc<Object>> {
        self.objects().get(handle)
    }

    /// Returns an object that a caller means to be a key; `invalid` is what refuses a handle of none.
    pub fn key_object(&self, handle: Handle, invalid: CK_RV) -> Answer<Arc<Object>> {
        self.object(handle).map_err(|_| Refusal(invalid))
    }

    /// Ends what lives as long as a session.
    pub fn end_session(&self, session: Handle) {
        let ended = self.objects().end_session(session);
        for object in ended {
            if object.place == Place::ServerForSession(session) {
                // The session is over, whether or not the server can be reached.
                let _ = self.administrator().and_then(|api| api.delete(object.id()));
            }
        }
    }

    /// Closes the connections.
    pub fn close(&self) {
        self.client.close();
    }

    fn api(&self, credential: &Arc<Credential>) -> Api<'_> {
        let end = Instant::now() + LONGEST_CALL;
        Api { client: &self.client, credential: Arc::clone(credential), end }
    }

    fn api_of(&self, credential: Option<&Arc<Credential>>) -> Answer<Api<'_>> {
        credential.map(|credential| self.api(credential)).ok_or(Refusal(CKR_USER_NOT_LOGGED_IN))
    }

    fn login(&self) -> MutexGuard<'_, Login> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn objects(&self) -> MutexGuard<'_, Table> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listed(&self) -> MutexGuard<'_, Option<Listing>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_listing(&self) {
        *self.listed() = None;
    }
}

impl Login {
    fn configured(config: &SlotConfig) -> Self {
        let credential = |user: &Option<crate::config::User>| {
            let user = user.as_ref()?;
            let pin = user.pin.as_ref()?;
            Some(Arc::new(Credential::new(&user.name, pin)))
        };
        Self {
            user: credential(&config.user),
            administrator: credential(&config.administrator),
            by_application: false,
        }
    }

    fn of(&mut self, user_type: CK_USER_TYPE) -> &mut Option<Arc<Credential>> {
        if user_type == CKU_SO {
            &mut self.administrator
        } else {
            &mut self.user
        }
    }
}
