//! Keys in use: sign, decrypt, encrypt, derive.

use cryptoki_sys::*;
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{decode, done, encode, Api, JSON};
use crate::http::HttpAnswer;
use crate::refusal::{require, Answer, Refusal};

/// What decrypts: a mode of the API, and what it needs beside the ciphertext.
#[derive(Clone, Debug, Default)]
pub struct Decryption {
    pub mode: String,
    pub iv: Option<Vec<u8>>,
    pub tag: Option<Vec<u8>>,
    pub aad: Option<Vec<u8>>,
}

/// What encrypts: a mode of the API, and what it needs beside the plaintext.
pub struct Encryption<'a> {
    pub mode: &'a str,
    /// The initialisation vector, where it is not made by the server.
    pub iv: Option<&'a [u8]>,
    pub aad: Option<&'a [u8]>,
}

/// What was encrypted. Initialisation vector and tag are empty where the mode has none.
pub struct Encrypted {
    pub ciphertext: Vec<u8>,
    pub iv: Zeroizing<Vec<u8>>,
    pub tag: Zeroizing<Vec<u8>>,
}

/// A secret that two parties share.
#[derive(Deserialize)]
struct Shared {
    secret: Zeroizing<String>,
    /// For the other party; of ML-KEM alone.
    #[serde(default)]
    ciphertext: String,
}

#[derive(Deserialize)]
struct Signed<'a> {
    signature: &'a str,
}

impl Api<'_> {
    /// Signs `message`, a digest or the whole, as the mode wants it.
    pub fn sign(
        &self,
        id: &str,
        mode: &str,
        message: &[u8],
        context: Option<&[u8]>,
    ) -> Answer<Vec<u8>> {
        let message = encode(message);
        let mut body = Zeroizing::new(format!(r#"{{"mode":"{mode}","message":"{}""#, *message));
        if let Some(context) = context {
            body.extend([r#","context":""#, &encode(context), "\""]);
        }
        body.push('}');
        let path = format!("/keys/{id}/sign");
        let answer = self.send("POST", &path, Some((JSON, body.as_bytes())))?;
        let signed: Signed = used(&answer)?;
        decode(signed.signature).map(|signature| signature.to_vec())
    }

    /// Decrypts with a private or secret key.
    pub fn decrypt(
        &self,
        id: &str,
        with: &Decryption,
        encrypted: &[u8],
    ) -> Answer<Zeroizing<Vec<u8>>> {
        #[derive(Deserialize)]
        struct Decrypted {
            decrypted: Zeroizing<String>,
        }
        let mut body = body_of(&with.mode, "encrypted", encrypted);
        for (name, value) in [("iv", &with.iv), ("tag", &with.tag), ("aad", &with.aad)] {
            if let Some(value) = value {
                body.insert(name.into(), encode(value).as_str().into());
            }
        }
        let answer = self.post(&format!("/keys/{id}/decrypt"), &body)?;
        require(answer.status != 400, Refusal(CKR_ENCRYPTED_DATA_INVALID))?;
        let decrypted: Decrypted = used(&answer)?;
        decode(&decrypted.decrypted)
    }

    /// Encrypts with a secret key.
    pub fn encrypt(&self, id: &str, with: &Encryption, message: &[u8]) -> Answer<Encrypted> {
        #[derive(Deserialize)]
        struct Given {
            encrypted: String,
            #[serde(default)]
            iv: String,
            #[serde(default)]
            tag: String,
        }
        let mut body = body_of(with.mode, "message", message);
        for (name, value) in [("iv", with.iv), ("aad", with.aad)] {
            if let Some(value) = value {
                body.insert(name.into(), encode(value).as_str().into());
            }
        }
        let given: Given = used(&self.post(&format!("/keys/{id}/encrypt"), &body)?)?;
        let ciphertext = decode(&given.encrypted)?.to_vec();
        Ok(Encrypted { ciphertext, iv: decode(&given.iv)?, tag: decode(&given.tag)? })
    }

    /// Returns the secret of a private key and the other party's public key.
    pub fn derive(&self, id: &str, public_key: &[u8]) -> Answer<Zeroizing<Vec<u8>>> {
        let body = body_of("ECDH", "publicKey", public_key);
        let shared: Shared = used(&self.post(&format!("/keys/{id}/derive"), &body)?)?;
        decode(&shared.secret)
    }

    /// Makes a secret for a key of ML-KEM; returns its ciphertext, and the secret.
    pub fn encapsulate(&self, id: &str) -> Answer<(Vec<u8>, Zeroizing<Vec<u8>>)> {
        let shared: Shared = used(&self.post(&format!("/keys/{id}/encapsulate"), &Map::new())?)?;
        Ok((decode(&shared.ciphertext)?.to_vec(), decode(&shared.secret)?))
    }

    /// Returns the secret of a ciphertext of ML-KEM.
    pub fn decapsulate(&self, id: &str, ciphertext: &[u8]) -> Answer<Zeroizing<Vec<u8>>> {
        let ciphertext = encode(ciphertext).as_str().into();
        let body = Map::from_iter([("ciphertext".to_owned(), ciphertext)]);
        let shared: Shared = used(&self.post(&format!("/keys/{id}/decapsulate"), &body)?)?;
        decode(&shared.secret)
    }

    fn post(&self, path: &str, body: &Map<String, Value>) -> Answer<HttpAnswer> {
        let bytes = serde_json::to_vec(body).map_err(|_| Refusal(CKR_DEVICE_ERROR))?;
        let bytes = Zeroizing::new(bytes);
        self.send("POST", path, Some((JSON, &bytes)))
    }
}

/// Returns the contents of an answer to a use: there, 403 means that the key does not allow it.
fn used<'a, T: Deserialize<'a>>(answer: &'a HttpAnswer) -> Answer<T> {
    match done(answer) {
        Err(_) if answer.status == 403 => Err(Refusal(CKR_KEY_FUNCTION_NOT_PERMITTED)),
        Err(refusal) => Err(refusal),
        Ok(()) => serde_json::from_slice(&answer.body).map_err(|_| Refusal(CKR_DEVICE_ERROR)),
    }
}

fn body_of(mode: &str, field: &str, bytes: &[u8]) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("mode".into(), mode.into());
    body.insert(field.into(), encode(bytes).as_str().into());
    body
}
