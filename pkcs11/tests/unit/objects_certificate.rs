//! Unit tests of `src/objects/certificate.rs`, which includes them.

use base64::prelude::{Engine as _, BASE64_STANDARD};

use super::*;
use crate::der::element;

#[test]
fn the_fields_are_taken_as_they_are_encoded() {
    let serial = element(tag::INTEGER, &[&[5]]);
    let name = |text: &[u8]| element(tag::SEQUENCE, &[text]);
    let parts = [
        element(VERSION, &[&[2, 1, 2]]),
        serial.clone(),
        name(b""),
        name(b"issuer"),
        name(b"dates"),
        name(b"subject"),
        name(b"key"),
    ];
    let signed = element(tag::SEQUENCE, &[&parts.concat()]);
    let der = element(tag::SEQUENCE, &[&signed]);
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        BASE64_STANDARD.encode(&der)
    );
    let certificate = Certificate::parse(pem.as_bytes()).unwrap();
    assert_eq!(certificate.subject, name(b"subject"));
    assert_eq!((certificate.serial, certificate.issuer), (serial, name(b"issuer")));
    assert_eq!(certificate.der, der);
    assert_eq!(Certificate::parse(&der[..20]), None);
}
