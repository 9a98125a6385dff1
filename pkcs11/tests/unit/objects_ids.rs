//! Unit tests of `src/objects/ids.rs`, which includes them.

use super::*;

#[test]
fn every_cka_id_comes_back() {
    for id in [&b"tls-1"[..], b"\x01", b"\xff\x00", b"a b", b"0---61", b"generate", b"-a"] {
        assert_eq!(cka_id(&api_id(id).unwrap()), id, "{id:?}");
    }
}

#[test]
fn what_no_id_can_hold_has_none() {
    assert_eq!(api_id(b""), None);
    assert_eq!(api_id(&[0; 63]), None);
}

#[test]
fn an_id_that_is_not_whole_hex_stays_a_text() {
    assert_eq!(cka_id("0---6"), b"0---6");
    assert_eq!(cka_id("0---"), b"0---");
    assert_eq!(cka_id("0---é1"), "0---é1".as_bytes());
}

#[test]
fn what_would_change_the_path_of_a_request_is_no_name() {
    for name in ["operator", "0---61", "generate", "a.b_c-d"] {
        assert!(is_name(name.as_bytes()), "{name}");
    }
    for name in ["", ".", "../info", "a/b", "a?b", "a b", "a\r\nb", "a%2fb", "ä"] {
        assert!(!is_name(name.as_bytes()), "{name:?}");
    }
}
