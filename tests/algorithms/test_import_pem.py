import base64
import contextlib

import pytest
from Crypto.Util.asn1 import DerBitString, DerObjectId, DerOctetString, DerSequence
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead import algorithms
from keystead.algorithms import PrivateParts
from keystead.algorithms._curve_parameters import curve_of
from keystead.errors import CorruptRecord, InvalidInput
from keystead.model.keys import PrivateMaterial
from tests.algorithms import published_vectors
from tests.algorithms.conftest import make_key
from tests.algorithms.published_vectors import OURS

FORMS = {
    "pkcs8": serialization.PrivateFormat.PKCS8,
    "traditional": serialization.PrivateFormat.TraditionalOpenSSL,
}
TRADITIONAL = ("RSA", "EC_", "Brainpool")
"""Types whose keys have a form of their own beside PKCS #8."""


def pem_of(key, form=serialization.PrivateFormat.PKCS8, encryption=None) -> bytes:
    encryption = encryption or serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, encryption)


@pytest.mark.parametrize(
    ("type_name", "form"),
    [
        (name, form)
        for name in algorithms.BY_NAME
        for form in FORMS
        if name not in {"Generic", "BIP32"} and (form == "pkcs8" or name.startswith(TRADITIONAL))
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
        ("asymmetric/Ed448/ed448-pkcs8.pem", "Ed448"),
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
        (
            "asymmetric/PEM_Serialization/rsa_public_key.pem",
            "no private key, only",
        ),
        (
            "asymmetric/PEM_Serialization/ec_public_key.pem",
            "no private key, only",
        ),
        ("asymmetric/Traditional_OpenSSL_Serialization/rsa-wrong-version.pem", NO_KEY),
        ("asymmetric/PKCS8/wrong-pem-delimiter-rsa.pem", "its contents are a PRIVATE KEY"),
        ("asymmetric/PKCS8/ec-inconsistent-curve.pem", "two different curves"),
        ("asymmetric/PKCS8/ec-inconsistent-curve2.pem", "two different curves"),
        ("asymmetric/PKCS8/ec-invalid-private-scalar.pem", "not between 1 and the order"),
        ("asymmetric/EC/ec-missing-curve.pem", "does not name its curve"),
        ("asymmetric/EC/secp128r1_private_key.pem", UNSUPPORTED),
        ("asymmetric/EC/explicit_parameters_private_key.pem", "not those of a named curve"),
        ("asymmetric/PEM_Serialization/rsa-bad-1025-q-is-2.pem", "half the bits of its modulus"),
    ],
)
def test_files_that_hold_no_key_for_us_are_refused_with_the_reason(path, message):
    with pytest.raises(InvalidInput, match=message):
        algorithms.import_pem(published_vectors.read(path))


@pytest.mark.parametrize(
    "make",
    [
        lambda: dsa.generate_private_key(2048),
        lambda: ec.generate_private_key(ec.SECP224R1()),
    ],
    ids=["DSA", "P-224"],
)
def test_other_types_are_refused(make):
    with pytest.raises(InvalidInput, match=UNSUPPORTED):
        algorithms.import_pem(pem_of(make()))


REPORTED = OURS / "keys" / "reported"


@pytest.mark.parametrize(
    ("name", "type_name"),
    [
        ("ec-p256-scalar-31-bytes-pkcs8.pem", "EC_P256"),
        ("ed25519-onasymmetrickey-v2.pem", "Curve25519"),
        ("ec-brainpoolP256r1-explicit-parameters.pem", "BrainpoolP256"),
    ],
)
def test_keys_that_other_tools_write_are_imported(name, type_name):
    key = algorithms.import_pem((REPORTED / name).read_bytes())
    assert key.algorithm.name == type_name
    assert algorithms.load(key.material()).public() == key.public()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ed25519-openssh-format.pem", "OpenSSH's format"),
        ("two-different-keys-in-one-file.pem", "several private keys"),
        ("rsa-three-primes.pem", "more than two primes"),
        ("rsa-pkcs8-under-rsa-label.pem", "The label of the PEM is RSA PRIVATE KEY"),
    ],
)
def test_each_unsuitable_file_gets_a_message_of_its_own(name, message):
    with pytest.raises(InvalidInput, match=message):
        algorithms.import_pem((REPORTED / name).read_bytes())


def test_a_file_of_another_kind_is_named():
    key = make_key("EC_P256")
    files = {
        "several": (key.material().pem or b"") * 2,
        "public key": key.public_pem(),
        "certificate": b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
        "DER": load_pem_private_key(key.material().pem or b"", None).private_bytes(
            serialization.Encoding.DER, FORMS["pkcs8"], serialization.NoEncryption()
        ),
        "encrypted": pem_of(
            load_pem_private_key(key.material().pem or b"", None),
            encryption=serialization.BestAvailableEncryption(b"passphrase"),
        ),
        "DSA": pem_of(dsa.generate_private_key(2048)),
        "no valid": b"no PEM at all",
    }
    for word, file in files.items():
        with pytest.raises(InvalidInput, match=word):
            algorithms.import_pem(file)


RFC_8410_WITH_PUBLIC_KEY = b"""-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
"""


def test_the_example_of_rfc_8410_with_attributes_and_public_key_is_imported():
    key = algorithms.import_pem(RFC_8410_WITH_PUBLIC_KEY)
    assert key.algorithm.name == "Curve25519"
    public = key.public()
    assert public is not None
    assert public.data == base64.b64decode("Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=")


