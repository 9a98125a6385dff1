//! Whom a connection trusts: certificate authorities, or certificates by their SHA-256.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    ring, verify_tls12_signature, verify_tls13_signature, CryptoProvider, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest as _, Sha256};

const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How a server shows that it is the right one, and how this client does.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// A PEM file of certificate authorities; the system's if there is none.
    pub ca_file: Option<String>,
    /// SHA-256 of certificates: if there are any, only these count, and no authority.
    pub pinned: Vec<[u8; 32]>,
    /// PEM files of a certificate and its key, for servers that ask for one.
    pub client_certificate: Option<(String, String)>,
}

/// Returns what all connections of a slot share. The error is a line for the user.
pub fn client_settings(trust: &Trust) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider as Arc<CryptoProvider>)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if trust.pinned.is_empty() {
        let file = trust.ca_file.as_deref().unwrap_or(SYSTEM_AUTHORITIES);
        builder.with_root_certificates(authorities(file)?)
    } else {
        let pins = Pins { sha256: trust.pinned.clone(), algorithms };
        builder.dangerous().with_custom_certificate_verifier(Arc::new(pins))
    };
    let Some((certificate, key)) = &trust.client_certificate else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{key}: {error}"))?;
    let settings = builder.with_client_auth_cert(certificates(certificate)?, key);
    settings.map(Arc::new).map_err(|error| format!("{certificate}: {error}"))
}

fn authorities(file: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(file)?);
    if added == 0 {
        return Err(format!("{file} holds no certificate"));
    }
    Ok(roots)
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(Path::new(file))
        .and_then(Iterator::collect)
        .map_err(|error| format!("{file}: {error}"))
}

/// Accepts the certificates with these hashes. Their names and dates do not matter.
#[derive(Debug)]
struct Pins {
    sha256: Vec<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer,
        _intermediates: &[CertificateDer],
        _server_name: &ServerName,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let hash: [u8; 32] = Sha256::digest(end_entity).into();
        if self.sha256.contains(&hash) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
