"""BIP-32, BIP-39 and BIP-340 by the BIPs' own vectors."""

import json
from base64 import b64decode

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from slip10 import SLIP10

from tests.algorithms import published_vectors
from tests.algorithms.published_vectors import OURS
from tests.vectors.bench import Bench, verifying_key
from tests.vectors.conftest import Cases

NO_POINT = "the public key is no point of the curve: no key has it"
K1 = ec.SECP256K1()


def vectors(bip: str) -> list[dict[str, str]]:
    return json.loads((OURS / bip / "test-vectors.json").read_text())


def compressed(shown: dict) -> bytes:
    point = ec.EllipticCurvePublicKey.from_encoded_point(K1, b64decode(shown["public"]["data"]))
    return point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


async def test_bip32(bench: Bench, cases: Cases) -> None:
    with cases("BIP-32", "BIP") as tally:
        for case in vectors("bip-0032"):
            key_id = await bench.import_key("BIP32", data=bytes.fromhex(case["seed"]))
            found = compressed(await bench.show(key_id, case["derivation"]))
            expected = SLIP10.from_xpub(case["xpub"]).get_pubkey_from_path("m")
            tally.check(case, is_right=found == expected)


async def test_bip39(bench: Bench, cases: Cases) -> None:
    with cases("BIP-39", "BIP") as tally:
        for case in vectors("bip-0039"):
            private = {"mnemonic": case["mnemonic"], "mnemonicPassphrase": "TREZOR"}
            shown = await bench.show(await bench.import_key("BIP32", **private))
            of_seed = await bench.import_key("BIP32", data=bytes.fromhex(case["seed"]))
            tally.check(case, is_right=shown["public"] == (await bench.show(of_seed))["public"])


async def test_bip340(bench: Bench, cases: Cases) -> None:
    with cases("BIP-340", "BIP") as tally:
        for case in published_vectors.bip340():
            try:
                encoded = b"\2" + bytes.fromhex(case["public key"])
                point = ec.EllipticCurvePublicKey.from_encoded_point(K1, encoded)
            except ValueError:
                tally.skip(NO_POINT)
                continue
            found = await bench.is_valid(
                bench.hold(verifying_key(point)),
                "BIP340",
                message=bytes.fromhex(case["message"]),
                signature=bytes.fromhex(case["signature"]),
            )
            tally.check({}, is_right=found == (case["verification result"] == "TRUE"))
