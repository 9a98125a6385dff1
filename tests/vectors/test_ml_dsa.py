"""ML-DSA: Wycheproof, and NIST's ACVP."""

from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PublicKey,
    MLDSA65PublicKey,
    MLDSA87PublicKey,
)

from tests.vectors.bench import Bench, verifying_key
from tests.vectors.conftest import Cases
from tests.vectors.published import Case, Group, acvp, names, wycheproof

PUBLIC = {"44": MLDSA44PublicKey, "65": MLDSA65PublicKey, "87": MLDSA87PublicKey}
EXPANDED = "the private key is in its expanded form, without its seed"
INTERNAL = "the internal interface, which signs a message without a context"
PRE_HASHED = "HashML-DSA, which no mode signs"
NO_PUBLIC_KEY = "the public key has another length"


def key_of(bits: str, public: str) -> str | None:
    try:
        return verifying_key(PUBLIC[bits].from_public_bytes(bytes.fromhex(public)))
    except ValueError:
        return None


def fields_of(case: Case, context: str = "ctx") -> dict[str, bytes]:
    names = {context: "context", "msg": "message", "message": "message"}
    return {names[name]: bytes.fromhex(case[name]) for name in names if name in case}


@pytest.mark.parametrize("name", names("mldsa_.*_verify"))
async def test_signatures(bench: Bench, cases: Cases, name: str) -> None:
    with cases("ML-DSA", "Wycheproof") as tally:
        for group, tests in wycheproof(name):
            key = key_of(name.split("_")[1], group["publicKey"])
            if key is None:
                tally.skip(NO_PUBLIC_KEY, len(tests))
                continue
            key_id = bench.hold(key)
            for case in tests:
                signature = bytes.fromhex(case["sig"])
                found = await bench.is_valid(
                    key_id, "ML_DSA", signature=signature, **fields_of(case)
                )
                tally.check(case, is_right=found == (case["result"] == "valid"))


async def signs(bench: Bench, key_id: str, case: Case) -> bool:
    """Return whether the published signature is valid, and one made here as long as that."""
    fields = fields_of(case)
    made = await bench.result(key_id, "sign", "ML_DSA", **fields)
    if case["result"] == "invalid":
        return made is None
    expected = bytes.fromhex(case["sig"])
    ours = made is not None and await bench.is_valid(key_id, "ML_DSA", signature=made, **fields)
    theirs = await bench.is_valid(key_id, "ML_DSA", signature=expected, **fields)
    return ours and theirs


async def signs_mu(bench: Bench, key_id: str, case: Case) -> bool:
    mu, signature = bytes.fromhex(case["mu"]), bytes.fromhex(case["sig"])
    made = await bench.result(key_id, "sign", "ML_DSA_MU", message=mu)
    ours = await bench.is_valid(key_id, "ML_DSA_MU", message=mu, signature=made or b"")
    return ours and await bench.is_valid(key_id, "ML_DSA_MU", message=mu, signature=signature)


@pytest.mark.parametrize("name", names("mldsa_.*_sign_seed"))
async def test_seeds(bench: Bench, cases: Cases, name: str) -> None:
    key_type = f"ML_DSA_{name.split('_')[1]}"
    with cases("ML-DSA", "Wycheproof") as tally:
        for group, tests in wycheproof(name):
            key_id = await bench.import_key(key_type, data=bytes.fromhex(group["privateSeed"]))
            for case in tests:
                if key_id is None:
                    tally.check(case, is_right=case["result"] == "invalid")
                    continue
                if "msg" in case:
                    tally.check(case, is_right=await signs(bench, key_id, case))
                if "mu" in case:
                    tally.check(case, is_right=await signs_mu(bench, key_id, case))


@pytest.mark.parametrize("name", names("mldsa_.*_sign_noseed"))
async def test_expanded_keys(cases: Cases, name: str) -> None:
    with cases("ML-DSA", "Wycheproof") as tally:
        for _, tests in wycheproof(name):
            tally.skip(EXPANDED, len(tests))


async def test_acvp_s_keys(bench: Bench, cases: Cases) -> None:
    with cases("ML-DSA", "ACVP") as tally:
        for group, tests in acvp("PublicKey/MLDSA/ML-DSA-keyGen-FIPS204.json"):
            for case in tests:
                key_type = group["parameterSet"].replace("-", "_")
                key_id = await bench.import_key(key_type, data=bytes.fromhex(case["seed"]))
                shown = b64decode((await bench.show(key_id))["public"]["data"])
                tally.check(case, is_right=shown == bytes.fromhex(case["pk"]))


def mode_of(group: Group) -> str | None:
    if group["signatureInterface"] == "external":
        return "ML_DSA"
    return "ML_DSA_MU" if group["externalMu"] else None


@pytest.mark.parametrize("what", ["sigVer", "sigGen"])
async def test_acvp_s_signatures(bench: Bench, cases: Cases, what: str) -> None:
    with cases("ML-DSA", "ACVP") as tally:
        for group, tests in acvp(f"PublicKey/MLDSA/ML-DSA-{what}-FIPS204.json"):
            mode = mode_of(group)
            if mode is None:
                tally.skip(INTERNAL, len(tests))
                continue
            for case in tests:
                key = key_of(group["parameterSet"][-2:], case["pk"])
                fields = fields_of(case, "context")
                if mode == "ML_DSA_MU":
                    fields = {"message": bytes.fromhex(case["mu"])}
                signature = bytes.fromhex(case["signature"])
                found = await bench.is_valid(bench.hold(key), mode, signature=signature, **fields)
                tally.check(case, is_right=found == case.get("testPassed", True))


@pytest.mark.parametrize("what", ["sigVer", "sigGen"])
async def test_acvp_s_hashed_signatures(cases: Cases, what: str) -> None:
    with cases("ML-DSA", "ACVP") as tally:
        for _, tests in acvp(f"PublicKey/MLDSA/ML-DSA-{what}-FIPS204-preHash.json"):
            tally.skip(PRE_HASHED, len(tests))
