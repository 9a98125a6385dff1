import hashlib

import pytest
from Crypto.Hash import SHA256, SHA384, SHA512
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from keystead import algorithms
from keystead.algorithms import SIGN, PrivateKey, PrivateParts
from keystead.errors import InvalidInput
from tests.algorithms import published_vectors
from tests.algorithms.reference_curves import CURVES
from tests.support.uses import use

DIGEST_BYTES = {
    "EC_P256": 32,
    "EC_P384": 48,
    "EC_P521": 64,
    "EC_P256K1": 32,
    "BrainpoolP256": 32,
    "BrainpoolP384": 48,
    "BrainpoolP512": 64,
}
NIST = {
    "P-256,SHA-256": ("EC_P256", SHA256),
    "P-384,SHA-384": ("EC_P384", SHA384),
    "P-521,SHA-512": ("EC_P521", SHA512),
}


def key_of(type_name: str, scalar: int) -> PrivateKey:
    data = scalar.to_bytes(CURVES[type_name].size)
    return algorithms.BY_NAME[type_name].from_parts(PrivateParts(data=data))


def point(key: PrivateKey) -> bytes:
    public = key.public()
    assert public is not None
    assert public.data is not None
    return public.data


def test_the_published_nist_scalars_have_the_published_public_keys_and_sign():
    used = set()
    for section, block in published_vectors.nist_blocks("asymmetric/ECDSA/FIPS_186-3/SigGen.txt"):
        if section not in NIST:
            continue
        type_name, hash_module = NIST[section]
        key = key_of(type_name, int.from_bytes(block["d"]))
        size = CURVES[type_name].size
        x, y = (int.from_bytes(block[name]).to_bytes(size) for name in ("Qx", "Qy"))
        assert point(key) == b"\x04" + x + y
        digest = hash_module.new(block["Msg"])
        signature = use(key, SIGN, "ECDSA", digest.digest())
        DSS.new(ECC.import_key(key.public_pem()), "fips-186-3", "der").verify(digest, signature)
        used.add(section)
    assert used == set(NIST)


@pytest.mark.parametrize(("type_name", "pair"), published_vectors.brainpool_key_pairs().items())
def test_the_published_brainpool_scalars_have_the_published_public_keys(type_name, pair):
    key = key_of(type_name, int(pair["d"], 16))
    assert point(key) == bytes.fromhex("04" + pair["x"] + pair["y"])


@pytest.mark.parametrize("type_name", DIGEST_BYTES)
def test_plain_arithmetic_verifies_a_signature(type_name):
    curve = CURVES[type_name]
    key = algorithms.BY_NAME[type_name].generate(None)
    digest = hashlib.sha512(b"a message").digest()[: DIGEST_BYTES[type_name]]
    public = curve.decode(point(key))
    r, s = decode_dss_signature(use(key, SIGN, "ECDSA", digest))
    assert curve.ecdsa_holds(public, digest, r, s)
    assert not curve.ecdsa_holds(public, bytes(len(digest)), r, s)


@pytest.mark.parametrize("type_name", DIGEST_BYTES)
def test_a_digest_has_exactly_the_length_of_the_curve(type_name):
    key = algorithms.BY_NAME[type_name].generate(None)
    length = DIGEST_BYTES[type_name]
    for wrong in (0, 20, length - 1, length + 1, 66):
        with pytest.raises(InvalidInput, match=f"a digest of {length} bytes, not {wrong}"):
            use(key, SIGN, "ECDSA", bytes(wrong))


@pytest.mark.parametrize("type_name", DIGEST_BYTES)
def test_a_scalar_is_between_one_and_the_order(type_name):
    order = CURVES[type_name].n
    assert CURVES[type_name].decode(point(key_of(type_name, 1))) == CURVES[type_name].g
    use(key_of(type_name, order - 1), SIGN, "ECDSA", bytes(DIGEST_BYTES[type_name]))
    for wrong in (0, order, order + 1, (1 << 8 * CURVES[type_name].size) - 1):
        with pytest.raises(InvalidInput, match="between 1 and the order"):
            key_of(type_name, wrong)


@pytest.mark.parametrize("type_name", DIGEST_BYTES)
def test_a_scalar_may_lack_leading_zeros_or_have_one_too_many(type_name):
    size = CURVES[type_name].size
    expected = key_of(type_name, 7 << 8 * (size - 5))
    for length in (size - 4, size - 1, size, size + 1):
        scalar = (7 << 8 * (size - 5)).to_bytes(length)
        key = algorithms.BY_NAME[type_name].from_parts(PrivateParts(data=scalar))
        assert key.public() == expected.public()
        assert key.material() == expected.material()


@pytest.mark.parametrize("type_name", DIGEST_BYTES)
def test_a_scalar_of_a_shorter_or_longer_curve_is_refused(type_name):
    size = CURVES[type_name].size
    for wrong in (b"", b"\x01", b"\x01" * (size - 5), bytes(size + 1) + b"\x01"):
        with pytest.raises(InvalidInput, match=f"has {size} bytes, not {len(wrong)}"):
            algorithms.BY_NAME[type_name].from_parts(PrivateParts(data=wrong))


@pytest.mark.parametrize("type_name", DIGEST_BYTES)
def test_a_length_makes_no_difference_to_a_curve(type_name):
    key = algorithms.BY_NAME[type_name].generate(7)
    assert len(point(key)) == 1 + 2 * CURVES[type_name].size
