//! Unit tests of `src/objects/key_types.rs`, which includes them.

use super::*;

#[test]
fn a_curve_is_known_by_its_identifier_and_by_its_name() {
    assert_eq!(curve_of(b"\x06\x03\x2b\x65\x70").unwrap().name, "Curve25519");
    assert_eq!(curve_of(b"\x13\x0cedwards25519").unwrap().name, "Curve25519");
    assert!(curve_of(b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11").is_none());
    assert!(curve_of(b"").is_none());
}

#[test]
fn an_ed25519_key_is_encoded_as_rfc_8410_says() {
    let info = key_type("Curve25519").unwrap().public_key_info(&Public::Data(vec![1; 32]));
    let expected = [&b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"[..], &[1; 32]].concat();
    assert_eq!(info, Some(expected));
}
