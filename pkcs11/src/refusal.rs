//! Why a call is refused: a return value of PKCS#11.

use cryptoki_sys::CK_RV;

/// A return value other than `CKR_OK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(pub CK_RV);

/// What a call gives, or why it does not.
pub type Answer<T> = Result<T, Refusal>;

/// Writes a line about the module for the person who runs the application.
pub fn tell(line: &str) {
    use std::io::Write as _;
    // An application may have closed its standard error; there is no other place to complain.
    let _ = writeln!(std::io::stderr(), "keystead-pkcs11: {line}");
}

/// Refuses a call unless a condition holds.
pub fn require(holds: bool, refusal: Refusal) -> Answer<()> {
    holds.then_some(()).ok_or(refusal)
}
