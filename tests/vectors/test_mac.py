"""HMAC by RFC 4231, CMAC by Wycheproof and SP 800-38B."""

import pytest

from tests.algorithms.published_vectors import read
from tests.vectors.bench import Bench
from tests.vectors.conftest import Cases
from tests.vectors.published import Case, cavp, wycheproof

SHORT_KEY = "the key is under 16 bytes"
SHORT_TAG = "the tag is cut off"
NO_AES_KEY = "the key has no length that AES has"


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


async def cmac_is_right(bench: Bench, key_id: str, case: Case) -> bool:
    message, tag = bytes.fromhex(case["msg"]), bytes.fromhex(case["tag"])
    made = await bench.result(key_id, "sign", "AES_CMAC", message=message)
    holds = await bench.is_valid(key_id, "AES_CMAC", message=message, signature=tag)
    return holds == (made == tag) == (case["result"] == "valid")


async def test_cmac(bench: Bench, cases: Cases) -> None:
    with cases("AES-CMAC", "Wycheproof") as tally:
        for group, tests in wycheproof("aes_cmac"):
            if group["tagSize"] != 128 or group["keySize"] not in {128, 192, 256}:
                tally.skip(SHORT_TAG if group["tagSize"] != 128 else NO_AES_KEY, len(tests))
                continue
            for case in tests:
                key_id = await bench.import_key("Generic", data=bytes.fromhex(case["key"]))
                tally.check(case, is_right=await cmac_is_right(bench, key_id, case))


@pytest.mark.parametrize("bits", [128, 192, 256])
async def test_nist_s_cmacs(bench: Bench, cases: Cases, bits: int) -> None:
    with cases("AES-CMAC", "SP 800-38B") as tally:
        for case in cavp(read(f"CMAC/nist-800-38b-aes{bits}.txt").decode()):
            key_id = await bench.import_key("Generic", data=bytes.fromhex(case["KEY"]))
            message = bytes.fromhex(case["MESSAGE"])
            tag = await bench.result(key_id, "sign", "AES_CMAC", message=message)
            tally.check(case, is_right=tag == bytes.fromhex(case["OUTPUT"]))
