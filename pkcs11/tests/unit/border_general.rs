//! Unit tests of `src/border/general.rs`, which includes them.

use super::padded;

#[test]
fn a_long_text_is_cut_between_letters() {
    assert_eq!(&padded::<4>("ab"), b"ab  ");
    assert_eq!(&padded::<4>("abcdef"), b"abcd");
    assert_eq!(&padded::<3>("abä"), b"ab ");
}
