//! Unit tests of `src/der.rs`, which includes them.

use super::*;

#[test]
fn numbers_with_a_high_bit_stay_positive() {
    assert_eq!(unsigned(&[0, 0x80]), [2, 2, 0, 0x80]);
    assert_eq!(unsigned(&[0, 0x7f]), [2, 1, 0x7f]);
    assert_eq!(unsigned(&[]), [2, 1, 0]);
}

#[test]
fn long_lengths_are_read_as_they_are_written() {
    for size in [0, 127, 128, 255, 256, 70_000] {
        let contents = vec![7; size];
        let encoded = element(tag::OCTET_STRING, &[&contents]);
        assert_eq!(take(tag::OCTET_STRING, &encoded), Some((&contents[..], &[][..])));
    }
}

#[test]
fn a_signature_is_padded_to_its_curve() {
    let encoded = element(tag::SEQUENCE, &[&unsigned(&[0x80]), &unsigned(&[5])]);
    assert_eq!(raw_signature(&encoded, 2), Some(vec![0, 0x80, 0, 5]));
    assert_eq!(raw_signature(&encoded, 0), None);
    assert_eq!(raw_signature(&encoded[..4], 2), None);
}
