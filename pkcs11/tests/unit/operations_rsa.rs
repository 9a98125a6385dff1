//! Unit tests of `src/operations/rsa.rs`, which includes them.

use super::*;

#[test]
fn a_number_is_raised_to_the_exponent() {
    // 3233 = 61 * 53; 65^17 mod 3233 = 2790.
    let result = public_operation(&[0x0c, 0xa1], &[17], &[65]);
    assert_eq!(result, Ok(2790u16.to_be_bytes().to_vec()));
    assert!(public_operation(&[0x0c, 0xa1], &[17], &[0xff, 0xff]).is_err());
    assert!(public_operation(&[0x0c, 0xa0], &[17], &[65]).is_err());
    assert!(public_operation(&[0xff; 256], &[0xff; 32], &[65]).is_ok());
    assert!(public_operation(&[0xff; 256], &[0xff; 33], &[65]).is_err());
}

#[test]
fn padding_of_pkcs1_must_be_whole() {
    let encoded = [&[0, 1], &[0xff; 8][..], &[0], b"data"].concat();
    assert!(is_pkcs1(&encoded, b"data"));
    assert!(!is_pkcs1(&encoded, b"date"));
    assert!(!is_pkcs1(&encoded[1..], b"data"));
    assert!(!is_pkcs1(b"data", b"data"));
}

#[test]
fn padding_to_encrypt_has_no_zero_in_it() {
    let encoded = encode_pkcs1(256, b"secret").unwrap();
    assert_eq!((encoded.len(), &encoded[..2]), (256, &[0, 2][..]));
    assert!(encoded[2..249].iter().all(|octet| *octet != 0));
    assert!(encode_pkcs1(16, b"secret").is_err());
    assert!(encode_oaep(64, Hash::Sha256, b"secret").is_err());
}

#[test]
fn what_is_too_short_for_pss_is_none() {
    for length in 0..80 {
        assert!(!is_pss(&vec![0xbc; length], &[0x80; 64], Hash::Sha256, &[0; 32]));
    }
}
