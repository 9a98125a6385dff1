"""BIP-32 keys beside the SLIP-10 wallet's, which computes with OpenSSL and plain arithmetic."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slip10 import SLIP10

from keystead import algorithms
from keystead.algorithms import SIGN, VERIFY, PrivateKey, PrivateParts
from keystead.algorithms._libsecp256k1 import Signer
from keystead.errors import CorruptRecord, InvalidInput
from keystead.model.keys import PrivateMaterial
from tests.algorithms.reference_curves import CURVES
from tests.support.uses import use

ROW = algorithms.BY_NAME["BIP32"]
CURVE = CURVES["EC_P256K1"]
SEED = bytes(range(64))
MNEMONIC = " ".join(["abandon"] * 11) + " about"
ETHEREUM = "m/44'/60'/0'/0/0"
DIGEST = hashlib.sha256(b"a message").digest()


def of_seed(seed: bytes) -> PrivateKey:
    return ROW.from_parts(PrivateParts(data=seed))


def point(key: PrivateKey, derivation: str) -> bytes:
    return key.child(derivation).public().data


def their_point(seed: bytes, derivation: str) -> bytes:
    """Return the wallet's public key, compressed."""
    return SLIP10.from_seed(seed).get_pubkey_from_path(derivation)


def compressed(uncompressed: bytes) -> bytes:
    return bytes([2 + uncompressed[-1] % 2]) + uncompressed[1:33]


STEPS = st.tuples(st.sampled_from([0, 1, 7, 44, 2**31 - 1]), st.sampled_from(["", "'", "h", "H"]))


@settings(max_examples=40, deadline=None)
@given(seed=st.binary(min_size=16, max_size=64), steps=st.lists(STEPS, max_size=10))
def test_a_wallet_derives_the_same_keys(seed, steps):
    derivation = "/".join(["m", *(f"{number}{mark}" for number, mark in steps)])
    assert compressed(point(of_seed(seed), derivation)) == their_point(seed, derivation)


def test_the_master_is_the_key_without_a_derivation():
    key = of_seed(SEED)
    assert key.public() == key.child("m").public()
    assert key.public_pem() == key.child("m").public_pem()
    assert key.public_pem() != key.child("m/0").public_pem()


@pytest.mark.parametrize("mode", ["ECDSA", "BIP340"])
@pytest.mark.parametrize("derivation", ["m", ETHEREUM, "m/0/1/2/3/4/5/6/7/8/9"])
def test_a_signature_is_of_the_derived_key_and_of_no_other(mode, derivation):
    key = of_seed(SEED)
    signature = use(key, SIGN, mode, DIGEST, derivation=derivation)
    public = CURVE.decode(point(key, derivation))
    if mode == "BIP340":
        assert CURVE.bip340_holds(public[0], DIGEST, signature)
    assert use(key, VERIFY, mode, DIGEST, signature=signature, derivation=derivation)
    for other in ("m/0", "m/44'/60'/0'/0/1"):
        assert not use(key, VERIFY, mode, DIGEST, signature=signature, derivation=other)


def test_without_a_derivation_the_master_signs():
    key = of_seed(SEED)
    signature = use(key, SIGN, "ECDSA", DIGEST)
    assert use(key, VERIFY, "ECDSA", DIGEST, signature=signature, derivation="m")


@pytest.mark.parametrize(
    "derivation",
    [
        "",
        "/",
        "m/",
        "M/0",
        "0",
        "m//0",
        "m/0/",
        "m/-1",
        "m/+1",
        "m/01",
        "m/0''",
        "m/ 0",
        "m/0\n",
        "m/0x1",
        "m/\u0661",
        "m/2147483648",
        "m/99999999999",
        "m/1e3",
        "m/*",
        "m" * 10_000,
        "m/" + "9" * 100_000,
    ],
)
def test_what_is_no_path_is_refused(derivation):
    with pytest.raises(InvalidInput, match="The derivation is a path as"):
        use(of_seed(SEED), SIGN, "ECDSA", DIGEST, derivation=derivation)


def test_a_path_has_up_to_ten_steps():
    with pytest.raises(InvalidInput, match="more than 10 steps"):
        point(of_seed(SEED), "m" + "/0" * 11)


@pytest.mark.parametrize("length", [0, 15, 65])
def test_a_seed_has_16_to_64_bytes(length):
    with pytest.raises(InvalidInput, match=f"16 to 64 bytes, not {length}"):
        of_seed(bytes(length))


