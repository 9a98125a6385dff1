//! Keys as things to manage: list, show, generate, import, label, move, delete; their certificates.

use cryptoki_sys::*;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::key::KeyView;
use super::{done, encode, parse, Api, Key, GENERATE, JSON};
use crate::http::HttpAnswer;
use crate::objects::ids::to_hex;
use crate::objects::without_extensions;
use crate::refusal::{tell, Answer, Refusal};

const PAGE: usize = 1000;

/// A key that is to be made.
#[derive(Serialize)]
pub struct NewKey<'a> {
    /// The type, by the API's name.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The ID, which is chosen here so that a repeated request makes no second key.
    pub id: &'a str,
    /// Whether the ID was chosen by chance.
    #[serde(skip)]
    pub has_random_id: bool,
    pub mechanisms: Vec<&'a str>,
    /// In bits, for types whose keys differ in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// Not longer than 32 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<&'a str>,
}

/// A key that is brought in.
#[derive(Serialize)]
pub struct Import<'a> {
    /// The type, by the API's name.
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub mechanisms: Vec<&'a str>,
    /// Not longer than 32 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<&'a str>,
    pub private: &'a PrivateData,
}

/// The numbers of a private key, in base64.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateData {
    #[serde(skip_serializing_if = "Option::is_none")]
    prime_p: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prime_q: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_exponent: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Zeroizing<String>>,
}

impl PrivateData {
    /// The primes and the public exponent of an RSA key.
    pub fn rsa(p: &[u8], q: &[u8], e: &[u8]) -> Self {
        Self {
            prime_p: Some(encode(p)),
            prime_q: Some(encode(q)),
            public_exponent: Some(encode(e)),
            data: None,
        }
    }

    /// The scalar, seed or secret of any other key.
    pub fn data(data: &[u8]) -> Self {
        Self { data: Some(encode(data)), ..Self::default() }
    }
}

#[derive(Deserialize)]
struct Item {
    id: String,
}

/// What a list may begin with: IDs alone, as `NetHSM` lists them, or all that is public of each key.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Full(Box<KeyView>),
    Id(Item),
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
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let path = listing_path(prefix, &after);
            let answer = self.get(&path)?;
            // A server that does not know the parameters may refuse them.
            if answer.status == 400 && after.is_empty() {
                return self.keys_one_by_one(&self.listed("/keys")?, prefix);
            }
            let page: Vec<Listed> = parse(&answer)?;
            // A page may be short because its keys are long; the last one is empty.
            let Some(last) = page.last().map(listed_id) else { return Ok(found) };
            if matches!(page.first(), Some(Listed::Id(_))) {
                return self.keys_one_by_one(&page, prefix);
            }
            after = last;
            found.extend(page.into_iter().filter_map(|listed| match listed {
                Listed::Full(view) => view.key(),
                Listed::Id(_) => None,
            }));
        }
    }

    /// Returns the keys with this label. Servers without labels list all, which are then looked at.
    pub fn keys_with_label(&self, label: &str) -> Answer<Vec<Key>> {
        let ids = self.listed(&format!("/keys?label={}", percent(label)))?;
        self.keys_one_by_one(&ids, "")
    }

    /// Makes a key; returns what is public of it.
    pub fn generate(&self, wanted: &NewKey) -> Answer<Key> {
        let answer = with_less_each_time(&wanted.mechanisms, wanted.label, |mechanisms, label| {
            let body = json(&NewKey { mechanisms, label, ..*wanted })?;
            self.send("POST", GENERATE, Some((JSON, &body)))
        })?;
        // Only this request's first try can have made a key with an ID of chance.
        let is_there = answer.status == 409 && wanted.has_random_id;
        if !is_there {
            done(&answer)?;
        }
        self.made(wanted.id)
    }

    /// Brings a key in; returns what is public of it.
    pub fn import(&self, id: &str, key: &Import) -> Answer<Key> {
        let path = format!("/keys/{id}");
        let answer = with_less_each_time(&key.mechanisms, key.label, |mechanisms, label| {
            let body = json(&Import { mechanisms, label, ..*key })?;
            self.send("PUT", &path, Some((JSON, &body)))
        })?;
        done(&answer)?;
        self.made(id)
    }

    /// Deletes a key. One that is not there is no error: an earlier try may have deleted it.
    pub fn delete(&self, id: &str) -> Answer<()> {
        let answer = self.send("DELETE", &format!("/keys/{id}"), None)?;
        if answer.status == 404 {
            Ok(())
        } else {
            done(&answer)
        }
    }

    /// Labels a key.
    pub fn set_label(&self, id: &str, label: &str) -> Answer<()> {
        let body = serde_json::json!({ "label": label }).to_string();
        done(&self.send("PUT", &format!("/keys/{id}/label"), Some((JSON, body.as_bytes())))?)
    }

    /// Gives a key another ID.
    pub fn move_key(&self, id: &str, new_id: &str) -> Answer<()> {
        let body = serde_json::json!({ "newId": new_id }).to_string();
        done(&self.send("POST", &format!("/keys/{id}/move"), Some((JSON, body.as_bytes())))?)
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
        let answer = self.send("DELETE", &format!("/keys/{id}/cert"), None)?;
        if answer.status == 404 {
            Ok(())
        } else {
            done(&answer)
        }
    }

    fn made(&self, id: &str) -> Answer<Key> {
        self.key(id)?.ok_or(Refusal(CKR_KEY_HANDLE_INVALID))
    }

    fn listed(&self, path: &str) -> Answer<Vec<Listed>> {
        parse(&self.get(path)?)
    }

    fn keys_one_by_one(&self, listed: &[Listed], prefix: &str) -> Answer<Vec<Key>> {
        let mut found = Vec::new();
        for id in listed.iter().map(listed_id).filter(|id| id.starts_with(prefix)) {
            match self.key(&id) {
                Ok(key) => found.extend(key),
                // A key of another namespace, or one that only an Administrator may see.
                Err(refusal) if refusal == Refusal(CKR_DEVICE_ERROR) => return Err(refusal),
                Err(_) => tell(&format!("the key {id} cannot be seen")),
            }
        }
        Ok(found)
    }
}

/// Sends a new key. A server that refuses it gets it without the mechanisms that `NetHSM` has not, and
/// then without the label, which older versions have not.
fn with_less_each_time<'a>(
    mechanisms: &[&'a str],
    label: Option<&'a str>,
    send: impl Fn(Vec<&'a str>, Option<&'a str>) -> Answer<HttpAnswer>,
) -> Answer<HttpAnswer> {
    let known = without_extensions(mechanisms);
    let mut answer = send(mechanisms.to_vec(), label)?;
    if answer.status == 400 && known.len() < mechanisms.len() {
        answer = send(known.clone(), label)?;
    }
    if answer.status == 400 && label.is_some() {
        answer = send(known, None)?;
    }
    Ok(answer)
}

fn json(value: &impl Serialize) -> Answer<Zeroizing<Vec<u8>>> {
    serde_json::to_vec(value).map(Zeroizing::new).map_err(|_| Refusal(CKR_DEVICE_ERROR))
}

fn listed_id(listed: &Listed) -> String {
    match listed {
        Listed::Full(view) => view.id.clone(),
        Listed::Id(item) => item.id.clone(),
    }
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
            encoded.push('%');
            encoded.push_str(&to_hex(&[byte]).to_uppercase());
        }
    }
    encoded
}

#[cfg(test)]
#[path = "../../tests/unit/rest_keys.rs"]
mod tests;
