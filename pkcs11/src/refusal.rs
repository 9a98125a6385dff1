//! Why a call is refused: a return value of PKCS#11.

use std::fs::File;
use std::io::{stderr, Write as _};
use std::os::fd::AsFd as _;

use cryptoki_sys::CK_RV;

const LONGEST_LINE: usize = 1000;

/// A return value other than `CKR_OK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(pub CK_RV);

/// What a call gives, or why it does not.
pub type Answer<T> = Result<T, Refusal>;

/// Writes a line about the module for the person who runs the application.
///
/// Some of it may come from the server: it stays one line, not a long one, without commands for a terminal.
pub fn tell(line: &str) {
    let shown = |each: char| if each.is_control() { ' ' } else { each };
    let line: String = line.chars().take(LONGEST_LINE).map(shown).collect();
    // Past the lock that Rust has for it: in the child of a fork, nobody may be there to release it.
    // An application may have closed its standard error; there is no other place to complain.
    let error = stderr().as_fd().try_clone_to_owned().map(File::from);
    let _ =
        error.and_then(|mut file| file.write_all(format!("keystead-pkcs11: {line}\n").as_bytes()));
}

/// Refuses a call unless a condition holds.
pub fn require(holds: bool, refusal: Refusal) -> Answer<()> {
    holds.then_some(()).ok_or(refusal)
}
