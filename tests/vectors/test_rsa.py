"""RSA: signatures with PKCS #1 v1.5 and PSS, decryption with PKCS #1 v1.5 and OAEP."""

import pytest
from Crypto.Hash import SHA1, SHA3_224, SHA3_256, SHA3_384, SHA3_512, SHA224, SHA256, SHA384, SHA512
from Crypto.Util.asn1 import DerNull, DerObjectId, DerOctetString, DerSequence
from cryptography.hazmat.primitives.serialization import load_der_public_key

from keystead import algorithms
from keystead.model.keys import PrivateMaterial
from tests.vectors.bench import Bench, verifying_key
from tests.vectors.conftest import Cases
from tests.vectors.published import Case, Group, names, wycheproof
from tests.vectors.tally import Tally

HASHES = {
    "SHA-1": SHA1,
    "SHA-224": SHA224,
    "SHA-256": SHA256,
    "SHA-384": SHA384,
    "SHA-512": SHA512,
    "SHA3-224": SHA3_224,
    "SHA3-256": SHA3_256,
    "SHA3-384": SHA3_384,
    "SHA3-512": SHA3_512,
}
OTHER_PARAMETERS = "no mode has these parameters: hash, hash of MGF1, length of the salt or a label"
SHORT_KEY = "the key is under 1024 bits"


def new_hash(name: str, message: bytes = b""):
    if name.startswith("SHA-512/"):
        return SHA512.new(message, truncate=name.removeprefix("SHA-512/"))
    return HASHES[name].new(message)


def digest_info(name: str, message: bytes) -> bytes:
    """Return what a client sends to be signed (RFC 8017, 9.2)."""
    digest = new_hash(name, message)
    kind = DerSequence([DerObjectId(digest.oid), DerNull()])
    return DerSequence([kind, DerOctetString(digest.digest())]).encode()


def public_of(group: Group):
    # The files of the generated signatures call a PKCS #1 public key keyAsn, and this keyDer.
    return load_der_public_key(bytes.fromhex(group.get("publicKeyDer") or group["keyDer"]))


async def check_pkcs1(bench: Bench, key_id: str, group: Group, case: Case) -> bool:
    message = digest_info(group["sha"], bytes.fromhex(case["msg"]))
    signature = bytes.fromhex(case["sig"])
    found = await bench.is_valid(key_id, "PKCS1", message=message, signature=signature)
    return found == (case["result"] == "valid")


@pytest.mark.parametrize("name", names("rsa_signature_.*|rsa_pkcs1_.*_sig_gen"))
async def test_pkcs1_signatures(bench: Bench, cases: Cases, name: str) -> None:
    with cases("RSA PKCS1", "Wycheproof") as tally:
        for group, tests in wycheproof(name):
            key_id = bench.hold(verifying_key(public_of(group)))
            for case in tests:
                tally.check(case, is_right=await check_pkcs1(bench, key_id, group, case))


@pytest.mark.parametrize("name", names("rsa_pkcs1_.*_sig_gen"))
async def test_pkcs1_signatures_are_the_published_ones(
    bench: Bench, cases: Cases, name: str
) -> None:
    with cases("RSA PKCS1", "Wycheproof") as tally:
        for group, tests in wycheproof(name):
            key_id = bench.hold(private_of(group))
            for case in tests:
                message = digest_info(group["sha"], bytes.fromhex(case["msg"]))
                signature = await bench.result(key_id, "sign", "PKCS1", message=message)
                tally.check(case, is_right=signature == bytes.fromhex(case["sig"]))


def private_of(group: Group):
    # As from the store: the check of a key that is imported takes up to three seconds.
    return algorithms.load(PrivateMaterial(pem=group["privateKeyPem"].encode()))


def pss_mode(group: Group) -> str | None:
    """Return the mode with a group's parameters: one hash, and a salt as long as its digest."""
    if "SHA-512/" in group["sha"] or group["mgf"] != "MGF1" or group["mgfSha"] != group["sha"]:
        return None
    if group["sLen"] != new_hash(group["sha"]).digest_size:
        return None
    return f"PSS_{group['sha'].replace('-', '')}"


@pytest.mark.parametrize("name", names("rsa_pss_.*"))
async def test_pss_signatures(bench: Bench, cases: Cases, name: str) -> None:
    with cases("RSA PSS", "Wycheproof") as tally:
        for group, tests in wycheproof(name):
            mode = pss_mode(group)
            if mode is None:
                tally.skip(OTHER_PARAMETERS, len(tests))
                continue
            key_id = bench.hold(verifying_key(public_of(group)))
            for case in tests:
                digest = new_hash(group["sha"], bytes.fromhex(case["msg"])).digest()
                signature = bytes.fromhex(case["sig"])
                found = await bench.is_valid(key_id, mode, message=digest, signature=signature)
                tally.check(case, is_right=found == (case["result"] == "valid"))


async def check_decryption(bench: Bench, key_id: str, mode: str, case: Case) -> bool:
    found = await bench.result(key_id, "decrypt", mode, encrypted=bytes.fromhex(case["ct"]))
    if case["result"] == "invalid":
        # A wrong padding is refused, or rejected implicitly: any other plaintext.
        return found is None or (mode == "PKCS1" and found != bytes.fromhex(case["msg"] or "?"))
    return found == bytes.fromhex(case["msg"])


def oaep_mode(group: Group) -> str | None:
    if "SHA-512/" in group["sha"] or group["mgfSha"] != group["sha"]:
        return None
    return f"OAEP_{group['sha'].replace('-', '')}"


async def check_group(bench: Bench, mode: str, group: Group, tests: list[Case], tally: Tally):
    key_id = bench.hold(private_of(group))
    for case in tests:
        if case.get("label"):
            tally.skip(OTHER_PARAMETERS)
            continue
        tally.check(case, is_right=await check_decryption(bench, key_id, mode, case))


@pytest.mark.parametrize("name", names("rsa_oaep_.*"))
async def test_oaep_decryption(bench: Bench, cases: Cases, name: str) -> None:
    with cases("RSA OAEP", "Wycheproof") as tally:
        for group, tests in wycheproof(name):
            mode = oaep_mode(group)
            if mode is None or group["keySize"] < 1024:
                tally.skip(OTHER_PARAMETERS if mode is None else SHORT_KEY, len(tests))
            else:
                await check_group(bench, mode, group, tests, tally)


@pytest.mark.parametrize("name", names("rsa_pkcs1_[0-9]*"))
async def test_pkcs1_decryption(bench: Bench, cases: Cases, name: str) -> None:
    with cases("RSA PKCS1", "Wycheproof") as tally:
        for group, tests in wycheproof(name):
            await check_group(bench, "PKCS1", group, tests, tally)
