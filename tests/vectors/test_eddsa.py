"""EdDSA: Wycheproof's signatures."""

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.vectors.bench import Bench, verifying_key
from tests.vectors.conftest import Cases
from tests.vectors.published import names, wycheproof


@pytest.mark.parametrize("name", names("ed25519"))
async def test_signatures(bench: Bench, cases: Cases, name: str) -> None:
    with cases("Ed25519", "Wycheproof") as tally:
        for group, tests in wycheproof(name):
            public = load_der_public_key(bytes.fromhex(group["publicKeyDer"]))
            key_id = bench.hold(verifying_key(public))
            for case in tests:
                message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
                found = await bench.is_valid(key_id, "EdDSA", message=message, signature=signature)
                tally.check(case, is_right=found == (case["result"] == "valid"))
