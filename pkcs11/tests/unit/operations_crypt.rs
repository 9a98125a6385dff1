//! Unit tests of `src/operations/crypt.rs`, which includes them.

use super::*;

#[test]
fn only_a_whole_padding_is_taken_off() {
    assert_eq!(unpadded_length(&[1, 2, 2, 2]), Ok(2));
    assert_eq!(unpadded_length(&[16; 16]), Ok(0));
    for bad in [&[][..], &[0; 16], &[17; 17], &[1, 2, 3, 2], &[3, 3]] {
        assert!(unpadded_length(bad).is_err());
    }
}
