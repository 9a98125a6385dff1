"""The public half of a stored key, found without parsing it: the same as of the parsed key."""

import binascii

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keystead import algorithms
from keystead.algorithms import ShownPublic, stored_point

ON_A_CURVE = (
    *("EC_P256", "EC_P384", "EC_P521", "EC_P256K1"),
    *("BrainpoolP256", "BrainpoolP384", "BrainpoolP512"),
)
BEGIN, END = b"-----BEGIN PRIVATE KEY-----\n", b"-----END PRIVATE KEY-----\n"
SCALAR_AT, SCALAR_BYTES, POINT_BYTES = 36, 32, 65
"""Where the bytes of a P-256 key differ from another's."""


def stored(key: algorithms.PrivateKey) -> bytes:
    return key.material().pem or b""


def p256() -> bytes:
    """Return the PKCS #8 of a new key on P-256."""
    pem = stored(algorithms.BY_NAME["EC_P256"].generate(None))
    return binascii.a2b_base64(pem.removeprefix(BEGIN).removesuffix(END))


def pem_of(der: bytes) -> bytes:
    return BEGIN + binascii.b2a_base64(der) + END


@pytest.mark.parametrize("name", ON_A_CURVE)
def test_the_point_and_the_pem_are_those_of_the_parsed_key(name: str):
    for _ in range(5):
        key = algorithms.BY_NAME[name].generate(None)
        assert stored_point(stored(key)) == ShownPublic(name, key.public(), key.public_pem())


@pytest.mark.parametrize("name", sorted(set(algorithms.BY_NAME) - set(ON_A_CURVE)))
def test_other_types_have_to_be_parsed(name: str):
    key = algorithms.BY_NAME[name].generate({"RSA": 1024, "Generic": 256}.get(name))
    assert stored_point(stored(key)) is None


def test_a_key_with_other_bytes_around_scalar_and_point_has_to_be_parsed():
    der = p256()
    assert stored_point(pem_of(der)) is not None
    scalar_end, point_at = SCALAR_AT + SCALAR_BYTES, len(der) - POINT_BYTES
    for at in (*range(SCALAR_AT), *range(scalar_end, point_at)):
        changed = bytearray(der)
        changed[at] ^= 1
        assert stored_point(pem_of(bytes(changed))) is None, at


def test_a_key_of_another_length_has_to_be_parsed():
    der = p256()
    for other in (b"", der[:-1], der + b"\0", der[1:]):
        assert stored_point(pem_of(other)) is None


@pytest.mark.parametrize(
    "pem",
    [b"", BEGIN + END, BEGIN + b"M\n" + END, BEGIN + b"!" * 190 + b"\n" + END],
    ids=["nothing", "no content", "half a character", "not base64"],
)
def test_what_is_no_pem_has_to_be_parsed(pem: bytes):
    assert stored_point(pem) is None


def test_the_traditional_form_has_to_be_parsed():
    """A NetHSM's backup may hold another form than this software writes."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert stored_point(pem) is None
