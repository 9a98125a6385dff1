"""ECDH, X25519 and X448: Wycheproof's public keys, sound and not, in every form of a request."""

import ssl
from base64 import encodebytes

import pytest

from tests.vectors.bench import Bench
from tests.vectors.conftest import Cases
from tests.vectors.published import Case, names, wycheproof

OTHER_CURVE = "there are no keys on this curve"
OTHER_FORM = "the same cases as JWK, which a request does not have"
TYPES = {
    "secp256r1": ("EC_P256", 32),
    "secp384r1": ("EC_P384", 48),
    "secp521r1": ("EC_P521", 66),
    "secp256k1": ("EC_P256K1", 32),
    "curve25519": ("X25519", 32),
    "curve448": ("X448", 56),
}


class Agreement:
    """Runs cases, with one imported key for each private key."""

    def __init__(self, bench: Bench, key_type: str, size: int) -> None:
        self._bench = bench
        self._key_type = key_type
        self._size = size
        self._keys: dict[str, str | None] = {}

    async def is_right(self, case: Case, *, is_file: bool) -> bool:
        """Whether the API gives the secret of a valid case, and refuses an invalid one.

        A case that may be refused is right both ways, unless its secret is all zeros.
        """
        private = case["private"]
        if private not in self._keys:
            key_id = self._import_file(private) if is_file else self._import_number(private)
            self._keys[private] = await key_id
        found = await self._derived(self._keys[private], public_of(case["public"]))
        secret = bytes.fromhex(case["shared"])
        if case["result"] == "invalid" or not any(secret):
            return found is None
        return found == secret or (found is None and case["result"] == "acceptable")

    async def _derived(self, key_id: str | None, public: bytes) -> bytes | None:
        if key_id is None:
            return None
        return await self._bench.result(key_id, "derive", "ECDH", publicKey=public)

    async def _import_number(self, private: str) -> str | None:
        data = int(private, 16).to_bytes(self._size)
        return await self._bench.import_key(self._key_type, data=data)

    async def _import_file(self, private: str) -> str | None:
        pem = private
        if not private.startswith("-----"):
            body = encodebytes(bytes.fromhex(private)).decode()
            pem = f"-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n"
        return await self._bench.import_pem(pem, "ECDH_Derivation")


def public_of(text: str) -> bytes:
    """Return the bytes of a public key in hexadecimal digits or PEM."""
    if not text.startswith("-----"):
        return bytes.fromhex(text)
    return ssl.PEM_cert_to_DER_cert(text.replace("PUBLIC KEY", "CERTIFICATE"))


def decided(case: Case) -> Case:
    """Return a case that counts also where it leaves the answer open: a wrong secret is wrong."""
    return {**case, "result": "decided"}


@pytest.mark.parametrize("name", names("ecdh_.*|x(25519|448)(_.*)?"))
async def test_agreement(bench: Bench, cases: Cases, name: str) -> None:
    algorithm = name.partition("_")[0].upper()
    is_file = name.endswith("_pem") or (algorithm != "ECDH" and name.endswith("_asn"))
    with cases(algorithm, "Wycheproof") as tally:
        for group, tests in wycheproof(name):
            if name.endswith(("_jwk", "_webcrypto")):
                tally.skip(OTHER_FORM, len(tests))
                continue
            if group["curve"] not in TYPES:
                tally.skip(OTHER_CURVE, len(tests))
                continue
            agreement = Agreement(bench, *TYPES[group["curve"]])
            for case in tests:
                is_right = await agreement.is_right(case, is_file=is_file)
                tally.check(decided(case), is_right=is_right)
