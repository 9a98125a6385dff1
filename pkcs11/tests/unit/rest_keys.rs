//! Unit tests of `src/rest/keys.rs`, which includes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cryptoki_sys::CKR_DEVICE_ERROR;

use super::{listed, listing_path, percent, MOST_BRACES};
use crate::http::{Client, HttpAnswer, Patience};
use crate::refusal::Refusal;
use crate::rest::{Api, Credential};

const REFUSED: Option<Refusal> = Some(Refusal(CKR_DEVICE_ERROR));

fn list(keys: &str) -> HttpAnswer {
    HttpAnswer { status: 200, body: format!("[{keys}]").into_bytes().into(), keeps: true }
}

#[test]
fn a_page_is_asked_for_by_prefix_and_last_id() {
    assert_eq!(listing_path("", ""), "/keys?details=true&limit=1000");
    assert_eq!(listing_path("a", "b"), "/keys?details=true&limit=1000&prefix=a&after=b");
}

#[test]
fn a_label_is_encoded_for_the_query() {
    assert_eq!(percent("a b&c=ä"), "a%20b%26c%3D%C3%A4");
}

#[test]
fn a_call_asks_nothing_more_after_its_end() {
    let second = Duration::from_secs(1);
    let patience = Patience { connect: second, answer: second, call: second };
    // It would panic: it has no instance.
    let client = Client::new(Vec::new(), patience);
    let credential = Arc::new(Credential::new("user", "passphrase"));
    let api = Api { client: &client, credential, end: Instant::now() };
    assert_eq!(api.keys("").err(), REFUSED);
}

#[test]
fn a_list_of_more_keys_than_there_may_be_is_not_read() {
    assert_eq!(listed(&list(r#"{"id":"a"},{"id":"b"}"#)).unwrap().len(), 2);
    assert_eq!(listed(&list(&vec!["{}"; MOST_BRACES + 1].join(","))).err(), REFUSED);
}
