//! Unit tests of `src/config/nethsm_file.rs`, which includes them.

use super::*;

const SLOT: &str = "
log_level: Debug
slots:
  - label: LocalHSM
    description: ignored
    operator: { username: operator, password: 12345678 }
    administrator:
      username: admin
    timeout_seconds: 7
    instances:
      - url: https://hsm:8443/api/v1
";

#[test]
fn a_slot_is_read_with_both_users_and_its_timeout() {
    let slots = parse(SLOT).unwrap();
    let (user, administrator) = (slots[0].user.as_ref(), slots[0].administrator.as_ref());
    assert_eq!(slots[0].label, "LocalHSM");
    assert_eq!(slots[0].urls, ["https://hsm:8443/api/v1"]);
    assert_eq!(user.and_then(|user| user.pin.as_ref()).map(|pin| pin.as_str()), Some("12345678"));
    assert!(administrator.is_some_and(|user| user.name == "admin" && user.pin.is_none()));
    assert_eq!(slots[0].patience.answer, Duration::from_secs(7));
    let for_ever = parse(&SLOT.replace("seconds: 7", "seconds: 9223372036854775807")).unwrap();
    assert_eq!(for_ever[0].patience.answer, Duration::from_secs(LONGEST_SECONDS));
}

#[test]
fn a_server_is_checked_by_fingerprint_or_authority_but_not_at_random() {
    let pinned = format!("{SLOT}        sha256_fingerprints: ['{}']\n", ["ab"; 32].join(":"));
    assert_eq!(parse(&pinned).unwrap()[0].trust.pinned, [[0xab; 32]]);
    let any = format!("{SLOT}        danger_insecure_cert: true\n");
    assert!(parse(&any).err().unwrap().contains("danger_insecure_cert"));
}

#[test]
fn what_is_not_such_a_file_is_an_error() {
    assert!(parse("slots: [").err().unwrap().starts_with("line "));
    assert!(parse("other: 1").is_err());
    assert!(parse("").is_err());
    assert!(parse("slots: [{label: x}]").err().unwrap().contains("no instances"));
}
