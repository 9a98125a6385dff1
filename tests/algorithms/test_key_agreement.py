"""ECDH, X25519 and X448 by published vectors, and the public keys that they refuse."""

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead import algorithms
from keystead.algorithms import DERIVE, Kdf, PrivateKey, PrivateParts
from keystead.errors import InvalidInput
from tests.algorithms import published_vectors
from tests.algorithms.conftest import make_key
from tests.support.curves import MONTGOMERY, WEIERSTRASS
from tests.support.uses import use

ODD_PRIME = 2**255 - 19
SMALL_ORDER = {
    "X25519": [
        *(u.to_bytes(32, "little") for u in (0, 1, ODD_PRIME - 1, ODD_PRIME, ODD_PRIME + 1)),
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ],
    "X448": [u.to_bytes(56, "little") for u in (0, 1, 2**448 - 2**224 - 2, 2**448 - 2**224)],
}
"""Coordinates of points whose order divides the cofactor, reduced and not."""


def spki(key) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def key_of(type_name: str, data: bytes) -> PrivateKey:
    return algorithms.BY_NAME[type_name].from_parts(PrivateParts(data=data))


def secret(key: PrivateKey, public_key: bytes, **options: object) -> bytes:
    return use(key, DERIVE, "ECDH", public_key=public_key, **options)


@pytest.mark.parametrize("type_name", MONTGOMERY)
def test_the_vectors_of_rfc_7748_hold(type_name):
    tried = 0
    for block in published_vectors.text_blocks(f"asymmetric/{type_name}/rfc7748.txt"):
        scalar, u, result = (
            bytes.fromhex(block[name]) for name in ("input_scalar", "input_u", "output_u")
        )
        assert secret(key_of(type_name, scalar), u) == result
        tried += 1
    assert tried >= 2


def test_the_vectors_of_rfc_7027_hold_for_both_sides():
    tried = 0
    for block in published_vectors.text_blocks("asymmetric/ECDH/brainpool.txt"):
        type_name = block["curve"].replace("brainpool", "Brainpool").removesuffix("r1")
        size = len(block["x_z"]) // 2
        for own, other in (("a", "b"), ("b", "a")):
            key = key_of(type_name, bytes.fromhex(block[f"d{own}"].zfill(2 * size)))
            public = bytes.fromhex("04" + block[f"x_q{other}"] + block[f"y_q{other}"])
            assert secret(key, public) == bytes.fromhex(block["x_z"])
            tried += 1
    assert tried == 6


@pytest.mark.parametrize("type_name", WEIERSTRASS)
def test_both_sides_have_the_same_secret_whatever_the_form_of_the_public_key(type_name):
    key, curve = make_key(type_name), WEIERSTRASS[type_name]
    peer = ec.generate_private_key(curve)
    own = ec.EllipticCurvePublicKey.from_encoded_point(curve, key.public().data)
    expected = peer.exchange(ec.ECDH(), own)
    assert secret(key, point(peer.public_key())) == expected
    assert secret(key, spki(peer.public_key())) == expected


@pytest.mark.parametrize("type_name", MONTGOMERY)
def test_so_it_is_on_montgomery_curves(type_name):
    key, peer = make_key(type_name), MONTGOMERY[type_name].generate()
    own = load_pem_public_key(key.public_pem())
    assert secret(key, peer.public_key().public_bytes_raw()) == peer.exchange(own)
    assert secret(key, spki(peer.public_key())) == peer.exchange(own)


@pytest.mark.parametrize(
    ("type_name", "sent"),
    [(name, sent) for name, points in SMALL_ORDER.items() for sent in points],
    ids=str,
)
def test_a_point_of_small_order_is_refused(type_name, sent):
    with pytest.raises(InvalidInput, match="small order"):
        secret(make_key(type_name), sent)


