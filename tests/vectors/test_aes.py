"""AES: CBC by NIST's CAVP, GCM, KW and KWP by Wycheproof."""

import pytest

from tests.vectors.bench import Bench
from tests.vectors.conftest import Cases
from tests.vectors.published import ROOT, Case, Group, cavp, wycheproof

MONTE_CARLO = "Monte Carlo: a thousand rounds with the IV of the round before"
OTHER_SIZE = "the IV has other than 12 bytes, or the tag other than 16"

OUTSIDE = "the key to wrap is under 16 bytes"

CBC = sorted(ROOT.glob("Cipher/AES/CBC*.rsp"))


@pytest.mark.parametrize("path", CBC, ids=lambda path: path.stem)
async def test_cbc(bench: Bench, cases: Cases, path) -> None:
    with cases("AES-CBC", "CAVP") as tally:
        for case in cavp(path.read_text()):
            if "MCT" in path.name:
                tally.skip(MONTE_CARLO)
                continue
            key_id = await bench.import_key("Generic", data=bytes.fromhex(case["KEY"]))
            iv = bytes.fromhex(case["IV"])
            given = {"ENCRYPT": "PLAINTEXT", "DECRYPT": "CIPHERTEXT"}[case["section"]]
            expected = {"ENCRYPT": "CIPHERTEXT", "DECRYPT": "PLAINTEXT"}[case["section"]]
            field = {"ENCRYPT": "message", "DECRYPT": "encrypted"}[case["section"]]
            fields = {field: bytes.fromhex(case[given]), "iv": iv}
            found = await bench.result(key_id, case["section"].lower(), "AES_CBC", **fields)
            tally.check(case, is_right=found == bytes.fromhex(case[expected]))


def has_other_sizes(group: Group) -> bool:
    return (group["ivSize"], group["tagSize"]) != (96, 128)


async def gcm_is_right(bench: Bench, case: Case) -> bool:
    key_id = await bench.import_key("Generic", data=bytes.fromhex(case["key"]))
    fields = {name: bytes.fromhex(case[name]) for name in ("iv", "tag", "aad")}
    encrypted = bytes.fromhex(case["ct"])
    found = await bench.result(key_id, "decrypt", "AES_GCM", encrypted=encrypted, **fields)
    return found == (bytes.fromhex(case["msg"]) if case["result"] == "valid" else None)


async def test_gcm(bench: Bench, cases: Cases) -> None:
    with cases("AES-GCM", "Wycheproof") as tally:
        for group, tests in wycheproof("aes_gcm"):
            if has_other_sizes(group):
                tally.skip(OTHER_SIZE, len(tests))
                continue
            for case in tests:
                tally.check(case, is_right=await gcm_is_right(bench, case))


async def unwraps(bench: Bench, key_id: str, mode: str, case: Case) -> bool:
    found = await bench.result(key_id, "decrypt", mode, encrypted=bytes.fromhex(case["ct"]))
    return found == (None if case["result"] == "invalid" else bytes.fromhex(case["msg"]))


async def wraps(bench: Bench, key_id: str, mode: str, case: Case) -> bool:
    found = await bench.result(key_id, "encrypt", mode, message=bytes.fromhex(case["msg"]))
    return found == bytes.fromhex(case["ct"])


@pytest.mark.parametrize(("name", "mode"), [("aes_wrap", "AES_KW"), ("aes_kwp", "AES_KWP")])
async def test_key_wrap(bench: Bench, cases: Cases, name: str, mode: str) -> None:
    with cases(mode.replace("_", "-"), "Wycheproof") as tally:
        for _, tests in wycheproof(name):
            for case in tests:
                key_id = await bench.import_key("Generic", data=bytes.fromhex(case["key"]))
                tally.check(case, is_right=await unwraps(bench, key_id, mode, case))
                if case["result"] != "valid":
                    continue
                if len(case["msg"]) < 32:
                    tally.skip(OUTSIDE)
                else:
                    tally.check(case, is_right=await wraps(bench, key_id, mode, case))
