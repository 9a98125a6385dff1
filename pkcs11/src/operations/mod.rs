//! What a session has begun: to sign, verify, encrypt, decrypt or digest.

pub mod crypt;
pub mod messages;
mod rsa;
mod sign;
mod verify;

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use crate::mechanisms::{Hash, Hasher, Mechanism, Parameters};
use crate::objects::{Class, Object};
use crate::refusal::{require, Answer, Refusal};
use crate::slot::Slot;

use crypt::Crypting;
use sign::Signing;

const MOST_GATHERED: usize = 64 * 1024 * 1024;

/// What operations are for. A session has one of each at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    Sign,
    Verify,
    Encrypt,
    Decrypt,
    Digest,
}

/// Something begun, which takes data and gives a result.
pub struct Operation {
    work: Work,
    gathered: Gathered,
    /// A result for which the caller had too little room.
    kept: Option<Zeroizing<Vec<u8>>>,
}

enum Work {
    Sign(Signing, Arc<Object>),
    Verify(Signing, Arc<Object>),
    Decrypt(Crypting, Arc<Object>),
    Encrypt(Crypting, Arc<Object>),
    Digest(Hash),
}

/// The data so far: as it is, or its digest.
enum Gathered {
    Bytes(Zeroizing<Vec<u8>>),
    Hash(Hasher),
}

impl Gathered {
    fn new(hash: Option<Hash>) -> Self {
        hash.map_or_else(|| Self::Bytes(Zeroizing::default()), |hash| Self::Hash(hash.begin()))
    }

    fn add(&mut self, data: &[u8]) -> Answer<()> {
        match self {
            Self::Hash(hasher) => hasher.update(data),
            Self::Bytes(bytes) if bytes.len().saturating_add(data.len()) > MOST_GATHERED => {
                return Err(Refusal(CKR_DATA_LEN_RANGE));
            }
            Self::Bytes(bytes) => bytes.extend(data),
        }
        Ok(())
    }

    fn finish(&mut self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Hash(hasher) => Zeroizing::new(hasher.finalize_reset().into_vec()),
            Self::Bytes(bytes) => std::mem::take(bytes),
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Hash(_) => 0,
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

impl Operation {
    /// Begins what needs a key. Refuses a mechanism that is not for it or not with this key.
    pub fn new(purpose: Purpose, mechanism: &Mechanism, key: Arc<Object>) -> Answer<Self> {
        let work = match purpose {
            Purpose::Sign => Work::Sign(Signing::new(mechanism, &key, Class::Private)?, key),
            Purpose::Verify => Work::Verify(Signing::new(mechanism, &key, Class::Public)?, key),
            Purpose::Decrypt => Work::Decrypt(Crypting::to_decrypt(mechanism, &key)?, key),
            Purpose::Encrypt => Work::Encrypt(Crypting::to_encrypt(mechanism, &key)?, key),
            Purpose::Digest => return Err(Refusal(CKR_FUNCTION_FAILED)),
        };
        let hash = match &work {
            Work::Sign(signing, _) | Work::Verify(signing, _) => signing.hash(),
            _ => None,
        };
        Ok(Self { work, gathered: Gathered::new(hash), kept: None })
    }

    /// Begins a digest.
    pub fn digest(mechanism: &Mechanism) -> Answer<Self> {
        let hash = Hash::of_mechanism(mechanism.kind).ok_or(Refusal(CKR_MECHANISM_INVALID))?;
        let has_none = matches!(mechanism.parameters, Parameters::None);
        require(has_none, Refusal(CKR_MECHANISM_PARAM_INVALID))?;
        Ok(Self { work: Work::Digest(hash), gathered: Gathered::new(Some(hash)), kept: None })
    }

    /// Takes a part of the data.
    pub fn update(&mut self, part: &[u8]) -> Answer<()> {
        self.gathered.add(part)
    }

    /// Returns how long the result is at most, if `more` bytes of data come.
    pub fn longest(&self, more: usize) -> usize {
        let data = self.gathered.length() + more;
        match (&self.kept, &self.work) {
            (Some(kept), _) => kept.len(),
            (_, Work::Sign(signing, key)) => signing.size(key),
            (_, Work::Decrypt(_, key)) => key.modulus().map_or(data, <[u8]>::len),
            (_, Work::Encrypt(encrypting, key)) => encrypting.ciphertext_length(key, data),
            (_, Work::Digest(hash)) => hash.size(),
            (_, Work::Verify(..)) => 0,
        }
    }

    /// Says whether the result is exactly as long as `longest` says.
    pub fn has_fixed_size(&self) -> bool {
        !matches!(self.work, Work::Decrypt(..))
    }

    /// Returns the result of all data and `last`.
    pub fn finish(&mut self, slot: &Slot, last: &[u8]) -> Answer<Zeroizing<Vec<u8>>> {
        if let Some(kept) = self.kept.take() {
            return Ok(kept);
        }
        self.gathered.add(last)?;
        let data = self.gathered.finish();
        match &self.work {
            Work::Sign(signing, key) => signing.sign(slot, key, &data).map(Zeroizing::new),
            Work::Decrypt(decrypting, key) => decrypting.decrypt(slot, key, &data),
            Work::Encrypt(encrypting, key) => {
                encrypting.encrypt(slot, key, &data).map(Zeroizing::new)
            }
            Work::Digest(_) => Ok(data),
            Work::Verify(..) => Err(Refusal(CKR_OPERATION_NOT_INITIALIZED)),
        }
    }

    /// Refuses a signature that is not one of all data and `last`.
    pub fn check(&mut self, slot: &Slot, last: &[u8], signature: &[u8]) -> Answer<()> {
        let Work::Verify(signing, key) = &self.work else {
            return Err(Refusal(CKR_OPERATION_NOT_INITIALIZED));
        };
        self.gathered.add(last)?;
        signing.verify(slot, key, &self.gathered.finish(), signature)
    }

    /// Keeps a result until the caller has room for it.
    pub fn keep(&mut self, result: Zeroizing<Vec<u8>>) {
        self.kept = Some(result);
    }
}
