//! The requests of the API: JSON and status codes here, refusals of PKCS#11 for the rest of the module.

mod key;
mod keys;
mod uses;

use std::sync::Arc;
use std::time::Instant;

use base64::prelude::{Engine as _, BASE64_STANDARD};
use cryptoki_sys::*;
use serde::Deserialize;
use serde_json::{json, Value};
use zeroize::Zeroizing;

pub use key::{Key, Public};
pub use keys::{NewKey, PrivateData};
pub use uses::Cipher;

use crate::http::{Client, HttpAnswer, Request};
use crate::objects::ids::is_name;
use crate::refusal::{require, tell, Answer, Refusal};

const GENERATE: &str = "/keys/generate";
const JSON: &str = "application/json";
const MOST_RANDOM_BYTES: usize = 1024;
const TOO_LATE: &str = "a call takes too many requests for its time";

/// A user of the server: the value of the header Authorization.
pub struct Credential {
    pub user: String,
    authorization: Zeroizing<String>,
}

impl Credential {
    /// Makes the credential of a user with a passphrase.
    pub fn new(user: &str, passphrase: &str) -> Self {
        let pair = Zeroizing::new(format!("{user}:{passphrase}"));
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
        let authorization = Zeroizing::new(format!("Basic {}", encoded.as_str()));
        Self { user: user.to_owned(), authorization }
    }
}

/// The API, as one user.
pub struct Api<'a> {
    pub client: &'a Client,
    pub credential: Arc<Credential>,
    /// When the call that has it begins no other request: a list may take thousands.
    pub end: Instant,
}

impl Api<'_> {
    /// Refuses a credential that the server does not know, or refuses after wrong ones.
    pub fn check_credential(&self) -> Answer<()> {
        let user = &self.credential.user;
        // Any other name would make the path of something that anybody may ask for.
        let is_user = user.split('~').all(|part| is_name(part.as_bytes()));
        require(is_user, Refusal(CKR_PIN_INCORRECT))?;
        let answer = self.get(&format!("/users/{user}"))?;
        match answer.status {
            401 => Err(Refusal(CKR_PIN_INCORRECT)),
            // The user is known, whatever it may see.
            200 | 403 | 404 => Ok(()),
            status => {
                let refusal = refused(&answer);
                Err(if status == 429 { Refusal(CKR_PIN_LOCKED) } else { refusal })
            }
        }
    }

    /// Returns random bytes of the server, which gives a limited number at once.
    pub fn random(&self, length: usize) -> Answer<Zeroizing<Vec<u8>>> {
        #[derive(Deserialize)]
        struct Random {
            random: Zeroizing<String>,
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        while bytes.len() < length {
            let wanted = (length - bytes.len()).min(MOST_RANDOM_BYTES);
            let body = format!(r#"{{"length":{wanted}}}"#);
            let answer = self.send("POST", "/random", Some((JSON, body.as_bytes())))?;
            let some = decode(&parse::<Random>(&answer)?.random)?;
            require(some.len() == wanted, Refusal(CKR_DEVICE_ERROR))?;
            bytes.extend(some.iter());
        }
        Ok(bytes)
    }

    /// Replaces the user's own passphrase.
    pub fn set_passphrase(&self, passphrase: &str) -> Answer<()> {
        let path = format!("/users/{}/passphrase", self.credential.user);
        self.change("POST", &path, &json!({ "passphrase": passphrase }))
    }

    fn change(&self, method: &str, path: &str, body: &Value) -> Answer<()> {
        let body = Zeroizing::new(body.to_string());
        done(&self.send(method, path, Some((JSON, body.as_bytes())))?)
    }

    /// Sends a request, with a type and a body if it has one.
    fn send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Answer<HttpAnswer> {
        let authorization = &self.credential.authorization;
        let request = Request { method, path, authorization, body, is_slow: path == GENERATE };
        let is_late = Instant::now() >= self.end;
        let sent = if is_late { Err(TOO_LATE.into()) } else { self.client.send(&request) };
        sent.map_err(|error| {
            tell(&error);
            Refusal(CKR_DEVICE_ERROR)
        })
    }

    fn get(&self, path: &str) -> Answer<HttpAnswer> {
        self.send("GET", path, None)
    }
}

/// Returns the contents of a successful answer.
fn parse<'a, T: Deserialize<'a>>(answer: &'a HttpAnswer) -> Answer<T> {
    done(answer)?;
    serde_json::from_slice(&answer.body).map_err(|error| {
        tell(&format!("the server's answer is not understood: {error}"));
        Refusal(CKR_DEVICE_ERROR)
    })
}

fn done(answer: &HttpAnswer) -> Answer<()> {
    match answer.status {
        200..=299 | 304 => Ok(()),
        _ => Err(refused(answer)),
    }
}

/// Returns the refusal for an answer that is no success, and tells why the server refused.
fn refused(answer: &HttpAnswer) -> Refusal {
    if !matches!(answer.status, 401 | 404) {
        let reason = String::from_utf8_lossy(&answer.body);
        tell(&format!("the server answers {}: {}", answer.status, reason.trim()));
    }
    Refusal(match answer.status {
        401 => CKR_USER_NOT_LOGGED_IN,
        403 => CKR_ACTION_PROHIBITED,
        404 => CKR_KEY_HANDLE_INVALID,
        400 | 409 | 413 | 422 => CKR_ARGUMENTS_BAD,
        _ => CKR_DEVICE_ERROR,
    })
}

fn encode(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(BASE64_STANDARD.encode(bytes))
}

fn decode(text: &str) -> Answer<Zeroizing<Vec<u8>>> {
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| Refusal(CKR_DEVICE_ERROR))?;
    Ok(Zeroizing::new(bytes))
}
