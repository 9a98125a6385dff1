//! Unit tests of `src/http/answer.rs`, which includes them.

use super::*;

#[test]
fn an_answer_with_a_length_is_read_to_its_end() {
    let mut stream = &b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 2\r\n\r\nokHTTP"[..];
    let answer = read_answer(&mut stream).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]));
    assert!(answer.keeps);
    assert_eq!(stream, b"HTTP");
}

#[test]
fn chunks_are_joined() {
    let mut stream =
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n"[..];
    assert_eq!(read_answer(&mut stream).unwrap().body.as_slice(), b"abc");
}

#[test]
fn an_answer_without_a_body_needs_no_length() {
    let mut stream = &b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"[..];
    let answer = read_answer(&mut stream).unwrap();
    assert!(answer.body.is_empty() && !answer.keeps);
}

#[test]
fn what_ends_early_or_is_not_http_is_an_error() {
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    ] {
        assert!(read_answer(&mut &*bytes).is_err());
    }
}
