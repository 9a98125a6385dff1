//! The configuration: which slots there are, and what each needs to reach its server.

mod nethsm_file;
mod toml_file;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::http::{client_settings, Instance, Patience, Trust};
use crate::objects::ids::from_hex;

const SYSTEM_FILE: &str = "/etc/keystead/pkcs11.toml";
const USER_FILE: &str = "keystead/pkcs11.toml";
const FILE_VARIABLE: &str = "KEYSTEAD_PKCS11_CONFIG";
/// How long a timeout can be: a day.
const LONGEST_SECONDS: u64 = 86_400;

/// What the configuration says of a slot.
pub struct SlotConfig {
    pub label: String,
    pub urls: Vec<String>,
    /// Whom connections trust.
    pub trust: Trust,
    /// Who uses keys.
    pub user: Option<User>,
    /// Who changes keys, if not the same user.
    pub administrator: Option<User>,
    /// Only keys whose IDs begin so are shown.
    pub prefix: String,
    /// Only keys of these types are shown; all if there are none.
    pub key_types: Vec<String>,
    /// Whether the certificates of keys are asked for.
    pub certificates: bool,
    /// How long a list of all keys is used again.
    pub list_cache: Duration,
    /// How long requests may take.
    pub patience: Patience,
}

/// A user of the server.
pub struct User {
    pub name: String,
    /// The passphrase, if applications need not give it.
    pub pin: Option<Zeroizing<String>>,
}

impl SlotConfig {
    /// Returns the instances. The error is a line for the user.
    pub fn instances(&self) -> Result<Vec<Instance>, String> {
        let tls: Arc<ClientConfig> = client_settings(&self.trust)?;
        self.urls.iter().map(|url| Instance::new(url, Arc::clone(&tls))).collect()
    }
}

/// Reads the configuration. The error is a line for the user.
pub fn read() -> Result<Vec<SlotConfig>, String> {
    let (file, parse) = file()?;
    let problem = |error: String| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(&file).map_err(|error| problem(error.to_string()))?;
    let slots = parse(&Zeroizing::new(text)).map_err(problem)?;
    if slots.is_empty() {
        return Err(problem("there are no slots".into()));
    }
    Ok(slots)
}

type Parse = fn(&str) -> Result<Vec<SlotConfig>, String>;

/// Returns the file that counts, and how it is read: the variable's, else the user's if it is there,
/// else the system's, else that of nethsm-pkcs11.
fn file() -> Result<(PathBuf, Parse), String> {
    if let Some(file) = std::env::var_os(FILE_VARIABLE) {
        return Ok((file.into(), toml_file::parse));
    }
    let home = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    let of_user = home.map(|folder| folder.join(USER_FILE));
    let mut files = of_user.into_iter().chain([PathBuf::from(SYSTEM_FILE)]);
    if let Some(file) = files.find(|file| file.exists()) {
        return Ok((file, toml_file::parse));
    }
    let file = nethsm_file::file().ok_or_else(|| {
        format!(
            "there is no configuration: neither {SYSTEM_FILE} nor a file named by {FILE_VARIABLE}"
        )
    })?;
    Ok((file, nethsm_file::parse))
}

/// Returns a SHA-256 that is written in hex, with or without colons.
fn fingerprint(text: &str) -> Result<[u8; 32], String> {
    let digits: String = text.chars().filter(|letter| *letter != ':').collect();
    from_hex(&digits)
        .and_then(|octets| octets.try_into().ok())
        .ok_or_else(|| format!("{text:?} is not a SHA-256 in hex"))
}

/// Returns the first line of a file with a passphrase.
fn pin_of_file(file: &str) -> Result<Zeroizing<String>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// Returns the passphrase in a variable of the environment.
fn pin_of_variable(name: &str) -> Result<Zeroizing<String>, String> {
    let value = std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?;
    Ok(Zeroizing::new(value))
}

#[cfg(test)]
#[path = "../../tests/unit/config.rs"]
mod tests;
