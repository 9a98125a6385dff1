"""HMAC by RFC 4231."""

import pytest

from tests.algorithms.published_vectors import read
from tests.vectors.bench import Bench
from tests.vectors.conftest import Cases
from tests.vectors.published import cavp

SHORT_KEY = "the key is under 16 bytes"


@pytest.mark.parametrize("bits", [256, 384, 512])
async def test_hmac(bench: Bench, cases: Cases, bits: int) -> None:
    with cases("HMAC", "RFC 4231") as tally:
        for case in cavp(read(f"HMAC/rfc-4231-sha{bits}.txt").decode()):
            key_id = await bench.import_key("Generic", data=bytes.fromhex(case["Key"]))
            if key_id is None:
                tally.skip(SHORT_KEY)
                continue
            mode, message = f"HMAC_SHA{bits}", bytes.fromhex(case["Msg"])
            tag = await bench.result(key_id, "sign", mode, message=message)
            is_right = tag == bytes.fromhex(case["MD"])
            holds = is_right and await bench.is_valid(key_id, mode, message=message, signature=tag)
            tally.check(case, is_right=holds)
