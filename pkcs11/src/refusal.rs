//! Why a call is refused: a return value of PKCS#11.

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
    use std::io::Write as _;
    let shown = |each: char| if each.is_control() { ' ' } else { each };
    let line: String = line.chars().take(LONGEST_LINE).map(shown).collect();
    // An application may have closed its standard error; there is no other place to complain.
    let _ = writeln!(std::io::stderr(), "keystead-pkcs11: {line}");
}

/// Refuses a call unless a condition holds.
pub fn require(holds: bool, refusal: Refusal) -> Answer<()> {
    holds.then_some(()).ok_or(refusal)
}