def test_a_generated_key_has_a_seed_of_64_bytes_and_is_another_each_time():
    made = {ROW.generate(None).material().raw for _ in range(3)}
    assert {len(raw) for raw in made} == {64}
    assert len(made) == 3


def test_a_mnemonic_is_kept_as_its_seed():
    key = ROW.from_parts(PrivateParts(mnemonic=MNEMONIC, mnemonic_passphrase="TREZOR"))
    seed = key.material().raw
    assert seed == hashlib.pbkdf2_hmac("sha512", MNEMONIC.encode(), b"mnemonicTREZOR", 2048)


def test_a_passphrase_is_normalized_and_may_be_missing():
    def seed(passphrase):
        parts = PrivateParts(mnemonic=MNEMONIC, mnemonic_passphrase=passphrase)
        return ROW.from_parts(parts).material().raw

    assert seed("\u00e9") == seed("e\u0301") != seed("e")
    assert seed(None) == seed("")


@pytest.mark.parametrize(
    "mnemonic",
    [
        "",
        "abandon",
        MNEMONIC.replace("about", "abandon"),
        MNEMONIC.upper(),
        MNEMONIC.replace(" ", "  "),
        MNEMONIC + " abandon",
        MNEMONIC.replace("about", "aboot"),
    ],
)
def test_a_mnemonic_that_is_not_one_is_refused(mnemonic):
    with pytest.raises(InvalidInput, match="The mnemonic is not 12, 15, 18, 21 or 24 words"):
        ROW.from_parts(PrivateParts(mnemonic=mnemonic))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "need the field data or mnemonic"),
        ({"data": SEED, "mnemonic": MNEMONIC}, "not of both"),
        ({"data": SEED, "mnemonic_passphrase": "x"}, "belongs to a mnemonic"),
        ({"mnemonic": MNEMONIC, "mnemonic_passphrase": "x" * 1001}, "up to 1000 characters"),
        ({"mnemonic": "abandon " * 1000}, "up to 1000 characters"),
    ],
)
def test_what_a_key_is_made_of_is_one_thing(parts, message):
    with pytest.raises(InvalidInput, match=message):
        ROW.from_parts(PrivateParts(**parts))


def test_another_type_is_not_made_of_a_mnemonic():
    for row in algorithms.ALL:
        if row is not ROW:
            with pytest.raises(InvalidInput, match=f"{row.name} keys are not made of a mnemonic"):
                algorithms.import_parts(row, PrivateParts(mnemonic=MNEMONIC))


def test_another_type_has_no_derivation():
    for name in ("EC_P256K1", "Generic", "X25519"):
        with pytest.raises(InvalidInput, match=f"{name} keys have no derivation"):
            algorithms.BY_NAME[name].generate(256).child("m")


def test_it_signs_no_certificate_request():
    with pytest.raises(InvalidInput, match="BIP32 keys cannot sign a certificate request"):
        of_seed(SEED).certificate_signer()


def test_raw_bytes_of_a_type_that_is_not_known_are_corrupt():
    with pytest.raises(CorruptRecord):
        algorithms.load(PrivateMaterial(raw=SEED, raw_type="BIP33"))


def test_derived_keys_are_wiped_whether_they_signed_or_not(monkeypatch):
    made = []
    plus = Signer.plus

    def watched(self, tweak):
        made.append(plus(self, tweak))
        return made[-1]

    monkeypatch.setattr(Signer, "plus", watched)
    key = of_seed(SEED)
    use(key, SIGN, "ECDSA", DIGEST, derivation="m/0'/1")
    point(key, "m/2")
    assert len(made) == 3
    for signer in made:
        kept = bytearray(32)
        signer.copy_to(memoryview(kept))
        assert kept == bytes(32)
    assert use(key, SIGN, "ECDSA", DIGEST)  # The master still works.


def test_a_tweak_with_no_key_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr("keystead.algorithms.bip32.hmac.digest", lambda *_: b"\xff" * 64)
    with pytest.raises(InvalidInput, match="no master key of this seed"):
        of_seed(SEED)
    monkeypatch.undo()
    key = of_seed(SEED)
    monkeypatch.setattr("keystead.algorithms.bip32.hmac.digest", lambda *_: b"\xff" * 64)
    with pytest.raises(InvalidInput, match="no key at this derivation"):
        point(key, "m/0")