def ec_file(scalar: bytes, *, public: bytes | None = None) -> bytes:
    """Return PKCS #8 of a key on P-256 with this scalar, as it is."""
    algorithm = DerSequence([DerObjectId("1.2.840.10045.2.1"), DerObjectId("1.2.840.10045.3.1.7")])
    fields = [1, DerOctetString(scalar)]
    if public is not None:
        fields.append(DerBitString(public, explicit=1))
    private = DerSequence(fields).encode()
    der = DerSequence([0, algorithm, DerOctetString(private)]).encode()
    return armoured(der, b"PRIVATE KEY")


@pytest.mark.parametrize("padding", [-31, 0, 1])
def test_a_scalar_may_lack_leading_zeros_or_have_one_too_many(padding):
    expected = algorithms.BY_NAME["EC_P256"].from_parts(PrivateParts(data=bytes(31) + b"\x07"))
    imported = algorithms.import_pem(ec_file((bytes(31 + padding)) + b"\x07"))
    assert imported.public() == expected.public()
    assert imported.material() == expected.material()


@pytest.mark.parametrize("scalar", [b"", bytes(32), b"\xff" * 32, bytes(33) + b"\x07"])
def test_a_scalar_is_between_1_and_the_order(scalar):
    with pytest.raises(InvalidInput, match="not between 1 and the order"):
        algorithms.import_pem(ec_file(scalar))


@pytest.mark.parametrize("form", ["uncompressed", "compressed", "hybrid"])
def test_a_public_key_in_the_file_belongs_to_the_private_one(form):
    own = points(ec.derive_private_key(7, ec.SECP256R1()).public_key())[form]
    other = points(ec.derive_private_key(8, ec.SECP256R1()).public_key())[form]
    assert algorithms.import_pem(ec_file(b"\x07", public=own)).algorithm.name == "EC_P256"
    for wrong in (other, bytes([own[0] ^ 1]) + own[1:]):
        with pytest.raises(InvalidInput, match="does not belong"):
            algorithms.import_pem(ec_file(b"\x07", public=wrong))


def points(public: ec.EllipticCurvePublicKey) -> dict[str, bytes]:
    """Return a point in the three forms of X9.62, 4.3.6."""
    numbers, size = public.public_numbers(), (public.curve.key_size + 7) // 8
    x, y, odd = numbers.x.to_bytes(size), numbers.y.to_bytes(size), numbers.y & 1
    return {
        "uncompressed": b"\4" + x + y,
        "compressed": bytes([2 + odd]) + x,
        "hybrid": bytes([6 + odd]) + x + y,
    }


def test_the_public_key_of_an_ed25519_file_belongs_to_the_private_one():
    pem = (REPORTED / "ed25519-onasymmetrickey-v2.pem").read_bytes()
    der = bytearray(base64.b64decode(b"".join(pem.splitlines()[1:-1])))
    der[-1] ^= 1
    with pytest.raises(InvalidInput, match="does not belong"):
        algorithms.import_pem(armoured(bytes(der), b"PRIVATE KEY"))


def with_public_key(pem: bytes, public: bytes) -> bytes:
    """Return a PKCS #8 file made version 2 (RFC 5958), with this public key beside the private."""
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    _, *fields = DerSequence().decode(der)
    outer = DerSequence([1, *fields, DerBitString(public, implicit=1)])
    return armoured(outer.encode(), b"PRIVATE KEY")


@pytest.mark.parametrize("type_name", ["RSA", "EC_P256", "Curve25519"])
def test_the_public_key_of_pkcs8_version_2_belongs_to_the_private_one(type_name):
    key = make_key(type_name)
    pem, own = key.material().pem or b"", bits_of(key)
    assert algorithms.import_pem(with_public_key(pem, own)).public() == key.public()
    with pytest.raises(InvalidInput, match="does not belong"):
        algorithms.import_pem(with_public_key(pem, own[:-1] + bytes([own[-1] ^ 1])))


def bits_of(key: algorithms.PrivateKey) -> bytes:
    """Return the public key as SubjectPublicKeyInfo has it."""
    public = serialization.load_pem_public_key(key.public_pem())
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return DerBitString().decode(DerSequence().decode(der)[1]).value


@pytest.mark.parametrize("type_name", ["RSA", "EC_P256", "Curve25519"])
def test_a_version_of_pkcs8_that_is_not_known_is_refused(type_name):
    key = make_key(type_name)
    der = base64.b64decode(b"".join((key.material().pem or b"").splitlines()[1:-1]))
    _, *fields = DerSequence().decode(der)
    with pytest.raises(InvalidInput):
        algorithms.import_pem(armoured(DerSequence([2, *fields]).encode(), b"PRIVATE KEY"))


def test_a_file_of_many_beginnings_is_refused_at_once():
    """Looking for the end of each in all that follows would take a quarter of an hour."""
    for block in (b"-----BEGIN A-----", b"-----BEGIN A-----\n-----END B-----\n"):
        with pytest.raises(InvalidInput, match=NO_KEY):
            algorithms.import_pem(block * (1_000_000 // len(block)))


@pytest.mark.parametrize("name", published_vectors.curves())
def test_the_curve_parameters_are_the_published_ones(name):
    numbers = published_vectors.curves()[name]
    base = b"\4" + bytes.fromhex(numbers["gx"]) + bytes.fromhex(numbers["gy"])
    values = {
        "prime": int(numbers["p"], 16),
        "a": int(numbers["a"], 16),
        "b": int(numbers["b"], 16),
        "order": int(numbers["n"], 16),
    }
    curve = curve_of(**values, base=base)
    assert curve is not None
    for form in points(ec.EllipticCurvePublicKey.from_encoded_point(curve, base)).values():
        assert curve_of(**values, base=form) == curve
    assert algorithms.BY_NAME[name].adopt(ec.generate_private_key(curve)) is not None
    for changed, value in values.items():
        assert curve_of(**(values | {changed: value + 1}), base=base) is None
    assert curve_of(**values, base=base[:-1] + bytes([base[-1] ^ 1])) is None


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
