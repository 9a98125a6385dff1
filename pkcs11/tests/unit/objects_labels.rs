//! Unit tests of `src/objects/labels.rs`, which includes them.

use super::*;

#[test]
fn a_label_of_32_bytes_is_kept_whole() {
    assert_eq!(kept(&"x".repeat(32)), "x".repeat(32));
}

#[test]
fn a_longer_label_is_kept_in_32_bytes_that_tell_it_from_others() {
    let one = kept("example.-hsm.-zsk-20261128173351110").into_owned();
    assert_eq!(one.len(), LONGEST);
    assert!(one.starts_with("example.-hsm.-z~"));
    assert_ne!(one, kept("example.-hsm.-zsk-20261128173351111"));
    assert_eq!(one, kept("example.-hsm.-zsk-20261128173351110"));
}

#[test]
fn a_character_is_not_cut() {
    assert!(kept(&"✓".repeat(11)).starts_with("✓✓✓✓✓~"));
    assert!(kept(&format!("x{}", "✓".repeat(11))).starts_with("x✓✓✓✓~"));
}
