"""ML-KEM: Wycheproof's keys and ciphertexts, sound and not."""

from base64 import b64decode

import pytest

from tests.vectors.bench import Bench
from tests.vectors.conftest import Cases
from tests.vectors.published import Case, names, wycheproof

OTHER_SET = "there are no keys of ML-KEM-512"
RANDOMNESS = "the case gives the randomness of an encapsulation, which the HSM makes"
EXPANDED = "the key is in its expanded form"
ALGORITHM = "ML-KEM"


def skipped(name: str) -> str | None:
    """Return why the API cannot be asked the cases of a file, if so."""
    reasons = {"_512": OTHER_SET, "_encaps": RANDOMNESS, "_semi_expanded": EXPANDED}
    return next((reason for part, reason in reasons.items() if part in name), None)


async def is_right(bench: Bench, key_type: str, case: Case) -> bool:
    """Whether the public key and the secret are those of the case, or it is refused if invalid."""
    key_id = await bench.import_key(key_type, data=bytes.fromhex(case["seed"]))
    if key_id is None:
        return case["result"] == "invalid"
    shown = b64decode((await bench.show(key_id))["public"]["data"]).hex()
    if "c" not in case:
        return shown == case["ek"]
    secret = await bench.decapsulated(key_id, bytes.fromhex(case["c"]))
    if case["result"] == "invalid":
        return secret is None
    return (shown, secret) == (case.get("ek", shown), bytes.fromhex(case["K"]))


@pytest.mark.parametrize("name", names("mlkem_.*"))
async def test_decapsulation(bench: Bench, cases: Cases, name: str) -> None:
    with cases(ALGORITHM, "Wycheproof") as tally:
        for group, tests in wycheproof(name):
            if reason := skipped(name):
                tally.skip(reason, len(tests))
                continue
            key_type = group["parameterSet"].replace("-", "_")
            for case in tests:
                tally.check(case, is_right=await is_right(bench, key_type, case))
