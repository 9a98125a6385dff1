//! Keys as things to manage: list, show, generate, import, label, move, delete; their certificates.

use std::collections::BTreeMap;

use cryptoki_sys::*;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::key::KeyView;
use super::{done, encode, parse, Api, Key, GENERATE, JSON};
use crate::http::HttpAnswer;
use crate::objects::{ids::is_name, without_extensions};
use crate::refusal::{require, tell, Answer, Refusal};

const PAGE: usize = 1000;
const MOST_KEYS: usize = 1_000_000;
const MOST_BYTES: usize = 1 << 30;
/// Each key in a list has three.
const MOST_BRACES: usize = 3 * MOST_KEYS;

/// A key that is to be generated or brought in.
#[derive(Default, Serialize)]
pub struct NewKey<'a> {
    /// The type, by the API's name.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The ID of a key to generate, which is chosen here: so a repeated request makes no second key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// Whether that ID was chosen by chance.
    #[serde(skip)]
    pub has_random_id: bool,
    pub mechanisms: Vec<&'a str>,
    /// In bits, for types whose keys differ in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// Not longer than 32 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<&'a str>,
    /// What is brought in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private: Option<&'a PrivateData>,
}

/// The numbers of a private key, in base64.
#[derive(Serialize)]
pub struct PrivateData(BTreeMap<&'static str, Zeroizing<String>>);

impl PrivateData {
    /// The primes and the public exponent of an RSA key.
    pub fn rsa(p: &[u8], q: &[u8], e: &[u8]) -> Self {
        let numbers = [("primeP", p), ("primeQ", q), ("publicExponent", e)];
        Self(numbers.map(|(name, number)| (name, encode(number))).into())
    }

    /// The scalar, seed or secret of any other key.
    pub fn data(data: &[u8]) -> Self {
        Self([("data", encode(data))].into())
    }
}

impl Api<'_> {
    /// Returns the key with this ID, if there is one of a type that is known here.
    pub fn key(&self, id: &str) -> Answer<Option<Key>> {
        let answer = self.get(&format!("/keys/{id}"))?;
        if answer.status == 404 {
            return Ok(None);
        }
        let mut view: KeyView = parse(&answer)?;
        id.clone_into(&mut view.id);
        Ok(view.key())
    }

    /// Returns all keys whose IDs begin with `prefix`, in pages, or one by one where there are none.
    pub fn keys(&self, prefix: &str) -> Answer<Vec<Key>> {
        let (mut found, mut seen, mut bytes) = (Vec::new(), 0, 0);
        let mut after = String::new();
        loop {
            let answer = self.get(&listing_path(prefix, &after))?;
            // A server that does not know the parameters may refuse them.
            if answer.status == 400 && after.is_empty() {
                return self.keys_one_by_one("/keys", prefix);
            }
            let page = listed(&answer)?;
            // A page may be short because its keys are long; the last one is empty.
            let Some(last) = page.last() else { return Ok(found) };
            if last.is_id() {
                return self.keys_of(page, prefix);
            }
            (seen, bytes) = (seen + page.len(), bytes + answer.body.len());
            let is_bounded = seen <= MOST_KEYS && bytes <= MOST_BYTES;
            require(last.id > after && is_bounded, Refusal(CKR_DEVICE_ERROR))?;
            after.clone_from(&last.id);
            found.extend(page.into_iter().filter_map(KeyView::key));
        }
    }

    /// Returns the keys with this label. Servers without labels list all, which are then looked at.
    pub fn keys_with_label(&self, label: &str) -> Answer<Vec<Key>> {
        self.keys_one_by_one(&format!("/keys?label={}", percent(label)), "")
    }

    /// Makes a key; returns what is public of it.
    pub fn generate(&self, wanted: &NewKey) -> Answer<Key> {
        let answer = self.with_less_each_time("POST", GENERATE, wanted)?;
        // Only this request's first try can have made a key with an ID of chance.
        if answer.status != 409 || !wanted.has_random_id {
            done(&answer)?;
        }
        self.made(wanted.id.unwrap_or_default())
    }

    /// Brings a key in; returns what is public of it.
    pub fn import(&self, id: &str, key: &NewKey) -> Answer<Key> {
        done(&self.with_less_each_time("PUT", &format!("/keys/{id}"), key)?)?;
        self.made(id)
    }

    /// Deletes a key.
    pub fn delete(&self, id: &str) -> Answer<()> {
        self.delete_at(&format!("/keys/{id}"))
    }

    /// Labels a key.
    pub fn set_label(&self, id: &str, label: &str) -> Answer<()> {
        self.change("PUT", &format!("/keys/{id}/label"), &json!({ "label": label }))
    }

    /// Gives a key another ID.
    pub fn move_key(&self, id: &str, new_id: &str) -> Answer<()> {
        self.change("POST", &format!("/keys/{id}/move"), &json!({ "newId": new_id }))
    }

    /// Returns the certificate of a key as it is stored, if there is one.
    pub fn certificate(&self, id: &str) -> Answer<Option<Vec<u8>>> {
        let answer = self.get(&format!("/keys/{id}/cert"))?;
        if matches!(answer.status, 204 | 404) {
            return Ok(None);
        }
        done(&answer)?;
        Ok(Some(answer.body.to_vec()))
    }

    /// Stores a certificate beside a key, in place of the one that is there.
    pub fn set_certificate(&self, id: &str, der: &[u8]) -> Answer<()> {
        let path = format!("/keys/{id}/cert");
        let body = Some(("application/octet-stream", der));
        let answer = self.send("PUT", &path, body)?;
        if answer.status != 409 {
            return done(&answer);
        }
        self.delete_certificate(id)?;
        done(&self.send("PUT", &path, body)?)
    }

    /// Deletes the certificate of a key.
    pub fn delete_certificate(&self, id: &str) -> Answer<()> {
        self.delete_at(&format!("/keys/{id}/cert"))
    }

    /// Deletes what is at a path. If nothing is there, an earlier try may have deleted it.
    fn delete_at(&self, path: &str) -> Answer<()> {
        let answer = self.send("DELETE", path, None)?;
        if answer.status == 404 {
            return Ok(());
        }
        done(&answer)
    }

    fn made(&self, id: &str) -> Answer<Key> {
        self.key(id)?.ok_or(Refusal(CKR_KEY_HANDLE_INVALID))
    }

    fn keys_one_by_one(&self, path: &str, prefix: &str) -> Answer<Vec<Key>> {
        self.keys_of(listed(&self.get(path)?)?, prefix)
    }

    fn keys_of(&self, listed: Vec<KeyView>, prefix: &str) -> Answer<Vec<Key>> {
        let mut found = Vec::new();
        let is_wanted = |id: &String| id.starts_with(prefix) && is_name(id.as_bytes());
        for id in listed.into_iter().map(|view| view.id).filter(is_wanted) {
            match self.key(&id) {
                Ok(key) => found.extend(key),
                // A key of another namespace, or one that only an Administrator may see.
                Err(refusal) if refusal == Refusal(CKR_DEVICE_ERROR) => return Err(refusal),
                Err(_) => tell(&format!("the key {id} cannot be seen")),
            }
        }
        Ok(found)
    }

    /// Sends a new key. A server that refuses it gets it without the mechanisms that `NetHSM` has
    /// not, and then without the label, which older versions have not.
    fn with_less_each_time(&self, method: &str, path: &str, key: &NewKey) -> Answer<HttpAnswer> {
        let send = |mechanisms, label| {
            let body = serde_json::to_vec(&NewKey { mechanisms, label, ..*key });
            let body = Zeroizing::new(body.map_err(|_| Refusal(CKR_DEVICE_ERROR))?);
            self.send(method, path, Some((JSON, &body)))
        };
        let known = without_extensions(&key.mechanisms);
        let mut answer = send(key.mechanisms.clone(), key.label)?;
        if answer.status == 400 && known.len() < key.mechanisms.len() {
            answer = send(known.clone(), key.label)?;
        }
        if answer.status == 400 && key.label.is_some() {
            answer = send(known, None)?;
        }
        Ok(answer)
    }
}

/// Returns what a list has. One that has more braces than the longest would take too much memory.
fn listed(answer: &HttpAnswer) -> Answer<Vec<KeyView<'_>>> {
    let between_braces = answer.body.split(|byte| *byte == b'{').count();
    require(between_braces <= MOST_BRACES, Refusal(CKR_DEVICE_ERROR))?;
    parse(answer)
}

fn listing_path(prefix: &str, after: &str) -> String {
    let mut path = format!("/keys?details=true&limit={PAGE}");
    for (name, value) in [("prefix", prefix), ("after", after)] {
        if !value.is_empty() {
            path.extend(["&", name, "=", &percent(value)]);
        }
    }
    path
}

/// Returns a text as a value in a query (RFC 3986, 2.1).
fn percent(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(["%", &base16ct::upper::encode_string(&[byte])]);
        }
    }
    encoded
}

#[cfg(test)]
#[path = "../../tests/unit/rest_keys.rs"]
mod tests;
