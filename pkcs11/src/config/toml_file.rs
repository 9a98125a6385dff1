//! The configuration in TOML.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{fingerprint, pin_of_file, pin_of_variable, SlotConfig, User, LONGEST_SECONDS};
use crate::http::{Patience, Trust};
use crate::objects::key_types::key_type;

const LONGEST_LABEL: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    slots: Vec<Slot>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Slot {
    label: String,
    instances: Vec<String>,
    ca_file: Option<String>,
    #[serde(default)]
    pinned_sha256: Vec<String>,
    client_certificate: Option<String>,
    client_key: Option<String>,
    user: Option<String>,
    pin: Option<Zeroizing<String>>,
    pin_file: Option<String>,
    pin_env: Option<String>,
    administrator: Option<Administrator>,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    key_types: Vec<String>,
    certificates: Option<bool>,
    list_cache_seconds: Option<u64>,
    connect_seconds: Option<u64>,
    answer_seconds: Option<u64>,
    call_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Administrator {
    user: String,
    pin: Option<Zeroizing<String>>,
    pin_file: Option<String>,
    pin_env: Option<String>,
}

/// Reads a configuration. The error is a line for the user.
pub fn parse(text: &str) -> Result<Vec<SlotConfig>, String> {
    // Its own text would show lines of the file, which may hold a PIN.
    let file: File = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("line {}: {}", before.matches('\n').count() + 1, error.message())
    })?;
    file.slots.into_iter().map(checked).collect()
}

fn checked(slot: Slot) -> Result<SlotConfig, String> {
    let label = slot.label;
    let problem = |what: String| format!("slot {label:?}: {what}");
    if label.is_empty() || label.len() > LONGEST_LABEL {
        return Err(problem(format!("a label has 1 to {LONGEST_LABEL} bytes")));
    }
    if slot.instances.is_empty() {
        return Err(problem("there are no instances".into()));
    }
    if let Some(unknown) = slot.key_types.iter().find(|name| key_type(name).is_none()) {
        return Err(problem(format!("there is no key type {unknown:?}")));
    }
    let pinned = slot.pinned_sha256.iter().map(|text| fingerprint(text)).collect::<Result<_, _>>();
    let client_certificate = match (slot.client_certificate, slot.client_key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(problem("client-certificate and client-key belong together".into())),
    };
    let trust =
        Trust { ca_file: slot.ca_file, pinned: pinned.map_err(&problem)?, client_certificate };
    let pin = pin(slot.pin, slot.pin_file, slot.pin_env).map_err(&problem)?;
    let user = match (slot.user, pin) {
        (Some(name), pin) => Some(User { name, pin }),
        (None, Some(_)) => return Err(problem("there is a PIN, but no user".into())),
        (None, None) => None,
    };
    let administrator = slot.administrator.map(administrator).transpose().map_err(&problem)?;
    let seconds = |given: Option<u64>, default| Duration::from_secs(given.unwrap_or(default));
    let patience = Patience {
        connect: seconds(slot.connect_seconds, 1),
        answer: seconds(slot.answer_seconds, 10),
        call: seconds(slot.call_seconds, 20),
    };
    let is_timeout = |time: &Duration| (1..=LONGEST_SECONDS).contains(&time.as_secs());
    if ![patience.connect, patience.answer, patience.call].iter().all(is_timeout) {
        return Err(problem(format!("a timeout has 1 to {LONGEST_SECONDS} seconds")));
    }
    Ok(SlotConfig {
        label,
        urls: slot.instances,
        trust,
        user,
        administrator,
        prefix: slot.prefix,
        key_types: slot.key_types,
        certificates: slot.certificates.unwrap_or(true),
        list_cache: seconds(slot.list_cache_seconds, 3),
        patience,
    })
}

fn administrator(given: Administrator) -> Result<User, String> {
    let pin = pin(given.pin, given.pin_file, given.pin_env)?;
    Ok(User { name: given.user, pin })
}

fn pin(
    given: Option<Zeroizing<String>>,
    file: Option<String>,
    variable: Option<String>,
) -> Result<Option<Zeroizing<String>>, String> {
    match (given, file, variable) {
        (None, None, None) => Ok(None),
        (Some(pin), None, None) => Ok(Some(pin)),
        (None, Some(file), None) => pin_of_file(&file).map(Some),
        (None, None, Some(variable)) => pin_of_variable(&variable).map(Some),
        _ => Err("only one of pin, pin-file and pin-env can be given".into()),
    }
}

#[cfg(test)]
#[path = "../../tests/unit/config_toml_file.rs"]
mod tests;
