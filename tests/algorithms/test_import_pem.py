import base64
import contextlib

import pytest
from Crypto.Util.asn1 import DerObjectId, DerOctetString, DerSequence
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, x25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead import algorithms
from keystead.algorithms import PrivateParts
from keystead.errors import CorruptRecord, InvalidInput
from keystead.model.keys import PrivateMaterial
from tests.algorithms import published_vectors
from tests.algorithms.conftest import make_key
from tests.algorithms.published_vectors import OURS

FORMS = {
    "pkcs8": serialization.PrivateFormat.PKCS8,
    "traditional": serialization.PrivateFormat.TraditionalOpenSSL,
}


def pem_of(key, form=serialization.PrivateFormat.PKCS8, encryption=None) -> bytes:
    encryption = encryption or serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, encryption)


@pytest.mark.parametrize(
    ("type_name", "form"),
    [
        (name, form)
        for name in algorithms.BY_NAME
        for form in FORMS
        if name != "Generic" and (name, form) != ("Curve25519", "traditional")
    ],
)
def test_pkcs8_and_the_traditional_form_are_the_same_key(type_name, form):
    stored = make_key(type_name).material().pem or b""
    imported = algorithms.import_pem(pem_of(load_pem_private_key(stored, None), FORMS[form]))
    assert imported.algorithm is algorithms.BY_NAME[type_name]
    assert imported.material().pem == stored


@pytest.mark.parametrize(
    ("path", "type_name"),
    [
        ("asymmetric/PKCS8/unenc-rsa-pkcs8.pem", "RSA"),
        ("asymmetric/Traditional_OpenSSL_Serialization/testrsa.pem", "RSA"),
        ("asymmetric/PEM_Serialization/ec_private_key.pem", "EC_P256"),
        ("asymmetric/PKCS8/ecc_private_with_rfc5915_ext.pem", "EC_P256"),
        ("asymmetric/EC/secp256r1-explicit-seed.pem", "EC_P256"),
        ("asymmetric/Ed25519/ed25519-pkcs8.pem", "Curve25519"),
    ],
)
def test_files_of_other_makers_are_read(path, type_name):
    key = algorithms.import_pem(published_vectors.read(path))
    assert key.algorithm.name == type_name


def test_a_file_may_begin_with_the_parameters_of_its_curve():
    key = ec.generate_private_key(ec.SECP256R1())
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    pem = pem_of(key, FORMS["traditional"])
    assert algorithms.import_pem(parameters + pem).algorithm.name == "EC_P256"


@pytest.mark.parametrize(
    ("type_name", "curve_oid"),
    [("EC_P256", "1.2.840.10045.3.1.7"), ("EC_P256K1", "1.3.132.0.10")],
)
def test_a_file_may_leave_out_the_public_half(type_name, curve_oid):
    """RFC 5915 makes it optional."""
    scalar = bytes(31) + b"\x07"
    algorithm = DerSequence([DerObjectId("1.2.840.10045.2.1"), DerObjectId(curve_oid)])
    private = DerSequence([1, DerOctetString(scalar)])
    der = DerSequence([0, algorithm, DerOctetString(private.encode())]).encode()
    pem = armoured(der, b"PRIVATE KEY")
    expected = algorithms.BY_NAME[type_name].from_parts(PrivateParts(data=scalar))
    assert algorithms.import_pem(pem).public() == expected.public()
    assert algorithms.load(PrivateMaterial(pem=pem)).public() == expected.public()


def armoured(der: bytes, label: bytes) -> bytes:
    """Return PEM (RFC 7468)."""
    return b"\n".join(
        [
            b"-----BEGIN %b-----" % label,
            base64.encodebytes(der).strip(),
            b"-----END %b-----" % label,
        ]
    )


