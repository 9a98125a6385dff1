"""HKDF by Wycheproof, which has the cases of RFC 5869."""

import pytest

from tests.vectors.bench import Bench
from tests.vectors.conftest import Cases
from tests.vectors.published import names, wycheproof

OTHER_HASH = "there is no mode with SHA-1"
SHORT_KEY = "the key is under 16 bytes"
SHORT_RESULT = "under 16 bytes are asked for"
LONG_RESULT = "over 8160 bytes are asked for, which RFC 5869 allows this hash"


@pytest.mark.parametrize("name", names("hkdf_.*"))
async def test_hkdf(bench: Bench, cases: Cases, name: str) -> None:
    mode = name.upper()
    with cases("HKDF", "Wycheproof") as tally:
        for _group, tests in wycheproof(name):
            for case in tests:
                data, size = bytes.fromhex(case["ikm"]), case["size"]
                if reason := skipped(mode, data, size, is_valid=case["result"] == "valid"):
                    tally.skip(reason)
                    continue
                key_id = await bench.import_key("Generic", data=data)
                fields = {part: bytes.fromhex(case[part]) for part in ("salt", "info")}
                found = await bench.result(key_id, "derive", mode, length=size, **fields)
                expected = bytes.fromhex(case["okm"]) if case["result"] == "valid" else None
                tally.check(case, is_right=found == expected)


def skipped(mode: str, data: bytes, size: int, *, is_valid: bool) -> str | None:
    """Return why the API cannot be asked a case, if so."""
    reasons = {
        OTHER_HASH: mode == "HKDF_SHA1",
        SHORT_KEY: len(data) < 16,
        SHORT_RESULT: size < 16,
        LONG_RESULT: is_valid and size > 8160,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)
