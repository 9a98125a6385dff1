//! Labels, which programs may make longer than the server keeps them.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::ids;

/// In bytes, as `NetHSM` has it.
pub const LONGEST: usize = 32;
const BEGINNING: usize = 15;
const HASH_BYTES: usize = 8;

/// Returns a label as the server keeps it. Of one that is too long, it keeps the beginning and a
/// hash of the whole, so that programs find the key by the whole label again.
pub fn kept(label: &str) -> Cow<'_, str> {
    if label.len() <= LONGEST {
        return label.into();
    }
    let end = (0..=BEGINNING).rev().find(|end| label.is_char_boundary(*end)).unwrap_or(0);
    let hash = ids::to_hex(&Sha256::digest(label.as_bytes())[..HASH_BYTES]);
    format!("{}~{hash}", &label[..end]).into()
}

#[cfg(test)]
mod tests {
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
}
