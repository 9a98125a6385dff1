//! Verification, in this process: a public key needs no server.

use cryptoki_sys::*;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use ring::signature::{UnparsedPublicKey, ED25519};

use super::rsa;
use super::sign::{fitted_digest, Signing};
use crate::mechanisms::Scheme;
use crate::objects::Object;
use crate::refusal::{require, Answer, Refusal};
use crate::rest::Public;
use crate::slot::Slot;

impl Signing {
    /// Refuses a signature that is not one of what was gathered.
    pub fn verify(&self, slot: &Slot, key: &Object, data: &[u8], signature: &[u8]) -> Answer<()> {
        require(signature.len() == self.size(key), Refusal(CKR_SIGNATURE_LEN_RANGE))?;
        let is_valid = match (self.scheme, &key.key.public) {
            (Scheme::Cmac | Scheme::Hmac(_), _) => is_same(&self.sign(slot, key, data)?, signature),
            (Scheme::Ecdsa(_), Public::Data(point)) => {
                ecdsa_holds(key.key.kind.name, point, &fitted_digest(key, data)?, signature)?
            }
            (Scheme::Eddsa, Public::Data(point)) if key.key.kind.name == "Curve25519" => {
                UnparsedPublicKey::new(&ED25519, point).verify(data, signature).is_ok()
            }
            (scheme, Public::Rsa(modulus, exponent)) => {
                let encoded = rsa::public_operation(modulus, exponent, signature)
                    .map_err(|_| Refusal(CKR_SIGNATURE_INVALID))?;
                match scheme {
                    Scheme::Pss(_) => {
                        let hash = self.pss_hash()?;
                        rsa::is_pss(&encoded, modulus, hash, data)
                    }
                    _ => rsa::is_pkcs1(&encoded, &self.digest_info(data)),
                }
            }
            _ => return Err(Refusal(CKR_FUNCTION_NOT_SUPPORTED)),
        };
        require(is_valid, Refusal(CKR_SIGNATURE_INVALID))
    }
}

/// Says whether a signature r‖s is one of this digest by this key.
fn ecdsa_holds(curve: &str, point: &[u8], digest: &[u8], signature: &[u8]) -> Answer<bool> {
    macro_rules! holds_on {
        ($curve:ident) => {{
            let key = $curve::ecdsa::VerifyingKey::from_sec1_bytes(point);
            let signature = $curve::ecdsa::Signature::from_slice(signature);
            match (key, signature) {
                (Ok(key), Ok(signature)) => {
                    // A signature is as good with -s; k256 accepts only the smaller one.
                    let signature = signature.normalize_s().unwrap_or(signature);
                    key.verify_prehash(digest, &signature).is_ok()
                }
                _ => false,
            }
        }};
    }
    Ok(match curve {
        "EC_P256" => holds_on!(p256),
        "EC_P384" => holds_on!(p384),
        "EC_P521" => holds_on!(p521),
        "EC_P256K1" => holds_on!(k256),
        _ => return Err(Refusal(CKR_FUNCTION_NOT_SUPPORTED)),
    })
}

/// Compares in a time that does not tell where two values of the same length differ.
fn is_same(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |sum, (left, right)| sum | (left ^ right));
    left.len() == right.len() && std::hint::black_box(difference) == 0
}
