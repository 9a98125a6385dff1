"""`keystead keys import`: private keys as other tools write them."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)

EC = ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()
SECRET = BestAvailableEncryption(b"file passphrase")

ENCODINGS = {"pem": Encoding.PEM, "der": Encoding.DER}
FORMS = {
    "pkcs8": PrivateFormat.PKCS8,
    "traditional": PrivateFormat.TraditionalOpenSSL,
    "openssh": PrivateFormat.OpenSSH,
}
FILES = {
    f"{name}-{encoding}-{form}{'-encrypted' if lock is SECRET else ''}": (
        key,
        key.private_bytes(ENCODINGS[encoding], FORMS[form], lock),
    )
    for name, key in (("ec", EC), ("rsa", RSA), ("ed", ED))
    for encoding in ENCODINGS
    for form in FORMS
    for lock in (NoEncryption(), SECRET)
    if not (name == "ed" and form == "traditional")
    if not (encoding == "der" and form == "openssh")
    if not (form != "pkcs8" and encoding == "der" and lock is SECRET)
    if not (form == "openssh" and lock is SECRET)
}


def certificate_of(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.com")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(dt.datetime(2026, 1, 1))  # noqa: DTZ001
    builder = builder.not_valid_after(dt.datetime(2036, 1, 1))  # noqa: DTZ001
    return builder.sign(key, hashes.SHA256())


@pytest.mark.parametrize("name", FILES)
def test_a_private_key_comes_in_from_every_form(keystead, tmp_path, name):
    key, content = FILES[name]
    file = tmp_path / "key"
    file.write_bytes(content)
    ran = keystead("keys", "import", name, file, KEYSTEAD_FILE_PASSPHRASE="file passphrase")
    assert ran.status == 0, ran
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert keystead("keys", "public", name).out == public.decode()


MADE_BY_OPENSSL = Path(__file__).parents[1] / "vectors" / "keys" / "made-by" / "openssl-3.5"


@pytest.mark.parametrize(("form", "more"), [("seed", ()), ("both", ("ML_DSA_Signature",))])
def test_a_key_of_ml_dsa_comes_in_and_its_signature_is_valid(keystead, tmp_path, form, more):
    file, signature = MADE_BY_OPENSSL / f"ML_DSA_65.{form}.pem", tmp_path / "signature"
    name = f"ml-dsa-{form}"
    options = [part for mechanism in more for part in ("--mechanism", mechanism)]
    assert keystead("keys", "import", name, file, *options).status == 0
    assert keystead("keys", "sign", name, file, "-o", signature, user="signer").status == 0
    for where in ((), ("--on-hsm",), ("--public", MADE_BY_OPENSSL / "ML_DSA_65.public.pem")):
        ran = keystead("keys", "verify", name, signature, file, *where, user="signer")
        assert ran.status == 0, ran


@pytest.mark.parametrize("lock", [NoEncryption(), SECRET])
def test_a_pkcs12_file_brings_key_and_certificate(keystead, tmp_path, lock):
    file, certificate = tmp_path / "key.p12", certificate_of(EC)
    file.write_bytes(pkcs12.serialize_key_and_certificates(b"x", EC, certificate, None, lock))
    name = "p12-encrypted" if lock is SECRET else "p12"
    ran = keystead("keys", "import", name, file, KEYSTEAD_FILE_PASSPHRASE="file passphrase")
    assert ran.status == 0, ran
    stored = keystead("keys", "cert", "get", name).out
    assert stored == certificate.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("encrypted")])
def test_a_wrong_passphrase_of_a_file_is_said(keystead, tmp_path, name):
    file = tmp_path / "key"
    file.write_bytes(FILES[name][1])
    ran = keystead("keys", "import", "never", file, KEYSTEAD_FILE_PASSPHRASE="wrong")
    assert ran.status == 1
    assert "passphrase is wrong" in ran.err
    assert keystead("keys", "import", "never", file).status == 2


@pytest.mark.parametrize("content", [b"", b"text", b"\x30\x03\x02\x01\x00", b"-----BEGIN X-----"])
def test_what_holds_no_key_is_said(keystead, tmp_path, content):
    file = tmp_path / "key"
    file.write_bytes(content)
    ran = keystead("keys", "import", "never", file, KEYSTEAD_FILE_PASSPHRASE="x")
    assert ran.status == 1
    assert "no private key" in ran.err


def test_a_file_that_is_missing_is_named(keystead, tmp_path):
    ran = keystead("keys", "import", "never", tmp_path / "missing.pem")
    assert ran.status == 1
    assert "missing.pem: No such file or directory" in ran.err
