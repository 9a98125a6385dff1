"""AES: CBC by NIST's CAVP, GCM by Wycheproof."""

import pytest

from tests.vectors.bench import Bench
from tests.vectors.conftest import Cases
from tests.vectors.published import ROOT, Case, Group, cavp, wycheproof

MONTE_CARLO = "Monte Carlo: a thousand rounds with the IV of the round before"
OTHER_SIZE = "the IV has other than 12 bytes, or the tag other than 16"

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
