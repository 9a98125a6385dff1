//! Reads mechanisms with their parameters.

use std::ffi::c_void;

use cryptoki_sys::*;

use super::memory;
use crate::mechanisms::{Mechanism, Parameters};
use crate::refusal::{Answer, Refusal};

const BAD: Refusal = Refusal(CKR_MECHANISM_PARAM_INVALID);

/// Returns a copy of a mechanism.
///
/// # Safety
/// `pointer` is NULL or points at a mechanism whose parameter is what the standard says, in the
/// length that it gives.
pub unsafe fn mechanism(pointer: *const CK_MECHANISM) -> Answer<Mechanism> {
    // SAFETY: the caller promises a mechanism.
    let given = unsafe { memory::read(pointer) }?;
    // SAFETY: the caller promises its parameter.
    let parameters = unsafe { parameters(&given) }?;
    Ok(Mechanism { kind: given.mechanism, parameters })
}

unsafe fn parameters(given: &CK_MECHANISM) -> Answer<Parameters> {
    if given.pParameter.is_null() || given.ulParameterLen == 0 {
        return Ok(Parameters::None);
    }
    let (parameter, length) = (given.pParameter, given.ulParameterLen);
    // SAFETY: the caller promises the structure of this mechanism; its length is compared.
    unsafe {
        match given.mechanism {
            CKM_RSA_PKCS_PSS
            | CKM_SHA1_RSA_PKCS_PSS
            | CKM_SHA224_RSA_PKCS_PSS
            | CKM_SHA256_RSA_PKCS_PSS
            | CKM_SHA384_RSA_PKCS_PSS
            | CKM_SHA512_RSA_PKCS_PSS => pss(structure(parameter, length)?),
            CKM_RSA_PKCS_OAEP => oaep(structure(parameter, length)?),
            CKM_AES_GCM => gcm(structure(parameter, length)?),
            CKM_ECDH1_DERIVE => ecdh(structure(parameter, length)?),
            CKM_EDDSA => eddsa(structure(parameter, length)?),
            CKM_ML_DSA => ml_dsa(structure(parameter, length)?),
            CKM_AES_CBC | CKM_AES_CBC_PAD | CKM_AES_KEY_WRAP | CKM_AES_KEY_WRAP_KWP => {
                let iv = memory::bytes(parameter.cast(), length)?;
                Ok(Parameters::Iv(iv.to_vec()))
            }
            // Some callers give a parameter to mechanisms that have none.
            _ => Ok(Parameters::None),
        }
    }
}

/// Returns the structure that a parameter is.
///
/// # Safety
/// `parameter` is NULL or points at as many bytes as `length` says.
pub unsafe fn structure<T: Copy>(parameter: *const c_void, length: CK_ULONG) -> Answer<T> {
    if length != size_of::<T>() as CK_ULONG {
        return Err(BAD);
    }
    // SAFETY: the length is that of the structure, which the caller promises.
    unsafe { memory::read(parameter.cast()) }
}

#[expect(clippy::unnecessary_wraps, reason = "like the functions beside it")]
fn pss(given: CK_RSA_PKCS_PSS_PARAMS) -> Answer<Parameters> {
    Ok(Parameters::Pss { hash: given.hashAlg, mgf: given.mgf, salt: given.sLen })
}

unsafe fn oaep(given: CK_RSA_PKCS_OAEP_PARAMS) -> Answer<Parameters> {
    // SAFETY: the caller promises a label of this length.
    let label = unsafe { memory::bytes(given.pSourceData.cast(), given.ulSourceDataLen) }?;
    Ok(Parameters::Oaep { hash: given.hashAlg, mgf: given.mgf, label: label.to_vec() })
}

unsafe fn gcm(given: CK_GCM_PARAMS) -> Answer<Parameters> {
    // SAFETY: the caller promises both in these lengths.
    let (iv, aad) = unsafe {
        (memory::bytes(given.pIv, given.ulIvLen)?, memory::bytes(given.pAAD, given.ulAADLen)?)
    };
    Ok(Parameters::Gcm { iv: iv.to_vec(), aad: aad.to_vec(), tag_bits: given.ulTagBits })
}

unsafe fn ecdh(given: CK_ECDH1_DERIVE_PARAMS) -> Answer<Parameters> {
    // SAFETY: the caller promises a public key of this length.
    let public_key = unsafe { memory::bytes(given.pPublicData, given.ulPublicDataLen) }?;
    if given.ulSharedDataLen != 0 {
        return Err(BAD);
    }
    Ok(Parameters::Ecdh { kdf: given.kdf, public_key: public_key.to_vec() })
}

unsafe fn eddsa(given: CK_EDDSA_PARAMS) -> Answer<Parameters> {
    // SAFETY: the caller promises a context of this length.
    let context = unsafe { memory::bytes(given.pContextData, given.ulContextDataLen) }?;
    Ok(Parameters::Context { prehash: given.phFlag != CK_FALSE, context: context.to_vec() })
}

unsafe fn ml_dsa(given: CK_SIGN_ADDITIONAL_CONTEXT) -> Answer<Parameters> {
    // SAFETY: the caller promises a context of this length.
    let context = unsafe { memory::bytes(given.pContext, given.ulContextLen) }?;
    Ok(Parameters::Context { prehash: false, context: context.to_vec() })
}
