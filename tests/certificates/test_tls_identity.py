import hashlib
import ssl
from base64 import b64decode
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystead import algorithms
from keystead.certificates.tls_identity import (
    fingerprint,
    make_tls_identity,
    require_chain_of,
    require_strong_keys,
    self_signed_chain,
)
from keystead.errors import InvalidInput
from keystead.model.keys import PrivateMaterial
from tests.support import nethsm_api

DAMAGED = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def der_of(pem: bytes) -> bytes:
    return b64decode(pem.split(b"-----")[2])


@pytest.fixture(scope="module")
def identity() -> tuple[bytes, bytes]:
    key_pem, chain_pem = make_tls_identity("hsm1.example", ["hsm.example", "IP:192.0.2.1"])
    return key_pem.reveal(), chain_pem


def shake_hands(identity: tuple[bytes, bytes], directory: Path, host: str) -> dict[str, object]:
    """Connect a strict client that trusts the certificate to a server; return what it saw."""
    (directory / "server.pem").write_bytes(b"".join(identity))
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(directory / "server.pem")
    client_context = ssl.create_default_context(cadata=identity[1].decode())
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    upward, downward = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(downward, upward, server_hostname=host)
    server = server_context.wrap_bio(upward, downward, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client.getpeercert() or {}


@pytest.mark.parametrize(
    "host",
    ["hsm1.example", "hsm.example", "192.0.2.1", "localhost", "127.0.0.1", "::1", "keystead"],
)
def test_a_strict_client_that_trusts_it_accepts_every_name(identity, tmp_path, host):
    assert shake_hands(identity, tmp_path, host)["version"] == 3


def test_a_client_refuses_it_for_another_name(identity, tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'other\.example'"):
        shake_hands(identity, tmp_path, "other.example")


def test_it_is_valid_whatever_the_clock_says(identity):
    certificate = x509.load_pem_x509_certificate(identity[1])
    assert certificate.not_valid_before_utc.year == 1970
    assert certificate.not_valid_after_utc.isoformat() == "9999-12-31T23:59:59+00:00"


def test_it_is_good_for_servers_only_and_signs_no_other(identity):
    extensions = x509.load_pem_x509_certificate(identity[1]).extensions
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(usage.value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value.ca is False
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_a_name_given_twice_is_written_once():
    private = algorithms.BY_NAME["EC_P256"].generate(None)
    chain = self_signed_chain(private, "localhost", ["localhost", "IP:127.0.0.1"])
    extension = x509.load_pem_x509_certificate(chain).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    values = [str(name.value) for name in extension.value]
    assert sorted(values) == ["127.0.0.1", "::1", "keystead", "localhost"]


@pytest.mark.parametrize("common_name", ["", "x" * 65, "a\nb"])
def test_a_common_name_that_does_not_fit_is_refused(common_name):
    with pytest.raises(InvalidInput, match="commonName"):
        make_tls_identity(common_name)


def test_every_type_for_tls_gives_a_chain_of_its_key():
    for name in nethsm_api.ENUMS["TlsKeyType"]:
        if name != "RSA":
            private = algorithms.BY_NAME[name].generate(None)
            require_chain_of(private, self_signed_chain(private, "hsm.example"))


def test_a_chain_of_another_key_is_refused(identity):
    own = algorithms.load(PrivateMaterial(pem=identity[0]))
    require_chain_of(own, identity[1])
    other = make_tls_identity("hsm.example")[1]
    require_chain_of(own, identity[1] + other)
    with pytest.raises(InvalidInput, match="not that of the private key"):
        require_chain_of(own, other + identity[1])


@pytest.mark.parametrize(
    "chain",
    [
        b"",
        b"noise",
        DAMAGED,
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_chain_is_refused(identity, chain):
    own = algorithms.load(PrivateMaterial(pem=identity[0]))
    with pytest.raises(InvalidInput, match="no valid certificate"):
        require_chain_of(own, chain)
    with pytest.raises(InvalidInput, match="no valid certificate"):
        fingerprint(chain)


def test_a_damaged_certificate_after_the_first_one_is_refused(identity):
    own = algorithms.load(PrivateMaterial(pem=identity[0]))
    with pytest.raises(InvalidInput, match="no valid certificate"):
        require_chain_of(own, identity[1] + DAMAGED)


def test_every_rsa_key_in_a_chain_has_2048_bits(identity):
    rsa = algorithms.BY_NAME["RSA"]
    strong, weak = (self_signed_chain(rsa.generate(n), "hsm.example") for n in (2048, 2040))
    require_strong_keys(identity[1] + strong)
    for chain in (weak, strong + weak):
        with pytest.raises(InvalidInput, match="An RSA key of 2040 bits is too weak"):
            require_strong_keys(chain)


def test_a_certificate_of_an_unknown_kind_of_key_is_refused(identity):
    own = algorithms.load(PrivateMaterial(pem=identity[0]))
    with cryptography_vectors.open_vector_file(
        "x509/custom/unsupported_subject_public_key_info.pem", "rb"
    ) as file:
        chain = file.read()
    with pytest.raises(InvalidInput, match="is not supported"):
        require_chain_of(own, chain)


def test_the_fingerprint_is_the_hash_of_the_first_certificate(identity):
    other = make_tls_identity("hsm.example")[1]
    expected = hashlib.sha256(der_of(identity[1])).hexdigest()
    assert fingerprint(identity[1] + other) == expected
