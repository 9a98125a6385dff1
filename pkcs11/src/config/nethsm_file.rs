//! The configuration of nethsm-pkcs11, `p11nethsm.conf`, in YAML: so its users change a path alone.

use std::path::PathBuf;
use std::time::Duration;

use yaml_rust2::{Yaml, YamlLoader};
use zeroize::Zeroizing;

use super::{fingerprint, pin_of_variable, SlotConfig, User, LONGEST_SECONDS};
use crate::http::{Patience, Trust};

const VARIABLE: &str = "P11NETHSM_CONFIG_FILE";
const FOLDERS: [(&str, &str); 2] = [("XDG_CONFIG_HOME", ""), ("HOME", ".config")];
const NAME: &str = "nethsm/p11nethsm.conf";
const SYSTEM_FOLDER: &str = "/etc";
const PIN_OF_VARIABLE: &str = "env:";
const DEFAULT_SECONDS: u64 = 10;

/// Returns the file, if there is one.
pub fn file() -> Option<PathBuf> {
    if let Some(file) = std::env::var_os(VARIABLE) {
        return Some(file.into());
    }
    let of_user = FOLDERS.iter().filter_map(|(variable, folder)| {
        Some(PathBuf::from(std::env::var_os(variable)?).join(folder).join(NAME))
    });
    of_user.chain([PathBuf::from(SYSTEM_FOLDER).join(NAME)]).find(|file| file.exists())
}

/// Reads a configuration. The error is a line for the user.
pub fn parse(text: &str) -> Result<Vec<SlotConfig>, String> {
    let documents = YamlLoader::load_from_str(text)
        .map_err(|error| format!("line {}: {}", error.marker().line(), error.info()))?;
    let slots = documents.first().and_then(|document| document["slots"].as_vec());
    slots.ok_or("there are no slots")?.iter().map(slot).collect()
}

fn slot(given: &Yaml) -> Result<SlotConfig, String> {
    let label = text(&given["label"]).ok_or("a slot has no label")?;
    let problem = |what: String| format!("slot {label:?}: {what}");
    let instances = given["instances"].as_vec().filter(|instances| !instances.is_empty());
    let instances = instances.ok_or_else(|| problem("there are no instances".into()))?;
    let (mut urls, mut pinned) = (Vec::new(), Vec::new());
    for instance in instances {
        urls.push(text(&instance["url"]).ok_or_else(|| problem("an instance has no url".into()))?);
        pinned.extend(fingerprints(instance).map_err(&problem)?);
    }
    let seconds = given["timeout_seconds"].as_i64().and_then(|seconds| u64::try_from(seconds).ok());
    let seconds = seconds.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_SECONDS);
    let answer = Duration::from_secs(seconds.min(LONGEST_SECONDS));
    Ok(SlotConfig {
        user: user(&given["operator"]).map_err(&problem)?,
        administrator: user(&given["administrator"]).map_err(&problem)?,
        label,
        urls,
        trust: Trust { pinned, ..Trust::default() },
        prefix: String::new(),
        key_types: Vec::new(),
        certificates: true,
        list_cache: Duration::from_secs(3),
        patience: Patience { connect: Duration::from_secs(1), answer, call: 2 * answer },
    })
}

/// Returns the pinned certificates. Trusting every server is not taken over.
fn fingerprints(instance: &Yaml) -> Result<Vec<[u8; 32]>, String> {
    let given = instance["sha256_fingerprints"].as_vec().map_or(&[][..], Vec::as_slice);
    let texts: Vec<_> = given.iter().filter_map(text).collect();
    if texts.is_empty() && instance["danger_insecure_cert"].as_bool() == Some(true) {
        return Err(
            "danger_insecure_cert trusts every server: give sha256_fingerprints instead".into()
        );
    }
    texts.iter().map(|text| fingerprint(text)).collect()
}

/// Returns a user, if one is named. A password may be in a variable: `env:NAME`.
fn user(given: &Yaml) -> Result<Option<User>, String> {
    let Some(name) = text(&given["username"]) else { return Ok(None) };
    let password = text(&given["password"]).map(Zeroizing::new);
    let pin = password.map(|password| match password.strip_prefix(PIN_OF_VARIABLE) {
        Some(variable) => pin_of_variable(variable),
        None => Ok(password),
    });
    Ok(Some(User { name, pin: pin.transpose()? }))
}

/// Returns a scalar as a text: a password of digits is a number in YAML.
fn text(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "../../tests/unit/config_nethsm_file.rs"]
mod tests;
