//! Mechanisms with parameters of a fuzzer's bytes.

use std::ptr::null_mut;

use arbitrary::{Arbitrary, Result, Unstructured};
use cryptoki_sys::*;

use crate::Bytes;

const KINDS: &[CK_MECHANISM_TYPE] = &[
    CKM_RSA_PKCS_KEY_PAIR_GEN,
    CKM_RSA_PKCS,
    CKM_RSA_PKCS_OAEP,
    CKM_RSA_PKCS_PSS,
    CKM_SHA256_RSA_PKCS,
    CKM_SHA384_RSA_PKCS_PSS,
    CKM_EC_KEY_PAIR_GEN,
    CKM_ECDSA,
    CKM_ECDSA_SHA1,
    CKM_ECDSA_SHA512,
    CKM_ECDH1_DERIVE,
    CKM_EC_EDWARDS_KEY_PAIR_GEN,
    CKM_EDDSA,
    CKM_ML_DSA,
    CKM_ML_KEM,
    CKM_AES_KEY_GEN,
    CKM_GENERIC_SECRET_KEY_GEN,
    CKM_AES_CBC,
    CKM_AES_CBC_PAD,
    CKM_AES_CMAC,
    CKM_AES_GCM,
    CKM_AES_KEY_WRAP,
    CKM_AES_KEY_WRAP_KWP,
    CKM_SHA256_HMAC,
    CKM_SHA_1,
    CKM_SHA224,
    CKM_SHA256,
    CKM_SHA384,
    CKM_SHA512,
];
const NUMBERS: &[CK_ULONG] = &[
    CKM_SHA_1,
    CKM_SHA224,
    CKM_SHA256,
    CKM_SHA384,
    CKM_SHA512,
    CKG_MGF1_SHA1,
    CKG_MGF1_SHA256,
    CKG_MGF1_SHA384,
    CKZ_DATA_SPECIFIED,
    CKD_NULL,
    0,
    20,
    32,
    48,
    96,
    128,
    CK_ULONG::MAX,
];

/// A mechanism, and what its parameter is made of.
#[derive(Debug)]
pub struct Mechanism {
    kind: CK_MECHANISM_TYPE,
    is_cut: bool,
    numbers: [CK_ULONG; 3],
    bytes: [Bytes; 2],
}

impl<'a> Arbitrary<'a> for Mechanism {
    fn arbitrary(from: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            kind: if from.ratio(1, 32)? { from.arbitrary()? } else { *from.choose(KINDS)? },
            is_cut: from.ratio(1, 16)?,
            numbers: [*from.choose(NUMBERS)?, *from.choose(NUMBERS)?, *from.choose(NUMBERS)?],
            bytes: from.arbitrary()?,
        })
    }
}

impl Mechanism {
    /// Runs a call with the mechanism, or with NULL if there is none.
    pub fn with<T>(this: &mut Option<Self>, call: impl FnOnce(*mut CK_MECHANISM) -> T) -> T {
        match this {
            Some(this) => this.with_parameter(call),
            None => call(null_mut()),
        }
    }

    /// Runs a call with the structure that the standard has for the mechanism, or with any bytes.
    fn with_parameter<T>(&mut self, call: impl FnOnce(*mut CK_MECHANISM) -> T) -> T {
        let [a, b, c] = self.numbers;
        let [first, second] = &mut self.bytes;
        let (one, one_length) = (first.pointer(), first.length());
        let (two, two_length) = (second.pointer(), second.length());
        match self.kind {
            CKM_RSA_PKCS_PSS | CKM_SHA384_RSA_PKCS_PSS => {
                self.with_structure(call, CK_RSA_PKCS_PSS_PARAMS { hashAlg: a, mgf: b, sLen: c })
            }
            CKM_RSA_PKCS_OAEP => {
                let (label, length) = (one.cast(), one_length);
                let oaep = CK_RSA_PKCS_OAEP_PARAMS {
                    hashAlg: a,
                    mgf: b,
                    source: c,
                    pSourceData: label,
                    ulSourceDataLen: length,
                };
                self.with_structure(call, oaep)
            }
            CKM_AES_GCM => {
                let gcm = CK_GCM_PARAMS {
                    pIv: one,
                    ulIvLen: one_length,
                    ulIvBits: a,
                    pAAD: two,
                    ulAADLen: two_length,
                    ulTagBits: b,
                };
                self.with_structure(call, gcm)
            }
            CKM_ECDH1_DERIVE => {
                let ecdh = CK_ECDH1_DERIVE_PARAMS {
                    kdf: a,
                    ulSharedDataLen: one_length,
                    pSharedData: one,
                    ulPublicDataLen: two_length,
                    pPublicData: two,
                };
                self.with_structure(call, ecdh)
            }
            CKM_EDDSA => {
                let flag = CK_BBOOL::from(a == 0);
                let eddsa = CK_EDDSA_PARAMS {
                    phFlag: flag,
                    ulContextDataLen: one_length,
                    pContextData: one,
                };
                self.with_structure(call, eddsa)
            }
            CKM_ML_DSA => {
                let context = CK_SIGN_ADDITIONAL_CONTEXT {
                    hedgeVariant: a,
                    pContext: one,
                    ulContextLen: one_length,
                };
                self.with_structure(call, context)
            }
            _ => call(&mut CK_MECHANISM {
                mechanism: self.kind,
                pParameter: one.cast(),
                ulParameterLen: one_length,
            }),
        }
    }

    /// Runs a call with a structure in memory of its own. A length that is cut is to be refused.
    fn with_structure<T, S>(&self, call: impl FnOnce(*mut CK_MECHANISM) -> T, parameter: S) -> T {
        let mut parameter = Box::new(parameter);
        let length = size_of::<S>() - usize::from(self.is_cut);
        call(&mut CK_MECHANISM {
            mechanism: self.kind,
            pParameter: (&raw mut *parameter).cast(),
            ulParameterLen: length as CK_ULONG,
        })
    }
}
