//! Signatures: what is sent to the server for each scheme, and what PKCS#11 wants of the answer.

use cryptoki_sys::*;

use crate::der;
use crate::mechanisms::{scheme, Hash, Mechanism, Parameters, Scheme};
use crate::objects::key_types::Family;
use crate::objects::{Class, Object};
use crate::refusal::{require, Answer, Refusal};
use crate::slot::Slot;

const PKCS1_OVERHEAD: usize = 11;

/// A signature, or its verification, that was begun.
pub struct Signing {
    pub(super) scheme: Scheme,
    /// Of RSA-PSS: the hash of the digest, the mask and the length of the salt.
    pss: Option<Hash>,
    context: Option<Vec<u8>>,
}

impl Signing {
    /// Refuses a mechanism that does not sign or not with this key, and parameters of another one.
    /// A key that has two halves must be the one of this class.
    pub fn new(mechanism: &Mechanism, key: &Object, half: Class) -> Answer<Self> {
        let scheme = scheme(mechanism.kind).ok_or(Refusal(CKR_MECHANISM_INVALID))?;
        require_key(scheme, key)?;
        let pss = match scheme {
            Scheme::Pss(hashed_here) => Some(pss_hash(hashed_here, &mechanism.parameters)?),
            _ => None,
        };
        let context = match (scheme, &mechanism.parameters) {
            (Scheme::Eddsa | Scheme::MlDsa, Parameters::Context { prehash: false, context }) => {
                Some(context.clone()).filter(|context| !context.is_empty())
            }
            (Scheme::Pss(_), _) | (_, Parameters::None) => None,
            _ => return Err(Refusal(CKR_MECHANISM_PARAM_INVALID)),
        };
        let fits = scheme != Scheme::Eddsa || context.is_none();
        require(fits, Refusal(CKR_MECHANISM_PARAM_INVALID))?;
        let is_half = key.class == half || key.class == Class::Secret;
        require(is_half, Refusal(CKR_KEY_FUNCTION_NOT_PERMITTED))?;
        Ok(Self { scheme, pss, context })
    }

    /// Returns the hash of RSA-PSS.
    pub fn pss_hash(&self) -> Answer<Hash> {
        self.pss.ok_or(Refusal(CKR_MECHANISM_PARAM_INVALID))
    }

    /// Returns what PKCS#1 v1.5 signs: the data, or a digest with the name of its hash.
    pub fn digest_info(&self, data: &[u8]) -> Vec<u8> {
        self.hash().map_or_else(|| data.to_vec(), |hash| hash.digest_info(data))
    }

    /// Returns the hash that the message goes through here.
    pub fn hash(&self) -> Option<Hash> {
        match self.scheme {
            Scheme::Pkcs1(hash) | Scheme::Pss(hash) | Scheme::Ecdsa(hash) => hash,
            _ => None,
        }
    }

    /// Returns the length of the signature.
    pub fn size(&self, key: &Object) -> usize {
        match (self.scheme, key.family()) {
            (Scheme::Hmac(hash), _) => hash.size(),
            (Scheme::Cmac, _) => 16,
            (_, Family::Weierstrass { field, .. }) => 2 * field,
            (_, Family::Edwards { signature } | Family::MlDsa { signature, .. }) => signature,
            _ => key.modulus().map_or(0, <[u8]>::len),
        }
    }

    /// Signs what was gathered: the message, or its digest if there is a hash.
    pub fn sign(&self, slot: &Slot, key: &Object, data: &[u8]) -> Answer<Vec<u8>> {
        let (mode, message) = self.request(key, data)?;
        let context = self.context.as_deref();
        let signature = slot.user()?.sign(key.id(), &mode, &message, context)?;
        match key.family() {
            Family::Weierstrass { field, .. } => {
                der::raw_signature(&signature, field).ok_or(Refusal(CKR_DEVICE_ERROR))
            }
            _ if signature.len() != self.size(key) => Err(Refusal(CKR_DEVICE_ERROR)),
            _ => Ok(signature),
        }
    }

    /// Returns the API's mode and message.
    fn request(&self, key: &Object, data: &[u8]) -> Answer<(String, Vec<u8>)> {
        Ok(match self.scheme {
            Scheme::Pkcs1(_) => {
                let message = self.digest_info(data);
                require(
                    message.len() + PKCS1_OVERHEAD <= self.size(key),
                    Refusal(CKR_DATA_LEN_RANGE),
                )?;
                ("PKCS1".into(), message)
            }
            Scheme::Pss(_) => {
                let hash = self.pss_hash()?;
                require(data.len() == hash.size(), Refusal(CKR_DATA_LEN_RANGE))?;
                (format!("PSS_{}", hash.name()), data.to_vec())
            }
            Scheme::Ecdsa(_) => ("ECDSA".into(), fitted_digest(key, data)?),
            Scheme::Eddsa => ("EdDSA".into(), data.to_vec()),
            Scheme::MlDsa => ("ML_DSA".into(), data.to_vec()),
            Scheme::Cmac => ("AES_CMAC".into(), data.to_vec()),
            Scheme::Hmac(hash) => (format!("HMAC_{}", hash.name()), data.to_vec()),
        })
    }
}

/// Returns a digest in the length that the server wants of this key, for the same signature.
///
/// ECDSA takes the leftmost bits of a digest that is longer than the order of the curve, and a
/// shorter one as a number (FIPS 186-5, 6.4.1): so one is cut off, and the other gets zeros in front.
pub fn fitted_digest(key: &Object, digest: &[u8]) -> Answer<Vec<u8>> {
    let Family::Weierstrass { digest: wanted, field } = key.family() else {
        return Err(Refusal(CKR_KEY_TYPE_INCONSISTENT));
    };
    if digest.is_empty() || (wanted < field && digest.len() > wanted) {
        // P-521: the server takes fewer bytes than the curve could.
        return Err(Refusal(CKR_DATA_LEN_RANGE));
    }
    let kept = &digest[..digest.len().min(wanted)];
    let zeros = vec![0; wanted - kept.len()];
    Ok([&zeros, kept].concat())
}

fn require_key(scheme: Scheme, key: &Object) -> Answer<()> {
    let fits = match scheme {
        Scheme::Pkcs1(_) | Scheme::Pss(_) => key.family() == Family::Rsa,
        Scheme::Ecdsa(_) => matches!(key.family(), Family::Weierstrass { .. }),
        Scheme::Eddsa => matches!(key.family(), Family::Edwards { .. }),
        Scheme::MlDsa => matches!(key.family(), Family::MlDsa { .. }),
        Scheme::Cmac => key.key_type() == CKK_AES,
        Scheme::Hmac(_) => key.family() == Family::Secret,
    };
    require(fits, Refusal(CKR_KEY_TYPE_INCONSISTENT))
}

/// Returns the one hash of the digest, the mask and the salt's length: the server has no other PSS.
fn pss_hash(hashed_here: Option<Hash>, parameters: &Parameters) -> Answer<Hash> {
    let Parameters::Pss { hash, mgf, salt } = parameters else {
        return Err(Refusal(CKR_MECHANISM_PARAM_INVALID));
    };
    Hash::of_mechanism(*hash)
        .filter(|hash| hashed_here.is_none_or(|other| other == *hash))
        .filter(|hash| hash.mgf() == *mgf && usize::try_from(*salt) == Ok(hash.size()))
        .ok_or(Refusal(CKR_MECHANISM_PARAM_INVALID))
}