@pytest.mark.parametrize("type_name", WEIERSTRASS)
def test_a_point_off_the_curve_or_at_infinity_is_refused(type_name):
    key = make_key(type_name)
    sound = point(ec.generate_private_key(WEIERSTRASS[type_name]).public_key())
    off = sound[:-1] + bytes([sound[-1] ^ 1])
    too_large = b"\4" + b"\xff" * (len(sound) - 1)
    for sent in (off, too_large, b"\4" + bytes(len(sound) - 1)):
        with pytest.raises(InvalidInput, match="not a point of the key's curve"):
            secret(key, sent)
    compressed = bytes([2 + sound[-1] % 2]) + sound[1 : (len(sound) + 1) // 2]
    for sent in (b"\0", b"", compressed, sound[:-1], sound + b"\0", b"\6" + sound[1:]):
        with pytest.raises(InvalidInput, match="neither a SubjectPublicKeyInfo"):
            secret(key, sent)


def test_a_point_off_the_curve_is_refused_in_a_public_key_info_too():
    sound = spki(ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(InvalidInput, match="neither a SubjectPublicKeyInfo"):
        secret(make_key("EC_P256"), sound[:-1] + bytes([sound[-1] ^ 1]))


@pytest.fixture(scope="module")
def public_keys() -> dict[str, bytes]:
    """One public key of each kind, as a SubjectPublicKeyInfo."""
    private = {
        **{name: ec.generate_private_key(curve) for name, curve in WEIERSTRASS.items()},
        **{name: kind.generate() for name, kind in MONTGOMERY.items()},
        "Curve25519": ed25519.Ed25519PrivateKey.generate(),
        "DSA": dsa.generate_private_key(2048),
    }
    return {name: spki(key.public_key()) for name, key in private.items()}


@pytest.mark.parametrize("type_name", [*WEIERSTRASS, *MONTGOMERY])
def test_a_public_key_of_another_curve_or_kind_is_refused(type_name, public_keys):
    key = make_key(type_name)
    for name in public_keys.keys() - {type_name}:
        with pytest.raises(InvalidInput, match=r"The publicKey is (on|one of|not one of|neither)"):
            secret(key, public_keys[name])


@pytest.mark.parametrize("type_name", ["EC_P256", "X25519"])
def test_what_is_no_public_key_is_refused_whatever_it_is(type_name):
    key = make_key(type_name)

    @settings(max_examples=150, deadline=None)
    @given(st.binary(max_size=200).filter(lambda sent: len(sent) != 32))
    def refused(sent):
        with pytest.raises(InvalidInput):
            secret(key, sent)

    refused()
    with pytest.raises(InvalidInput, match="neither a SubjectPublicKeyInfo"):
        secret(key, b"\x30" * 100_000)


# --- HKDF ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rfc-5869-HKDF-SHA256", "hkdf-generated"])
def test_the_vectors_of_hkdf_hold(name):
    tried = 0
    for block in published_vectors.text_blocks(f"KDF/{name}.txt"):
        key = key_of("Generic", bytes.fromhex(block["ikm"]))
        options = {part: bytes.fromhex(block[part]) for part in ("salt", "info")}
        derived = use(key, DERIVE, "HKDF_SHA256", length=int(block["l"]), **options)
        assert derived == bytes.fromhex(block["okm"])
        tried += 1
    assert tried


@pytest.mark.parametrize("hash_name", ["SHA256", "SHA384", "SHA512"])
def test_a_kdf_is_hkdf_of_the_secret_of_the_agreement(hash_name):
    key, peer = make_key("X25519"), x25519.X25519PrivateKey.generate()
    public = peer.public_key().public_bytes_raw()
    agreed = key_of("Generic", secret(key, public))
    for more in ({}, {"salt": b"a salt"}, {"salt": b"a salt", "info": b"what it is for"}):
        inside = secret(key, public, kdf=Kdf(hkdf=hash_name, length=48, **more))
        assert inside == use(agreed, DERIVE, f"HKDF_{hash_name}", length=48, **more)


@pytest.mark.parametrize(
    ("kdf", "message"),
    [
        (Kdf(hkdf="SHA1", length=32), "one of SHA256, SHA384, SHA512"),
        (Kdf(hkdf="SHA256", length=15), "derives 16 to 8160 bytes, not 15"),
        (Kdf(hkdf="SHA512", length=8161), "derives 16 to 8160 bytes, not 8161"),
        (Kdf(hkdf="SHA256", length=-1), "derives 16 to 8160 bytes, not -1"),
        (Kdf(hkdf="SHA256", length=16, salt=bytes(1025)), "salt has up to 1024 bytes, not 1025"),
        (Kdf(hkdf="SHA256", length=16, info=bytes(1025)), "info has up to 1024 bytes, not 1025"),
    ],
)
def test_a_kdf_out_of_range_is_refused(kdf, message):
    public = x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(InvalidInput, match=message):
        secret(make_key("X25519"), public, kdf=kdf)


def test_the_longest_kdf_is_derived():
    key = key_of("Generic", bytes(32))
    derived = use(key, DERIVE, "HKDF_SHA256", length=8160, salt=bytes(1024), info=bytes(1024))
    assert len(derived) == 8160
