//! Unit tests of `src/http/instance.rs`, which includes them.

use super::split_port;

#[test]
fn an_address_may_leave_out_its_port() {
    assert_eq!(split_port("hsm.example"), Some(("hsm.example", 443)));
    assert_eq!(split_port("hsm.example:8443"), Some(("hsm.example", 8443)));
    assert_eq!(split_port("[::1]:8443"), Some(("::1", 8443)));
    assert_eq!(split_port("[::1]"), Some(("::1", 443)));
    assert_eq!(split_port("hsm.example:many"), None);
}
