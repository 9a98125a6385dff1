//! Unit tests of `src/config/mod.rs`, which includes them.

use super::fingerprint;

#[test]
fn a_fingerprint_may_have_colons() {
    assert_eq!(fingerprint(&["ab"; 32].join(":")), Ok([0xab; 32]));
    assert_eq!(fingerprint(&"ab".repeat(32)), Ok([0xab; 32]));
    assert!(fingerprint("ab").is_err());
}
