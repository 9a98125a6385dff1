import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead import algorithms
from keystead.algorithms import SIGN, PrivateKey, PrivateParts
from keystead.algorithms._libsecp256k1 import Point
from tests.algorithms import published_vectors
from tests.algorithms.reference_curves import CURVES
from tests.support.uses import use

CURVE = CURVES["EC_P256K1"]
ALL_VECTORS = published_vectors.bip340()
SIGNING_VECTORS = [vector for vector in ALL_VECTORS if vector["secret key"]]
SCHEME = ec.ECDSA(Prehashed(hashes.SHA256()))


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return algorithms.BY_NAME["EC_P256K1"].generate(None)


def public_x(key: PrivateKey) -> int:
    public = key.public()
    assert public is not None
    assert public.data is not None
    return int.from_bytes(public.data[1:33])


@pytest.mark.parametrize("vector", ALL_VECTORS, ids=lambda vector: vector["index"])
def test_the_reference_that_checks_our_signatures_passes_the_published_vectors(vector):
    holds = CURVE.bip340_holds(
        int(vector["public key"], 16),
        bytes.fromhex(vector["message"]),
        bytes.fromhex(vector["signature"]),
    )
    assert holds is (vector["verification result"] == "TRUE")


@pytest.mark.parametrize("vector", SIGNING_VECTORS, ids=lambda vector: vector["index"])
def test_the_published_bip340_signatures_come_out(monkeypatch, vector):
    key = algorithms.BY_NAME["EC_P256K1"].from_parts(
        PrivateParts(data=bytes.fromhex(vector["secret key"]))
    )
    monkeypatch.setattr(
        "keystead.algorithms._libsecp256k1.token_bytes",
        lambda length: bytes.fromhex(vector["aux_rand"])[:length],
    )
    assert public_x(key) == int(vector["public key"], 16)
    signature = use(key, SIGN, "BIP340", bytes.fromhex(vector["message"]))
    assert signature == bytes.fromhex(vector["signature"])


@settings(max_examples=10, deadline=None)
@given(message=st.binary(max_size=300))
def test_plain_arithmetic_verifies_bip340_signatures_of_any_message(key, message):
    signature = use(key, SIGN, "BIP340", message)
    assert CURVE.bip340_holds(public_x(key), message, signature)
    assert not CURVE.bip340_holds(public_x(key), message + b"!", signature)


def test_bip340_signatures_differ_from_one_to_the_next(key):
    assert use(key, SIGN, "BIP340", b"a message") != use(key, SIGN, "BIP340", b"a message")


def test_a_faulty_bip340_signature_never_leaves(key, monkeypatch):
    monkeypatch.setattr(Point, "verify_bip340", lambda *_: False)
    with pytest.raises(ArithmeticError):
        use(key, SIGN, "BIP340", b"a message")


def test_ecdsa_is_rfc_6979_with_a_low_s_as_openssl_computes_it(key):
    openssl = load_pem_private_key(key.material().pem or b"", None)
    assert isinstance(openssl, ec.EllipticCurvePrivateKey)
    scheme = ec.ECDSA(Prehashed(hashes.SHA256()), deterministic_signing=True)
    for message in (b"", b"sample", b"test", bytes(1000)):
        digest = hashlib.sha256(message).digest()
        r, s = decode_dss_signature(openssl.sign(digest, scheme))
        ours = decode_dss_signature(use(key, SIGN, "ECDSA", digest))
        assert ours == (r, min(s, CURVE.n - s))


def test_openssl_reads_the_key_and_verifies_its_signatures(key):
    public = load_pem_public_key(key.public_pem())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    for message in (b"", b"a message"):
        digest = hashlib.sha256(message).digest()
        public.verify(use(key, SIGN, "ECDSA", digest), digest, SCHEME)
