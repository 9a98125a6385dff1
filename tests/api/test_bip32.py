"""BIP32 keys: mnemonics, derived keys that sign, and what is shown of them."""

import hashlib
from base64 import b64decode
from typing import Any
from urllib.parse import quote

import pytest
from Crypto.Hash import RIPEMD160, keccak
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slip10 import SLIP10
from slip10.base58 import b58encode_check

from tests.algorithms.reference_curves import CURVES
from tests.support.core import ADMIN, Answer, Core, Credentials, b64

CURVE = CURVES["EC_P256K1"]
ABANDON = " ".join(["abandon"] * 11) + " about"
JUNK = " ".join(["test"] * 11) + " junk"
ETHEREUM = "m/44'/60'/0'/0/0"
DIGEST = hashlib.sha256(b"a transaction").digest()
MECHANISMS = ["ECDSA_Signature", "BIP340_Signature"]


@pytest.fixture(scope="module", autouse=True)
def keys(runner, core: Core) -> None:
    for name, mnemonic in (("abandon", ABANDON), ("junk", JUNK)):
        assert runner.run(put(core, name, mnemonic=mnemonic)).status == 204
    runner.run(core.generate("signs", "EC_P256K1", *MECHANISMS))


async def put(core: Core, key_id: str, key_type: str = "BIP32", **private: str) -> Answer:
    wanted = {"type": key_type, "mechanisms": MECHANISMS, "private": private}
    return await core.request("PUT", f"/keys/{key_id}", user=ADMIN, json=wanted)


async def get(core: Core, path: str, derivation: str | None = None) -> Answer:
    query = "" if derivation is None else f"?derivation={quote(derivation, safe='')}"
    return await core.request("GET", f"/keys/{path}{query}", user=ADMIN)


@pytest.fixture
def use(core: Core, operator: Credentials):
    async def use(key_id: str, how: str, **wanted: Any) -> Answer:
        return await core.request("POST", f"/keys/{key_id}/{how}", user=operator, json=wanted)

    return use


def point_of(answer: Answer) -> bytes:
    return b64decode(answer.json()["public"]["data"], validate=True)


def compressed(point: bytes) -> bytes:
    return bytes([2 + point[-1] % 2]) + point[1:33]


def ethereum_address(point: bytes) -> str:
    """Return the address of EIP-55 in lower case: the end of Keccak-256 of the point."""
    return "0x" + keccak.new(data=point[1:], digest_bits=256).hexdigest()[-40:]


def bitcoin_address(point: bytes) -> str:
    """Return the P2PKH address: Base58Check of RIPEMD-160 of SHA-256 of the compressed point."""
    digest = RIPEMD160.new(hashlib.sha256(compressed(point)).digest()).digest()
    return b58encode_check(b"\0" + digest).decode()


async def test_a_mnemonic_gives_the_addresses_that_wallets_publish(core: Core) -> None:
    # The first account of Hardhat's and Foundry's documentation.
    account = point_of(await get(core, "junk", ETHEREUM))
    assert ethereum_address(account) == "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    # BIP-44's first address of the mnemonic that BIP-84 and BIP-86 use too.
    spending = point_of(await get(core, "abandon", "m/44'/0'/0'/0/0"))
    assert bitcoin_address(spending) == "1LqBGSKuX5yYUonjxT5qGfpUsXKYYWeabA"
    segwit = point_of(await get(core, "abandon", "m/84'/0'/0'/0/0"))
    assert compressed(segwit).hex() == (
        "0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c"
    )
    taproot = point_of(await get(core, "abandon", "m/86'/0'/0'/0/0"))
    assert taproot[1:33].hex() == "cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115"


async def test_another_wallet_has_the_same_keys_of_the_mnemonic(core: Core) -> None:
    seed = hashlib.pbkdf2_hmac("sha512", JUNK.encode(), b"mnemonic", 2048)
    wallet = SLIP10.from_seed(seed)
    for path in ("m", ETHEREUM, "m/0/1/2'", "m/2147483647'/0"):
        expected = wallet.get_pubkey_from_path(path)
        assert compressed(point_of(await get(core, "junk", path))) == expected


async def test_what_is_shown_is_public_and_without_a_chain_code(core: Core) -> None:
    shown = (await get(core, "junk")).json()
    assert set(shown) == {"type", "mechanisms", "restrictions", "operations", "public"}
    assert set(shown["public"]) == {"data"}
    child = (await get(core, "junk", ETHEREUM)).json()
    assert child == {**shown, "public": child["public"]}
    assert child["public"] != shown["public"]
    assert (await get(core, "junk", "m")).json() == shown


