//! Unit tests of `src/rest/keys.rs`, which includes them.

use super::{listing_path, percent};

#[test]
fn a_page_is_asked_for_by_prefix_and_last_id() {
    assert_eq!(listing_path("", ""), "/keys?details=true&limit=1000");
    assert_eq!(listing_path("a", "b"), "/keys?details=true&limit=1000&prefix=a&after=b");
}

#[test]
fn a_label_is_encoded_for_the_query() {
    assert_eq!(percent("a b&c=ä"), "a%20b%26c%3D%C3%A4");
}
