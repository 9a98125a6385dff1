//! Signs by HTTPS without PKCS#11, for `make bench`: what rustls and a kept connection cost at least.
//!
//! `bare_loop HOST:PORT THREADS SECONDS < REQUEST` sends the request again and again on a connection for each
//! thread. It prints requests a second, the median time of one and its CPU time, both in microseconds.

#![expect(clippy::cast_precision_loss, reason = "the figures are for people")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

/// Takes every certificate: the server is a child of the benchmark, on loopback.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, threads, seconds] = arguments.as_slice() else { panic!("see the source") };
    let (threads, seconds): (usize, f64) = (threads.parse().unwrap(), seconds.parse().unwrap());
    let mut request = Vec::new();
    std::io::stdin().read_to_end(&mut request).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    let config = Arc::new(config);
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(seconds);
    let mut took = std::thread::scope(|scope| {
        let one = || scope.spawn(|| requests(address, &config, &request, until));
        let running: Vec<_> = (0..threads).map(|_| one()).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let rate = took.len() as f64 / began.elapsed().as_secs_f64();
    took.sort_unstable();
    let cpu = cpu_ticks() as f64 * 10_000.0 / took.len() as f64;
    println!("{rate:.1} {:.1} {cpu:.1}", took[took.len() / 2].as_secs_f64() * 1e6);
}

/// Sends the request until the time is over; returns how long each took.
fn requests(
    address: &str,
    config: &Arc<ClientConfig>,
    request: &[u8],
    until: Instant,
) -> Vec<Duration> {
    let name = ServerName::try_from("localhost").unwrap();
    let tcp = TcpStream::connect(address).unwrap();
    tcp.set_nodelay(true).unwrap();
    let tls = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(tls, tcp);
    let mut took = Vec::new();
    let mut answer = [0; 4096];
    while Instant::now() < until {
        let began = Instant::now();
        stream.write_all(request).unwrap();
        let mut length = 0;
        while !is_whole(&answer[..length]) {
            let more = stream.read(&mut answer[length..]).unwrap();
            assert!(more > 0, "the server hung up");
            length += more;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
        took.push(began.elapsed());
    }
    took
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()) == Some(body.len())
}

/// Returns the CPU time of the process in hundredths of a second (proc(5)).
fn cpu_ticks() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