async def test_a_derived_key_has_its_own_pem_and_entity_tag(core: Core) -> None:
    answers = [await get(core, "junk/public.pem", path) for path in (None, ETHEREUM)]
    assert len({answer.headers["ETag"] for answer in answers}) == 2
    x, y = CURVE.decode(point_of(await get(core, "junk", ETHEREUM))) or (0, 0)
    numbers = load_pem_public_key(answers[1].body).public_numbers()
    assert (numbers.x, numbers.y) == (x, y)


@pytest.mark.parametrize("derivation", [None, "m", ETHEREUM])
async def test_a_derived_key_signs_and_verifies(core: Core, use, derivation: str | None) -> None:
    more = {} if derivation is None else {"derivation": derivation}
    point = CURVE.decode(point_of(await get(core, "junk", derivation)))
    before = (await get(core, "junk")).json()["operations"]
    for mode in ("ECDSA", "BIP340"):
        wanted = {"mode": mode, "message": b64(DIGEST), **more}
        answer = await use("junk", "sign", **wanted)
        assert answer.status == 200, answer
        signature = b64decode(answer.json()["signature"])
        if mode == "ECDSA":
            assert CURVE.ecdsa_holds(point, DIGEST, *decode_dss_signature(signature))
        else:
            assert CURVE.bip340_holds(point[0], DIGEST, signature)
        for other in (wanted, {**wanted, "derivation": "m/1"}):
            found = await use("junk", "verify", **other, signature=b64(signature))
            assert found.json() == {"valid": other is wanted}
    assert (await get(core, "junk")).json()["operations"] == before + 6


@pytest.mark.parametrize("derivation", ["", "m/", "m/x", "0/1", "m" + "/0" * 11, "m/2147483648"])
async def test_what_is_no_derivation_is_400_and_not_counted(
    core: Core, use, derivation: str
) -> None:
    before = (await get(core, "junk")).json()
    wanted = {"mode": "ECDSA", "message": b64(DIGEST), "derivation": derivation}
    answers = [
        await use("junk", "sign", **wanted),
        await use("junk", "verify", **wanted, signature=""),
        await get(core, "junk", derivation),
        await get(core, "junk/public.pem", derivation),
    ]
    assert [answer.status for answer in answers] == [400] * 4
    assert all("derivation" in answer.message for answer in answers)
    assert (await get(core, "junk")).json() == before


async def test_keys_of_other_types_have_no_derivation(core: Core, use) -> None:
    wanted = {"mode": "ECDSA", "message": b64(DIGEST), "derivation": "m"}
    assert (await use("signs", "sign", **wanted)).message == (
        "ECDSA does not take the field derivation to sign."
    )
    for path in ("signs", "signs/public.pem"):
        answer = await get(core, path, "m")
        assert (answer.status, answer.message) == (400, "EC_P256K1 keys have no derivation.")


@pytest.mark.parametrize(
    ("private", "message"),
    [
        ({"mnemonic": ABANDON.replace("about", "abandon")}, "its checksum is wrong"),
        ({"mnemonic": "not a mnemonic"}, "12, 15, 18, 21 or 24 words"),
        ({"mnemonic": ABANDON, "data": b64(bytes(32))}, "not of both"),
        ({"data": b64(bytes(32)), "mnemonicPassphrase": "x"}, "belongs to a mnemonic"),
        ({"data": b64(bytes(15))}, "16 to 64 bytes, not 15"),
        ({"data": b64(bytes(65))}, "16 to 64 bytes, not 65"),
        ({}, "need the field data or mnemonic"),
    ],
)
async def test_what_makes_no_key_is_refused_without_being_repeated(
    core: Core, private: dict[str, str], message: str
) -> None:
    answer = await put(core, "wrong", **private)
    assert (answer.status, message in answer.message) == (400, True), answer.message
    assert "abandon" not in answer.message
    assert (await get(core, "wrong")).status == 404


async def test_keys_of_other_types_are_not_made_of_a_mnemonic(core: Core) -> None:
    answer = await put(core, "wrong", "EC_P256K1", mnemonic=ABANDON, data=b64(b"\1" * 32))
    assert answer.message == "EC_P256K1 keys are not made of a mnemonic."


async def test_a_passphrase_makes_another_key(core: Core) -> None:
    assert (await put(core, "hidden", mnemonic=ABANDON, mnemonicPassphrase="TREZOR")).status == 204
    assert point_of(await get(core, "hidden")) != point_of(await get(core, "abandon"))


def test_no_generated_derivation_breaks_anything(core: Core, runner, use) -> None:
    steps = st.text(st.sampled_from("m/0123456789'hH%&?*\u0661 "), max_size=40)

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(derivation=steps | st.text(max_size=20) | st.integers() | st.none())
    def sent(derivation: Any) -> None:
        wanted = {"mode": "BIP340", "message": b64(DIGEST), "derivation": derivation}
        assert runner.run(use("junk", "sign", **wanted)).status in {200, 400}
        path = str(derivation).encode(errors="replace").decode()
        assert runner.run(get(core, "junk", path)).status in {200, 400}

    sent()