ENCRYPTED = "encrypted"
NO_KEY = "no valid private key"
UNSUPPORTED = "not supported"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("asymmetric/PKCS8/enc-rsa-pkcs8.pem", ENCRYPTED),
        ("asymmetric/PEM_Serialization/ec_private_key_encrypted.pem", ENCRYPTED),
        ("asymmetric/Traditional_OpenSSL_Serialization/key1.pem", ENCRYPTED),
        ("asymmetric/PEM_Serialization/rsa_public_key.pem", NO_KEY),
        ("asymmetric/PEM_Serialization/ec_public_key.pem", NO_KEY),
        ("asymmetric/Traditional_OpenSSL_Serialization/rsa-wrong-version.pem", NO_KEY),
        ("asymmetric/PKCS8/wrong-pem-delimiter-rsa.pem", NO_KEY),
        ("asymmetric/PKCS8/ec-inconsistent-curve.pem", NO_KEY),
        ("asymmetric/PKCS8/ec-inconsistent-curve2.pem", NO_KEY),
        ("asymmetric/PKCS8/ec-invalid-private-scalar.pem", NO_KEY),
        ("asymmetric/EC/ec-missing-curve.pem", NO_KEY),
        ("asymmetric/EC/secp128r1_private_key.pem", UNSUPPORTED),
        ("asymmetric/EC/explicit_parameters_private_key.pem", UNSUPPORTED),
        ("asymmetric/PEM_Serialization/rsa-bad-1025-q-is-2.pem", "not make a valid RSA key"),
    ],
)
def test_files_that_hold_no_key_for_us_are_refused(path, message):
    with pytest.raises(InvalidInput, match=message):
        algorithms.import_pem(published_vectors.read(path))


@pytest.mark.parametrize(
    "make",
    [
        lambda: dsa.generate_private_key(2048),
        ed448.Ed448PrivateKey.generate,
        x25519.X25519PrivateKey.generate,
        lambda: ec.generate_private_key(ec.SECP224R1()),
    ],
    ids=["DSA", "Ed448", "X25519", "P-224"],
)
def test_other_types_are_refused(make):
    with pytest.raises(InvalidInput, match=UNSUPPORTED):
        algorithms.import_pem(pem_of(make()))


def crafted(**changes: int) -> bytes:
    """Return a traditional RSA file of 1024 bits with some of its numbers changed."""
    vector = next(published_vectors.rsa("asymmetric/RSA/pkcs1v15sign-vectors.txt"))
    p, q, e = (int.from_bytes(n) for n in (vector.prime_p, vector.prime_q, vector.exponent))
    d = pow(e, -1, (p - 1) * (q - 1))
    fields = {"version": 0, "n": p * q, "e": e, "d": d, "p": p, "q": q}
    fields |= {"dmp1": d % (p - 1), "dmq1": d % (q - 1), "iqmp": pow(q, -1, p)}
    der = DerSequence((fields | changes).values()).encode()
    return armoured(der, b"RSA PRIVATE KEY")


@pytest.mark.parametrize(
    "changes",
    [
        {"d": 65539},
        {"e": 65539},
        {"e": 4},
        {"dmp1": 4711},
        {"iqmp": 4711},
        {"p": (1 << 512) + 1},
        {"n": (1 << 1023) + 1},
        {"q": 0},
        {"p": -1},
        {"d": 0},
    ],
    ids=str,
)
def test_an_rsa_key_whose_numbers_do_not_fit_together_is_refused(changes):
    algorithms.import_pem(crafted())
    with pytest.raises(InvalidInput):
        algorithms.import_pem(crafted(**changes))


@pytest.mark.parametrize("bits", [1016, 8200, 100_000])
def test_an_rsa_key_out_of_range_is_refused_before_it_costs_anything(bits):
    with pytest.raises(InvalidInput, match=f"1024 to 8192 bits, not {bits}"):
        algorithms.import_pem(crafted(n=(1 << (bits - 1)) + 1))


@settings(max_examples=50, deadline=None)
@given(position=st.integers(0, 1800), replacement=st.binary(max_size=4))
def test_a_damaged_file_is_refused_or_still_a_key(position, replacement):
    stored = (OURS / "keys" / "rsa-2048.pem").read_bytes()
    damaged = stored[:position] + replacement + stored[position + len(replacement) :]
    with contextlib.suppress(InvalidInput):
        algorithms.import_pem(damaged).validate()


@given(noise=st.binary(max_size=200))
def test_noise_is_refused(noise):
    with pytest.raises(InvalidInput):
        algorithms.import_pem(noise)
    with pytest.raises(InvalidInput):
        algorithms.import_pem(armoured(noise, b"PRIVATE KEY"))


@pytest.mark.parametrize("pem", [None, b"", b"noise"])
def test_a_stored_key_that_does_not_parse_is_a_corrupt_record(pem):
    with pytest.raises(CorruptRecord):
        algorithms.load(PrivateMaterial(pem=pem))
