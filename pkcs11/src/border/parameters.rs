//! Reads mechanisms with their parameters.

use std::ffi::c_void;

use cryptoki_sys::*;

use super::memory;
use crate::mechanisms::{scheme, Mechanism, Parameters, Scheme};
use crate::operations::messages::{Sealed, IV_BYTES, TAG_BYTES};
use crate::refusal::{require, Answer, Refusal};

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

/// Returns a copy of a mechanism, if there is one.
///
/// # Safety
/// As of `mechanism`.
pub unsafe fn mechanism_or_null(pointer: *const CK_MECHANISM) -> Answer<Option<Mechanism>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller of this function promises.
    unsafe { mechanism(pointer) }.map(Some)
}

unsafe fn parameters(given: &CK_MECHANISM) -> Answer<Parameters> {
    if given.pParameter.is_null() || given.ulParameterLen == 0 {
        return Ok(Parameters::None);
    }
    let (parameter, length) = (given.pParameter, given.ulParameterLen);
    // SAFETY: the caller promises the structure of this mechanism; its length is compared.
    unsafe {
        match given.mechanism {
            kind if matches!(scheme(kind), Some(Scheme::Pss(_))) => {
                let given: CK_RSA_PKCS_PSS_PARAMS = structure(parameter, length)?;
                Ok(Parameters::Pss { hash: given.hashAlg, mgf: given.mgf, salt: given.sLen })
            }
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
unsafe fn structure<T: Copy>(parameter: *const c_void, length: CK_ULONG) -> Answer<T> {
    require(length == size_of::<T>() as CK_ULONG, BAD)?;
    // SAFETY: the length is that of the structure, which the caller promises.
    unsafe { memory::read(parameter.cast()) }
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
    require(given.ulSharedDataLen == 0, BAD)?;
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

/// The parameters of a message of AES-GCM.
pub struct GcmMessage(CK_GCM_MESSAGE_PARAMS);

impl GcmMessage {
    /// Reads them; refuses other lengths than those of the only nonce and tag that the server has.
    ///
    /// # Safety
    /// `parameter` is NULL or points at as many bytes as `length` says, and these at a nonce and a
    /// tag, as long as this value lives.
    pub unsafe fn read(parameter: *const c_void, length: CK_ULONG) -> Answer<Self> {
        // SAFETY: as the caller of this function promises.
        let given: CK_GCM_MESSAGE_PARAMS = unsafe { structure(parameter, length) }?;
        let has_sizes =
            given.ulIvLen == IV_BYTES as CK_ULONG && given.ulTagBits == 8 * TAG_BYTES as CK_ULONG;
        require(has_sizes && !given.pIv.is_null() && !given.pTag.is_null(), BAD)?;
        Ok(Self(given))
    }

    /// Refuses a nonce that the caller makes, all or a part of it.
    pub fn require_nonce_of_server(&self) -> Answer<()> {
        let is_made = matches!(self.0.ivGenerator, CKG_GENERATE | CKG_GENERATE_RANDOM);
        if is_made && self.0.ulIvFixedBits == 0 {
            Ok(())
        } else {
            Err(BAD)
        }
    }

    /// Returns the caller's nonce and tag.
    pub fn nonce_and_tag(&self) -> ([u8; IV_BYTES], [u8; TAG_BYTES]) {
        // SAFETY: `read` refused NULL and other lengths.
        unsafe {
            (
                self.0.pIv.cast::<[u8; IV_BYTES]>().read(),
                self.0.pTag.cast::<[u8; TAG_BYTES]>().read(),
            )
        }
    }

    /// Writes the nonce and the tag of a message that was encrypted.
    pub fn fill(&self, sealed: &Sealed) {
        // SAFETY: `read` refused NULL and other lengths; the caller promises room for them.
        unsafe {
            self.0.pIv.cast::<[u8; IV_BYTES]>().write(sealed.iv);
            self.0.pTag.cast::<[u8; TAG_BYTES]>().write(sealed.tag);
        }
    }
}
