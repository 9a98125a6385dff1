//! RSA with public keys (RFC 8017): what needs no server.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use cryptoki_sys::*;
use rustls::crypto::ring;
use zeroize::Zeroizing;

use crate::der::{padded, without_zeros};
use crate::mechanisms::Hash;
use crate::refusal::{require, Answer, Refusal};

const PKCS1_OVERHEAD: usize = 11;
const LONGEST_MODULUS: usize = 2048;
/// As FIPS 186-5 (A.1.1) has it: a longer one would keep a program busy for seconds.
const LONGEST_EXPONENT: usize = 32;

/// Returns `number` to the power of the public exponent, as long as the modulus.
pub fn public_operation(modulus: &[u8], exponent: &[u8], number: &[u8]) -> Answer<Vec<u8>> {
    let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
    require(
        modulus.len() <= LONGEST_MODULUS && exponent.len() <= LONGEST_EXPONENT.min(modulus.len()),
        Refusal(CKR_KEY_SIZE_RANGE),
    )?;
    let bits = u32::try_from(8 * modulus.len().next_multiple_of(8));
    let bits = bits.map_err(|_| Refusal(CKR_KEY_SIZE_RANGE))?;
    let parse = |octets: &[u8]| {
        BoxedUint::from_be_slice(octets, bits).map_err(|_| Refusal(CKR_DATA_LEN_RANGE))
    };
    let (n, e, m) = (parse(modulus)?, parse(exponent)?, parse(without_zeros(number))?);
    require(m < n, Refusal(CKR_DATA_LEN_RANGE))?;
    let odd: Option<Odd<BoxedUint>> = Odd::new(n).into();
    let parameters = BoxedMontyParams::new(odd.ok_or(Refusal(CKR_KEY_SIZE_RANGE))?);
    let result = BoxedMontyForm::new(m, parameters).pow(&e).retrieve();
    padded(&result.to_be_bytes(), modulus.len()).ok_or(Refusal(CKR_FUNCTION_FAILED))
}

/// Says whether an encoded message is that of PKCS#1 v1.5 for these data (RFC 8017, 9.2).
pub fn is_pkcs1(encoded: &[u8], data: &[u8]) -> bool {
    let Some(fill) = encoded.len().checked_sub(data.len() + 3).filter(|fill| *fill >= 8) else {
        return false;
    };
    let expected = [&[0, 1], vec![0xff; fill].as_slice(), &[0], data].concat();
    encoded == expected
}

/// Says whether an encoded message is one of PSS for this digest, with a salt as long as the digest
/// (RFC 8017, 9.1.2). `modulus` gives the number of bits.
pub fn is_pss(encoded: &[u8], modulus: &[u8], hash: Hash, digest: &[u8]) -> bool {
    let zeros = without_zeros(modulus).first().map_or(0, |first| first.leading_zeros());
    // The encoded message has a bit less than the modulus: with 8n + 1 bits, a byte less.
    let (encoded, unused) = match (zeros, encoded) {
        (7, [0, rest @ ..]) => (rest, 0),
        (7, _) => return false,
        _ => (encoded, zeros + 1),
    };
    let Some(split) = encoded.len().checked_sub(hash.size() + 1) else { return false };
    let (masked, end) = encoded.split_at(split);
    let Some((tail, h)) = end.split_last() else { return false };
    if *tail != 0xbc || masked.first().is_none_or(|first| first.leading_zeros() < unused) {
        return false;
    }
    let mut block = xor(masked, &mask(hash, h, masked.len()));
    block[0] &= 0xff >> unused;
    let Some(fill) = block.len().checked_sub(hash.size() + 1) else { return false };
    if block[..fill].iter().any(|octet| *octet != 0) || block[fill] != 1 {
        return false;
    }
    let mut hasher = hash.begin();
    for part in [&[0; 8], digest, &block[fill + 1..]] {
        hasher.update(part);
    }
    *hasher.finalize() == *h
}

/// Returns the encoded message of PKCS#1 v1.5 to encrypt (RFC 8017, 7.2.1).
pub fn encode_pkcs1(size: usize, message: &[u8]) -> Answer<Zeroizing<Vec<u8>>> {
    let fill = size.checked_sub(message.len() + 3);
    let fill = fill.filter(|_| message.len() + PKCS1_OVERHEAD <= size);
    let mut padding = random(fill.ok_or(Refusal(CKR_DATA_LEN_RANGE))?)?;
    while let Some(zero) = padding.iter().position(|octet| *octet == 0) {
        padding[zero] = random(1)?[0];
    }
    Ok(Zeroizing::new([&[0, 2], padding.as_slice(), &[0], message].concat()))
}

/// Returns the encoded message of OAEP without a label (RFC 8017, 7.1.1).
pub fn encode_oaep(size: usize, hash: Hash, message: &[u8]) -> Answer<Zeroizing<Vec<u8>>> {
    let fill = size.checked_sub(message.len() + 2 * hash.size() + 2);
    let fill = vec![0; fill.ok_or(Refusal(CKR_DATA_LEN_RANGE))?];
    let label = hash.begin().finalize();
    let block = Zeroizing::new([&*label, fill.as_slice(), &[1], message].concat());
    let seed = random(hash.size())?;
    let masked_block = xor(&block, &mask(hash, &seed, block.len()));
    let masked_seed = xor(&seed, &mask(hash, &masked_block, seed.len()));
    Ok(Zeroizing::new([&[0], masked_seed.as_slice(), &masked_block].concat()))
}

/// Returns what MGF1 makes of a seed (RFC 8017, B.2.1).
fn mask(hash: Hash, seed: &[u8], length: usize) -> Vec<u8> {
    let blocks = (0u32..).map(|counter| {
        let mut hasher = hash.begin();
        hasher.update(seed);
        hasher.update(&counter.to_be_bytes());
        hasher.finalize().into_vec()
    });
    blocks.flatten().take(length).collect()
}

fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(left, right)| left ^ right).collect()
}

fn random(length: usize) -> Answer<Zeroizing<Vec<u8>>> {
    let mut octets = Zeroizing::new(vec![0; length]);
    let source = ring::default_provider().secure_random;
    source.fill(&mut octets).map_err(|_| Refusal(CKR_FUNCTION_FAILED))?;
    Ok(octets)
}

#[cfg(test)]
#[path = "../../tests/unit/operations_rsa.rs"]
mod tests;
