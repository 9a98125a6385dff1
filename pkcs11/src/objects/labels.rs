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
#[path = "../../tests/unit/objects_labels.rs"]
mod tests;
