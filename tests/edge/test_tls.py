import errno
import ssl

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from keystead import algorithms
from keystead.certificates.tls_identity import make_tls_identity, self_signed_chain
from keystead.edge.tls import KeyMemory, server_context, try_out
from tests.support.authority import Authority, name, weak_rsa_key


def identity(type_name: str, length: int | None = None) -> tuple[bytes, bytes]:
    private = algorithms.BY_NAME[type_name].generate(length)
    return private.material().pem or b"", self_signed_chain(private, "hsm.example")


@pytest.mark.parametrize(
    ("type_name", "length"),
    [
        ("RSA", 2048),
        ("Curve25519", None),
        ("EC_P256", None),
        ("EC_P384", None),
        ("EC_P521", None),
    ],
)
def test_a_client_of_today_connects(type_name, length):
    assert try_out(*identity(type_name, length), KeyMemory()) == ""


@pytest.mark.parametrize(
    "type_name", ["EC_P256K1", "BrainpoolP256", "BrainpoolP384", "BrainpoolP512"]
)
def test_a_curve_that_clients_do_not_offer_is_refused(type_name):
    assert try_out(*identity(type_name), KeyMemory()) == "no shared cipher"


def test_a_key_that_is_too_weak_is_refused():
    assert try_out(*identity("RSA", 1024), KeyMemory()) == "ee key too small"


def test_a_chain_with_a_weak_issuer_is_refused():
    weak = Authority("weak", key=weak_rsa_key())
    key, _ = make_tls_identity("hsm.example")
    private = algorithms.import_pem(key.reveal())
    leaf = weak.certify(private.certificate_signer().key.public_key(), name("hsm.example"))
    chain = leaf.public_bytes(Encoding.PEM) + weak.pem
    assert try_out(key.reveal(), chain, KeyMemory()) == "ca key too small"


def test_a_certificate_of_another_key_is_refused():
    assert (
        try_out(identity("EC_P256")[0], identity("EC_P256")[1], KeyMemory())
        == "key values mismatch"
    )


def test_what_is_no_pem_is_refused():
    assert try_out(b"", b"", KeyMemory()) != ""


def test_a_refusal_that_the_sandbox_hides_the_reason_of_is_one(monkeypatch):
    def load(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(KeyMemory, "load", load)
    assert try_out(*identity("RSA", 1024), KeyMemory()) == "the TLS library refuses it"


def test_only_tls_1_2_and_newer_are_served():
    context = server_context(*identity("EC_P256"), KeyMemory())
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    names = [cipher["name"] for cipher in context.get_ciphers()]
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in names)
