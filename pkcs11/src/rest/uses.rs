//! Keys in use: sign, decrypt, encrypt, derive.

use cryptoki_sys::*;
use serde::de::DeserializeOwned;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{decode, encode, parse, Api, JSON};
use crate::refusal::{Answer, Refusal};

/// How to encrypt or decrypt: a mode of the API, and what it needs beside the text. What the server
/// makes, or the mode has not, is None.
#[derive(Clone, Copy, Default)]
pub struct Cipher<'a> {
    pub mode: &'a str,
    pub iv: Option<&'a [u8]>,
    pub tag: Option<&'a [u8]>,
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

impl Api<'_> {
    /// Signs `message`, a digest or the whole, as the mode wants it.
    pub fn sign(
        &self,
        id: &str,
        mode: &str,
        message: &[u8],
        context: Option<&[u8]>,
    ) -> Answer<Vec<u8>> {
        #[derive(Deserialize)]
        struct Signed {
            signature: String,
        }
        let body = body(mode, &[("message", Some(message)), ("context", context)]);
        let signed: Signed = self.use_key(id, "sign", &body)?;
        decode(&signed.signature).map(|signature| signature.to_vec())
    }

    /// Decrypts with a private or secret key.
    pub fn decrypt(&self, id: &str, with: &Cipher, encrypted: &[u8]) -> Answer<Zeroizing<Vec<u8>>> {
        #[derive(Deserialize)]
        struct Decrypted {
            decrypted: Zeroizing<String>,
        }
        let decrypted: Decrypted =
            self.use_key(id, "decrypt", &with.body("encrypted", encrypted))?;
        decode(&decrypted.decrypted)
    }

    /// Encrypts with a secret key.
    pub fn encrypt(&self, id: &str, with: &Cipher, message: &[u8]) -> Answer<Encrypted> {
        #[derive(Deserialize)]
        struct Given {
            encrypted: String,
            #[serde(default)]
            iv: String,
            #[serde(default)]
            tag: String,
        }
        let given: Given = self.use_key(id, "encrypt", &with.body("message", message))?;
        let ciphertext = decode(&given.encrypted)?.to_vec();
        Ok(Encrypted { ciphertext, iv: decode(&given.iv)?, tag: decode(&given.tag)? })
    }

    /// Returns the secret of a private key and the other party's public key.
    pub fn derive(&self, id: &str, public_key: &[u8]) -> Answer<Zeroizing<Vec<u8>>> {
        let body = body("ECDH", &[("publicKey", Some(public_key))]);
        let shared: Shared = self.use_key(id, "derive", &body)?;
        decode(&shared.secret)
    }

    /// Makes a secret for a key of ML-KEM; returns its ciphertext, and the secret.
    pub fn encapsulate(&self, id: &str) -> Answer<(Vec<u8>, Zeroizing<Vec<u8>>)> {
        let shared: Shared = self.use_key(id, "encapsulate", "{}")?;
        Ok((decode(&shared.ciphertext)?.to_vec(), decode(&shared.secret)?))
    }

    /// Returns the secret of a ciphertext of ML-KEM.
    pub fn decapsulate(&self, id: &str, ciphertext: &[u8]) -> Answer<Zeroizing<Vec<u8>>> {
        let body = format!(r#"{{"ciphertext":"{}"}}"#, *encode(ciphertext));
        let shared: Shared = self.use_key(id, "decapsulate", &body)?;
        decode(&shared.secret)
    }

    /// Uses a key. Here, 403 means that the key does not allow it.
    fn use_key<T: DeserializeOwned>(&self, id: &str, verb: &str, body: &str) -> Answer<T> {
        let path = format!("/keys/{id}/{verb}");
        let answer = self.send("POST", &path, Some((JSON, body.as_bytes())))?;
        if answer.status == 400 && verb == "decrypt" {
            return Err(Refusal(CKR_ENCRYPTED_DATA_INVALID));
        }
        parse(&answer).map_err(|refusal| match answer.status {
            403 => Refusal(CKR_KEY_FUNCTION_NOT_PERMITTED),
            _ => refusal,
        })
    }
}

impl Cipher<'_> {
    fn body(&self, name: &str, text: &[u8]) -> Zeroizing<String> {
        let fields = [(name, Some(text)), ("iv", self.iv), ("tag", self.tag), ("aad", self.aad)];
        body(self.mode, &fields)
    }
}

/// Returns the JSON of a use: a mode, and what is there of the fields. Nothing in it needs an escape.
fn body(mode: &str, fields: &[(&str, Option<&[u8]>)]) -> Zeroizing<String> {
    let mut body = Zeroizing::new(format!(r#"{{"mode":"{mode}""#));
    for (name, bytes) in fields {
        if let Some(bytes) = bytes {
            body.extend([",\"", name, "\":\"", &encode(bytes), "\""]);
        }
    }
    body.push('}');
    body
}
