//! Unit tests of `src/border/general.rs`, which includes them.

use cryptoki_sys::CKR_GENERAL_ERROR;

use super::padded;
use crate::border::answered;

#[test]
fn a_long_text_is_cut_between_letters() {
    assert_eq!(&padded::<4>("ab"), b"ab  ");
    assert_eq!(&padded::<4>("abcdef"), b"abcd");
    assert_eq!(&padded::<3>("abä"), b"ab ");
}

#[test]
fn a_panic_is_an_answer_and_ends_no_program() {
    assert_eq!(answered(|| panic!("as a mistake in the module would")), CKR_GENERAL_ERROR);
}
