//! Templates of a fuzzer's bytes.

use std::ptr::null_mut;

use arbitrary::{Arbitrary, Result, Unstructured};
use cryptoki_sys::*;

use crate::Bytes;

/// An attribute with its value.
#[derive(Debug)]
struct Attribute {
    kind: CK_ATTRIBUTE_TYPE,
    value: Option<Bytes>,
}

const KINDS: &[CK_ATTRIBUTE_TYPE] = &[
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_LABEL,
    CKA_VALUE,
    CKA_KEY_TYPE,
    CKA_SUBJECT,
    CKA_ID,
    CKA_SENSITIVE,
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_WRAP,
    CKA_UNWRAP,
    CKA_SIGN,
    CKA_VERIFY,
    CKA_DERIVE,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_PUBLIC_EXPONENT,
    CKA_PRIVATE_EXPONENT,
    CKA_PRIME_1,
    CKA_PRIME_2,
    CKA_PUBLIC_KEY_INFO,
    CKA_VALUE_LEN,
    CKA_EXTRACTABLE,
    CKA_MODIFIABLE,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_ALLOWED_MECHANISMS,
    CKA_PARAMETER_SET,
    CKA_SEED,
    CKA_CERTIFICATE_TYPE,
    CKA_UNIQUE_ID,
];
const NUMBERS: &[CK_ULONG] = &[
    CKO_DATA,
    CKO_CERTIFICATE,
    CKO_PUBLIC_KEY,
    CKO_PRIVATE_KEY,
    CKO_SECRET_KEY,
    CKK_GENERIC_SECRET,
    CKK_AES,
    CKK_EC_EDWARDS,
    CKK_EC_MONTGOMERY,
    CKK_ML_DSA,
    CKK_ML_KEM,
    256,
    2048,
    CK_ULONG::MAX,
];
const CURVES: &[&[u8]] = &[
    b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
    b"\x06\x05\x2b\x81\x04\x00\x0a",
    b"\x06\x05\x2b\x81\x04\x00\x22",
    b"\x06\x05\x2b\x81\x04\x00\x23",
    b"\x06\x03\x2b\x65\x70",
    b"\x06\x03\x2b\x65\x71",
    b"\x06\x03\x2b\x65\x6e",
];

impl<'a> Arbitrary<'a> for Attribute {
    fn arbitrary(from: &mut Unstructured<'a>) -> Result<Self> {
        let kind = if from.ratio(1, 32)? { from.arbitrary()? } else { *from.choose(KINDS)? };
        let value = match from.int_in_range(0..=9)? {
            0 => None,
            1..=3 => Some(Bytes(Box::new(from.choose(NUMBERS)?.to_ne_bytes()))),
            4 => Some(Bytes(Box::new([from.arbitrary()?]))),
            5 => Some(Bytes((*from.choose(CURVES)?).into())),
            _ => Some(from.arbitrary()?),
        };
        Ok(Self { kind, value })
    }
}

/// A template. Often it begins with what makes an object without a server.
#[derive(Debug)]
pub struct Template(Vec<Attribute>);

impl Template {
    /// Runs a call with the attributes.
    pub fn with<T>(&mut self, call: impl FnOnce(*mut CK_ATTRIBUTE, CK_ULONG) -> T) -> T {
        let mut given: Box<[_]> = self.0.iter_mut().map(Attribute::in_c).collect();
        call(given.as_mut_ptr(), given.len() as CK_ULONG)
    }
}

impl Attribute {
    fn in_c(&mut self) -> CK_ATTRIBUTE {
        let length = self.value.as_ref().map_or(0, Bytes::length);
        let value = self.value.as_mut().map_or(null_mut(), Bytes::pointer);
        CK_ATTRIBUTE { type_: self.kind, pValue: value.cast(), ulValueLen: length }
    }

    fn number(kind: CK_ATTRIBUTE_TYPE, value: CK_ULONG) -> Self {
        Self { kind, value: Some(Bytes(Box::new(value.to_ne_bytes()))) }
    }

    fn bytes(kind: CK_ATTRIBUTE_TYPE, value: Bytes) -> Self {
        Self { kind, value: Some(value) }
    }
}

/// Returns what an object of the process needs: a secret, or a public key.
fn object(from: &mut Unstructured<'_>) -> Result<Vec<Attribute>> {
    let (class, key, rest) = match from.int_in_range(0..=2)? {
        0 => (CKO_SECRET_KEY, CKK_GENERIC_SECRET, vec![(CKA_VALUE, from.arbitrary()?)]),
        1 => {
            let numbers =
                [(CKA_MODULUS, from.arbitrary()?), (CKA_PUBLIC_EXPONENT, from.arbitrary()?)];
            (CKO_PUBLIC_KEY, CKK_RSA, numbers.into())
        }
        _ => {
            let curve = Bytes((*from.choose(CURVES)?).into());
            let key = if curve.length() == 5 { CKK_EC_EDWARDS } else { CKK_EC };
            (CKO_PUBLIC_KEY, key, vec![(CKA_EC_PARAMS, curve), (CKA_EC_POINT, point(from)?)])
        }
    };
    let mut attributes =
        vec![Attribute::number(CKA_CLASS, class), Attribute::number(CKA_KEY_TYPE, key)];
    attributes.extend(rest.into_iter().map(|(kind, value)| Attribute::bytes(kind, value)));
    Ok(attributes)
}

/// Returns a point of a curve: P-256's generator, or any bytes in an OCTET STRING.
fn point(from: &mut Unstructured<'_>) -> Result<Bytes> {
    const GENERATOR: &[u8] = b"\x04\x41\x04\
        \x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\
        \x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
        \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\
        \x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";
    if from.arbitrary()? {
        return Ok(Bytes(GENERATOR.into()));
    }
    let length = from.int_in_range(0..=127)?;
    let mut point = vec![4, length];
    point.extend(from.bytes(length.into())?);
    Ok(Bytes(point.into()))
}

impl<'a> Arbitrary<'a> for Template {
    fn arbitrary(from: &mut Unstructured<'a>) -> Result<Self> {
        let mut attributes = if from.arbitrary()? { object(from)? } else { Vec::new() };
        for _ in 0..from.int_in_range(0..=6)? {
            attributes.push(from.arbitrary()?);
        }
        Ok(Self(attributes))
    }
}
