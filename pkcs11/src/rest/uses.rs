//! Keys in use: sign, decrypt, encrypt, derive.

use cryptoki_sys::{CKR_DEVICE_ERROR, CKR_ENCRYPTED_DATA_INVALID, CKR_KEY_FUNCTION_NOT_PERMITTED};
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{decode, done, encode, Api, JSON};
use crate::http::HttpAnswer;
use crate::refusal::{Answer, Refusal};

/// What decrypts: a mode of the API, and what it needs beside the ciphertext.
#[derive(Clone, Debug, Default)]
pub struct Decryption {
    /// The name of the mode.
    pub mode: String,
    /// The initialisation vector.
    pub iv: Option<Vec<u8>>,
    /// The authentication tag of AES-GCM.
    pub tag: Option<Vec<u8>>,
    /// The additional data of AES-GCM.
    pub aad: Option<Vec<u8>>,
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
        if answer.status == 400 {
            return Err(Refusal(CKR_ENCRYPTED_DATA_INVALID));
        }
        let decrypted: Decrypted = used(&answer)?;
        decode(&decrypted.decrypted)
    }

    /// Encrypts with a secret key.
    pub fn encrypt(
        &self,
        id: &str,
        mode: &str,
        iv: Option<&[u8]>,
        message: &[u8],
    ) -> Answer<Vec<u8>> {
        #[derive(Deserialize)]
        struct Encrypted {
            encrypted: String,
        }
        let mut body = body_of(mode, "message", message);
        if let Some(iv) = iv {
            body.insert("iv".into(), encode(iv).as_str().into());
        }
        let encrypted: Encrypted = used(&self.post(&format!("/keys/{id}/encrypt"), &body)?)?;
        decode(&encrypted.encrypted).map(|bytes| bytes.to_vec())
    }

    /// Returns the secret of a private key and the other party's public key.
    pub fn derive(&self, id: &str, public_key: &[u8]) -> Answer<Zeroizing<Vec<u8>>> {
        #[derive(Deserialize)]
        struct Derived {
            secret: Zeroizing<String>,
        }
        let body = body_of("ECDH", "publicKey", public_key);
        let derived: Derived = used(&self.post(&format!("/keys/{id}/derive"), &body)?)?;
        decode(&derived.secret)
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
