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

use crypt::{Decrypting, Encrypting};
use sign::Signing;
use verify::Verifying;

const MOST_GATHERED: usize = 64 * 1024 * 1024;

/// Something begun, which takes data and gives a result.
pub struct Operation {
    work: Work,
    gathered: Gathered,
    /// A result for which the caller had too little room.
    kept: Option<Zeroizing<Vec<u8>>>,
}

enum Work {
    Sign(Signing, Arc<Object>),
    Decrypt(Decrypting, Arc<Object>),
    Encrypt(Encrypting, Arc<Object>),
    Digest(Hash),
    Verify(Verifying, Arc<Object>),
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
    /// Begins to sign with a private or secret key.
    pub fn sign(mechanism: &Mechanism, key: Arc<Object>) -> Answer<Self> {
        let signing = Signing::new(mechanism, &key)?;
        require(
            matches!(key.class, Class::Private | Class::Secret),
            Refusal(CKR_KEY_FUNCTION_NOT_PERMITTED),
        )?;
        let gathered = Gathered::new(signing.hash());
        Ok(Self { work: Work::Sign(signing, key), gathered, kept: None })
    }

    /// Begins to verify with a public or secret key.
    pub fn verify(mechanism: &Mechanism, key: Arc<Object>) -> Answer<Self> {
        let verifying = Verifying::new(mechanism, &key)?;
        let gathered = Gathered::new(verifying.hash());
        Ok(Self { work: Work::Verify(verifying, key), gathered, kept: None })
    }

    /// Begins to decrypt with a private or secret key.
    pub fn decrypt(mechanism: &Mechanism, key: Arc<Object>) -> Answer<Self> {
        let decrypting = Decrypting::new(mechanism, &key)?;
        let work = Work::Decrypt(decrypting, key);
        Ok(Self { work, gathered: Gathered::new(None), kept: None })
    }

    /// Begins to encrypt with a public or secret key.
    pub fn encrypt(mechanism: &Mechanism, key: Arc<Object>) -> Answer<Self> {
        let encrypting = Encrypting::new(mechanism, &key)?;
        let work = Work::Encrypt(encrypting, key);
        Ok(Self { work, gathered: Gathered::new(None), kept: None })
    }

    /// Begins a digest.
    pub fn digest(mechanism: &Mechanism) -> Answer<Self> {
        let hash = Hash::of_mechanism(mechanism.kind).ok_or(Refusal(CKR_MECHANISM_INVALID))?;
        require(
            matches!(mechanism.parameters, Parameters::None),
            Refusal(CKR_MECHANISM_PARAM_INVALID),
        )?;
        let gathered = Gathered::new(Some(hash));
        Ok(Self { work: Work::Digest(hash), gathered, kept: None })
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
            (_, Work::Decrypt(_, key)) => Decrypting::longest(key, data),
            (_, Work::Encrypt(encrypting, key)) => encrypting.longest(key, data),
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
        let Work::Verify(verifying, key) = &self.work else {
            return Err(Refusal(CKR_OPERATION_NOT_INITIALIZED));
        };
        self.gathered.add(last)?;
        verifying.verify(slot, key, &self.gathered.finish(), signature)
    }

    /// Keeps a result until the caller has room for it.
    pub fn keep(&mut self, result: Zeroizing<Vec<u8>>) {
        self.kept = Some(result);
    }
}
