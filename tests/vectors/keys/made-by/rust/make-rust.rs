// Writes the files of ring/ and rustcrypto/. Takes the folder to write to: cargo run --manifest-path rust/Cargo.toml -- FOLDER
use ed25519_dalek::pkcs8::EncodePrivateKey;
use p256::pkcs8::{EncodePublicKey, LineEnding};
use ring::{rand::SystemRandom, signature, signature::KeyPair};
use std::{env, fs, path::Path};

fn write(folder: &Path, name: &str, pem: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(format!("{name}.pem")), pem).unwrap();
}

fn private_key(der: &[u8]) -> String {
    pem_rfc7468::encode_string("PRIVATE KEY", pem_rfc7468::LineEnding::LF, der).unwrap()
}

macro_rules! curve {
    ($folder:expr, $curve:ident, $name:literal) => {
        let key = $curve::SecretKey::random(&mut rand_core::OsRng);
        // SEC 1 without the name of the curve: OpenSSL and Go refuse it, and so does Keystead.
        let refused = $folder.parent().unwrap().join("refused");
        let sec1 = key.to_sec1_pem(LineEnding::LF).unwrap();
        write(&refused, concat!("rustcrypto-", $name, "-sec1"), &sec1);
        write($folder, concat!($name, ".pkcs8"), &key.to_pkcs8_pem(LineEnding::LF).unwrap());
        let public = key.public_key().to_public_key_pem(LineEnding::LF).unwrap();
        write($folder, concat!($name, ".public"), &public);
    };
}

macro_rules! ring_curve {
    ($folder:expr, $random:expr, $curve:ident, $algorithm:ident, $name:literal) => {
        let kind = &signature::$algorithm;
        let key = signature::EcdsaKeyPair::generate_pkcs8(kind, $random).unwrap();
        write($folder, concat!($name, ".pkcs8"), &private_key(key.as_ref()));
        let pair = signature::EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), $random).unwrap();
        let public = $curve::PublicKey::from_sec1_bytes(pair.public_key().as_ref()).unwrap();
        let pem = public.to_public_key_pem(LineEnding::LF).unwrap();
        write($folder, concat!($name, ".public"), &pem);
    };
}

fn main() {
    let out = env::args().nth(1).expect("the folder to write to");
    let random = SystemRandom::new();
    let ring = Path::new(&out).join("ring");
    let key = signature::Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    write(&ring, "Curve25519.pkcs8-version-2", &private_key(key.as_ref()));
    let pair = signature::Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap();
    let point = pair.public_key().as_ref().try_into().unwrap();
    let public = ed25519_dalek::VerifyingKey::from_bytes(point).unwrap();
    write(&ring, "Curve25519.public", &public.to_public_key_pem(LineEnding::LF).unwrap());
    ring_curve!(&ring, &random, p256, ECDSA_P256_SHA256_ASN1_SIGNING, "EC_P256");
    ring_curve!(&ring, &random, p384, ECDSA_P384_SHA384_ASN1_SIGNING, "EC_P384");

    let rustcrypto = Path::new(&out).join("rustcrypto");
    curve!(&rustcrypto, p256, "EC_P256");
    curve!(&rustcrypto, p384, "EC_P384");
    curve!(&rustcrypto, k256, "EC_P256K1");
    let key = ed25519_dalek::SigningKey::generate(&mut rand_core::OsRng);
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    write(&rustcrypto, "Curve25519.pkcs8-version-2", &pem);
    let public = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    write(&rustcrypto, "Curve25519.public", &public);
}
