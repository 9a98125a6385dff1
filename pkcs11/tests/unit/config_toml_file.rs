//! Unit tests of `src/config/toml_file.rs`, which includes them.

use super::*;

fn error(slot: &str) -> String {
    parse(&format!("[[slots]]\n{slot}")).err().expect("an error")
}

#[test]
fn a_slot_needs_a_label_and_an_instance() {
    let slots = parse("[[slots]]\nlabel = 'a'\ninstances = ['https://hsm']\n").unwrap();
    assert_eq!(slots[0].urls, ["https://hsm"]);
    assert!(slots[0].user.is_none() && slots[0].certificates);
    assert!(error("label = 'a'").contains("instances"));
    assert!(error("label = 'a'\ninstances = []").contains("no instances"));
}

#[test]
fn an_error_names_its_line_and_shows_no_pin() {
    let text = error("label = 'a'\npin = 'secretPassphrase'\ncolour = 'red'");
    assert!(text.starts_with("line 4: "), "{text}");
    assert!(text.contains("colour") && !text.contains("secretPassphrase"), "{text}");
}

#[test]
fn mistakes_are_told() {
    let base = "label = 'a'\ninstances = ['https://hsm']\n";
    for (more, expected) in [
        ("key-types = ['EC_P257']", "EC_P257"),
        ("pinned-sha256 = ['ab']", "SHA-256"),
        ("pin = 'x'", "no user"),
        ("user = 'u'\npin = 'x'\npin-env = 'Y'", "only one"),
        ("client-key = 'k.pem'", "belong together"),
        ("answer-seconds = 0", "1 to 86400 seconds"),
        ("call-seconds = 9223372036854775807", "1 to 86400 seconds"),
    ] {
        let text = error(&format!("{base}{more}"));
        assert!(text.contains(expected), "{text}");
    }
}
