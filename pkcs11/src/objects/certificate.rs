//! The fields of a certificate (RFC 5280, 4.1) that are attributes of its object.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::CertificateDer;

use crate::der::{tag, take, take_whole};

const VERSION: u8 = 0xa0;

/// A certificate in DER, and its fields as they are encoded in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    pub der: Vec<u8>,
    /// Who is certified.
    pub subject: Vec<u8>,
    /// Who certifies.
    pub issuer: Vec<u8>,
    pub serial: Vec<u8>,
    pub public_key_info: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate as the server stores it: DER, or PEM, of which the first one counts.
    pub fn parse(stored: &[u8]) -> Option<Self> {
        let is_pem = stored.starts_with(b"-----");
        let pem = is_pem.then(|| CertificateDer::from_pem_slice(stored)).transpose().ok()?;
        let der = pem.map_or_else(|| stored.to_vec(), |certificate| certificate.to_vec());
        let (certificate, _) = take(tag::SEQUENCE, &der)?;
        let (signed, _) = take(tag::SEQUENCE, certificate)?;
        let rest = take(VERSION, signed).map_or(signed, |(_, rest)| rest);
        let (serial, rest) = take_whole(tag::INTEGER, rest)?;
        let (_, rest) = take(tag::SEQUENCE, rest)?;
        let (issuer, rest) = take_whole(tag::SEQUENCE, rest)?;
        let (_, rest) = take(tag::SEQUENCE, rest)?;
        let (subject, rest) = take_whole(tag::SEQUENCE, rest)?;
        let (public_key_info, _) = take_whole(tag::SEQUENCE, rest)?;
        Some(Self {
            subject: subject.to_vec(),
            issuer: issuer.to_vec(),
            serial: serial.to_vec(),
            public_key_info: public_key_info.to_vec(),
            der,
        })
    }
}

#[cfg(test)]
#[path = "../../tests/unit/objects_certificate.rs"]
mod tests;
