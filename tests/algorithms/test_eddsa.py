import hashlib

import pytest
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from keystead import algorithms
from keystead.algorithms import SIGN, VERIFY, PrivateParts, PublicParts
from keystead.errors import InvalidInput
from tests.algorithms import published_vectors
from tests.support.uses import use

CURVE25519 = algorithms.BY_NAME["Curve25519"]
ED448 = algorithms.BY_NAME["Ed448"]


@pytest.fixture
def ed448_key():
    return ED448.generate(None)


def test_the_published_signatures_and_public_keys_come_out():
    lines = published_vectors.read("asymmetric/Ed25519/sign.input").decode().splitlines()
    assert len(lines) == 1024
    for line in lines:
        secret, public, message, signature = (bytes.fromhex(part) for part in line.split(":")[:4])
        key = CURVE25519.from_parts(PrivateParts(data=secret[:32]))
        assert key.public() == PublicParts(data=public)
        assert use(key, SIGN, "EdDSA", message) + message == signature


def test_another_library_verifies_a_signature_of_a_long_message():
    key = CURVE25519.generate(None)
    message = hashlib.shake_256(b"a message").digest(100_000)
    public = ECC.import_key(key.public_pem())
    eddsa.new(public, "rfc8032").verify(message, use(key, SIGN, "EdDSA", message))


def test_another_library_verifies_ed448(ed448_key):
    message = hashlib.shake_256(b"a message").digest(100_000)
    public = ECC.import_key(ed448_key.public_pem())
    eddsa.new(public, "rfc8032").verify(message, use(ed448_key, SIGN, "EdDSA", message))


def test_what_another_library_signs_with_ed448_is_valid():
    theirs = ECC.generate(curve="Ed448")
    ours = ED448.from_parts(PrivateParts(data=theirs.seed))
    signature = eddsa.new(theirs, "rfc8032").sign(b"message")
    assert use(ours, VERIFY, "EdDSA", b"message", signature=signature)
    assert not use(ours, VERIFY, "EdDSA", b"massage", signature=signature)


def test_a_signature_with_a_context_is_not_one_without(ed448_key):
    theirs = ECC.import_key(ed448_key.material().pem.decode())
    signature = eddsa.new(theirs, "rfc8032", context=b"?").sign(b"message")
    assert not use(ed448_key, VERIFY, "EdDSA", b"message", signature=signature)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(length):
    with pytest.raises(InvalidInput, match=f"has 32 bytes, not {length}"):
        CURVE25519.from_parts(PrivateParts(data=bytes(length)))


@pytest.mark.parametrize("length", [0, 32, 56, 58, 114])
def test_a_seed_of_ed448_has_57_bytes(length):
    with pytest.raises(InvalidInput, match=f"has 57 bytes, not {length}"):
        ED448.from_parts(PrivateParts(data=bytes(length)))
