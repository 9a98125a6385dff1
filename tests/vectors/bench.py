"""A core, and the keys that published cases are about, to be used through the API."""

from base64 import b64decode
from collections.abc import Callable
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlencode

from btclib_libsecp256k1 import keys
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystead import algorithms
from keystead.algorithms import PrivateKey
from keystead.algorithms._libsecp256k1 import Point
from keystead.algorithms.ecdsa import Curve, EcdsaKey
from keystead.algorithms.eddsa import CURVE25519, ED448, EddsaKey
from keystead.algorithms.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87, MlDsaKey
from keystead.algorithms.rsa import RsaKey
from keystead.model.ids import parse_key_id
from keystead.model.keys import KeyPath, KeyRecord, PrivateMaterial
from keystead.storage.key_cache import StoredKey
from tests.api.test_keys_import import MULTIPART, upload
from tests.support.core import ADMIN, Answer, Core, Credentials, b64


class Bench:
    """Keys in a core, each named by a number, and what an Operator makes of them."""

    def __init__(self, core: Core, operator: Credentials) -> None:
        self._core = core
        self._operator = operator
        self._numbers = count()

    async def import_key(self, key_type: str, **private: bytes | str) -> str | None:
        """Import a key that may do all its type can; return its ID, or None if it is refused."""
        key_id = f"key{next(self._numbers)}"
        wanted = {
            "type": key_type,
            "mechanisms": sorted(_mechanisms(key_type)),
            "private": {
                name: b64(value) if isinstance(value, bytes) else value
                for name, value in private.items()
            },
        }
        answer = await self._core.request("PUT", f"/keys/{key_id}", user=ADMIN, json=wanted)
        assert answer.status in {204, 400}, answer
        return key_id if answer.status == 204 else None

    async def import_pem(self, pem: str, *mechanisms: str) -> str | None:
        """Import a key from a file; return its ID, or None if it is refused."""
        key_id = f"key{next(self._numbers)}"
        answer = await self._core.request(
            "PUT",
            f"/keys/{key_id}",
            user=ADMIN,
            body=upload(pem.encode(), mechanisms=list(mechanisms)),
            headers={"content-type": MULTIPART},
        )
        assert answer.status in {204, 400}, answer
        return key_id if answer.status == 204 else None

    def hold(self, private: PrivateKey) -> str:
        """Put a key among the decrypted ones, as if it were in the store; return its ID."""
        path = KeyPath(None, parse_key_id(f"key{next(self._numbers)}"))
        record = KeyRecord(
            private=PrivateMaterial(raw=b""),
            mechanisms=frozenset(_mechanisms(private.algorithm.name)),
        )
        keys = self._core.hsm.session.keys
        keys._cache.put(StoredKey(path, record, 1, private))  # noqa: SLF001  not storable
        return path.key_id

    async def use(self, key_id: str, how: str, mode: str, **fields: bytes | int) -> Answer:
        """Return what the API answers; bytes are sent in base64."""
        sent = {
            name: b64(value) if isinstance(value, bytes) else value
            for name, value in fields.items()
        }
        wanted = {"mode": mode, **sent}
        path = f"/keys/{key_id}/{how}"
        answer = await self._core.request("POST", path, user=self._operator, json=wanted)
        assert answer.status in {200, 400}, answer
        return answer

    async def result(self, key_id: str, how: str, mode: str, **fields: bytes | int) -> bytes | None:
        """Return the first field of the answer, decoded; None if the request is refused."""
        answer = await self.use(key_id, how, mode, **fields)
        if answer.status == 400:
            return None
        return b64decode(next(iter(answer.json().values())))

    async def decapsulated(self, key_id: str, ciphertext: bytes) -> bytes | None:
        """Return the secret in a ciphertext; None if the request is refused."""
        wanted = {"ciphertext": b64(ciphertext)}
        path = f"/keys/{key_id}/decapsulate"
        answer = await self._core.request("POST", path, user=self._operator, json=wanted)
        assert answer.status in {200, 400}, answer
        return b64decode(answer.json()["secret"]) if answer.status == 200 else None

    async def is_valid(self, key_id: str, mode: str, **fields: bytes) -> bool:
        """Return what verify says; a request that is refused is no valid signature."""
        answer = await self.use(key_id, "verify", mode, **fields)
        return answer.status == 200 and answer.json()["valid"]

    async def show(self, key_id: str, derivation: str | None = None) -> Any:
        """Return what is shown of a key, or of the one that is derived from it."""
        query = "" if derivation is None else f"?{urlencode({'derivation': derivation})}"
        return (await self._core.request("GET", f"/keys/{key_id}{query}", user=ADMIN)).json()


def _mechanisms(key_type: str) -> set[str]:
    return {one.name for one in algorithms.BY_NAME[key_type].mechanisms}


class PublicHalf:
    """Stands for a private key of the library's of which only the public half is published."""

    def __init__(self, public: PublicKeyTypes) -> None:
        self._public = public
        self.key_size: Final = getattr(public, "key_size", None)

    def public_key(self) -> PublicKeyTypes:
        return self._public


def verifying_key(public: PublicKeyTypes) -> PrivateKey | None:
    """Return a key that can do no more than verify; None if it is of no type that there is."""
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _on_curve(public)
    for kind, make in _VERIFYING.items():
        if isinstance(public, kind):
            return make(PublicHalf(public))
    return None


_VERIFYING: Final[dict[Any, Callable[[Any], PrivateKey]]] = {
    rsa.RSAPublicKey: RsaKey,
    ed25519.Ed25519PublicKey: partial(EddsaKey, CURVE25519),
    ed448.Ed448PublicKey: partial(EddsaKey, ED448),
    mldsa.MLDSA44PublicKey: partial(MlDsaKey, ML_DSA_44),
    mldsa.MLDSA65PublicKey: partial(MlDsaKey, ML_DSA_65),
    mldsa.MLDSA87PublicKey: partial(MlDsaKey, ML_DSA_87),
}


def _on_curve(public: ec.EllipticCurvePublicKey) -> PrivateKey | None:
    if isinstance(public.curve, ec.SECP256K1):
        return _secp256k1(public)
    half: Any = PublicHalf(public)
    for row in algorithms.ALL:
        if isinstance(row, Curve) and row.curve.name == public.curve.name:
            return EcdsaKey(row, half)
    return None


def _secp256k1(public: ec.EllipticCurvePublicKey) -> PrivateKey:
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    key = algorithms.BY_NAME["EC_P256K1"].generate(None)
    half = Point(keys.parse(point))
    key._signer = SimpleNamespace(public=half)  # noqa: SLF001  there is no private key of a point
    return key
