"""ECDSA: Wycheproof's signatures, which only verification can be asked about."""

import hashlib

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.support.verification import DIGEST_BYTES
from tests.vectors.bench import Bench, verifying_key
from tests.vectors.conftest import Cases
from tests.vectors.published import names, wycheproof

HASHES = {
    "SHA-224": "sha224",
    "SHA-256": "sha256",
    "SHA-384": "sha384",
    "SHA-512": "sha512",
    "SHA3-224": "sha3_224",
    "SHA3-256": "sha3_256",
    "SHA3-384": "sha3_384",
    "SHA3-512": "sha3_512",
}
OTHER_FORM = "the signature is r ‖ s, and the API's are DER"
OTHER_CURVE = "there are no keys on this curve"
LOW_S = "Bitcoin refuses a high s, which ECDSA allows"


def fitted(digest: bytes, size: int) -> bytes:
    """Return the digest as long as the key takes it, and the same number (FIPS 186-5, 6.4.2)."""
    return digest[:size].rjust(size, b"\0")


@pytest.mark.parametrize("name", names("ecdsa_.*"))
async def test_signatures(bench: Bench, cases: Cases, name: str) -> None:
    with cases("ECDSA", "Wycheproof") as tally:
        for group, tests in wycheproof(name):
            private = verifying_key(load_der_public_key(bytes.fromhex(group["publicKeyDer"])))
            if private is None or name.endswith("_p1363"):
                tally.skip(OTHER_CURVE if private is None else OTHER_FORM, len(tests))
                continue
            key_id, size = bench.hold(private), DIGEST_BYTES[private.algorithm.name]
            for case in tests:
                if case["result"] == "invalid" and "alleability" in str(case):
                    tally.skip(LOW_S)
                    continue
                digest = hashlib.new(HASHES[group["sha"]], bytes.fromhex(case["msg"])).digest()
                found = await bench.is_valid(
                    key_id,
                    "ECDSA",
                    message=fitted(digest, size),
                    signature=bytes.fromhex(case["sig"]),
                )
                tally.check(case, is_right=found == (case["result"] == "valid"))
