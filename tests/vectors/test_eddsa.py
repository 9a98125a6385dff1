"""EdDSA: Wycheproof's signatures, and Ed448's of RFC 8032."""

from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.algorithms.published_vectors import read
from tests.vectors.bench import Bench, verifying_key
from tests.vectors.conftest import Cases
from tests.vectors.published import cavp, wycheproof

CONTEXT = "EdDSA signs with an empty context"


@pytest.mark.parametrize("name", ["ed25519", "ed448"])
async def test_signatures(bench: Bench, cases: Cases, name: str) -> None:
    with cases(name.capitalize(), "Wycheproof") as tally:
        for group, tests in wycheproof(name):
            public = load_der_public_key(bytes.fromhex(group["publicKeyDer"]))
            key_id = bench.hold(verifying_key(public))
            for case in tests:
                message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
                found = await bench.is_valid(key_id, "EdDSA", message=message, signature=signature)
                tally.check(case, is_right=found == (case["result"] == "valid"))


async def test_rfc_8032_s_signatures_of_ed448(bench: Bench, cases: Cases) -> None:
    with cases("Ed448", "RFC 8032") as tally:
        for case in cavp(read("asymmetric/Ed448/rfc8032.txt").decode()):
            if "CONTEXT" in case:
                tally.skip(CONTEXT)
                continue
            key_id = await bench.import_key("Ed448", data=bytes.fromhex(case["SECRET"]))
            public = (await bench.show(key_id))["public"]["data"]
            message = bytes.fromhex(case["MESSAGE"])
            signature = await bench.result(key_id, "sign", "EdDSA", message=message)
            expected = bytes.fromhex(case["PUBLIC"]), bytes.fromhex(case["SIGNATURE"])
            tally.check(case, is_right=(b64decode(public), signature) == expected)
