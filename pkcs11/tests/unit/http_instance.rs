//! Unit tests of `src/http/instance.rs`, which includes them.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::super::{client_settings, Trust};
use super::*;

#[test]
fn the_kept_connections_of_an_instance_that_does_not_answer_are_closed() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let trust = Trust { pinned: vec![[0; 32]], ..Trust::default() };
    let tls = client_settings(&trust).unwrap();
    let instance = Instance::new(&format!("https://127.0.0.1:{port}"), tls).unwrap();
    let second = Duration::from_secs(1);
    for _ in 0..3 {
        let opened = Connection::open("127.0.0.1", port, &instance.name, &instance.tls, second);
        instance.keep(opened.unwrap());
    }
    let patience = Patience { connect: second, answer: second / 100, call: second };
    let request =
        Request { method: "GET", path: "/info", authorization: "", body: None, is_slow: false };
    assert!(instance.send(&request, patience, Instant::now() + second).is_err());
    assert!(instance.take().is_none());
}

#[test]
fn an_address_may_leave_out_its_port() {
    assert_eq!(split_port("hsm.example"), Some(("hsm.example", 443)));
    assert_eq!(split_port("hsm.example:8443"), Some(("hsm.example", 8443)));
    assert_eq!(split_port("[::1]:8443"), Some(("::1", 8443)));
    assert_eq!(split_port("[::1]"), Some(("::1", 443)));
    assert_eq!(split_port("hsm.example:many"), None);
}
