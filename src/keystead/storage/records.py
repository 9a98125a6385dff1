"""The encodings of users, keys and namespaces: NetHSM's JSON, with optional fields of our own.

The strings in this JSON hold raw bytes: UTF-8 in names and labels, and any bytes in salts, digests
and certificates. If a record is decoded as Latin-1, it is valid JSON with a character for a byte.
"""

import base64
import binascii
from functools import lru_cache
from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec

from keystead.errors import CorruptRecord, InvalidInput
from keystead.model.ids import Label, NamespaceId, Tag, UserId, parse_label, parse_tag
from keystead.model.keys import (
    GENERIC_TYPE,
    NO_LABEL,
    KeyRecord,
    Origin,
    PrivateMaterial,
    StoredCertificate,
)
from keystead.model.policy import Policy, PolicyDocument, parse_policy
from keystead.model.quota import Quota
from keystead.model.users import PassphraseVerifier, Role, ScryptParameters, User
from keystead.storage.stored_json import StoredJson

_MAX_SCRYPT_MEMORY = 2**28
_MAX_SCRYPT_PASSES = 64
_SMALL = 4096
_MAX_GROWTH = 2
"""A certificate that grows by more than this factor through JSON's escapes is stored in base64,
unless it is small. An escaped byte takes six bytes. PEM and DER grow less and are stored as in
NetHSM."""

T = TypeVar("T")

_NO_TAGS: Final = frozenset[Tag]()
_shared_set = lru_cache(maxsize=256)(frozenset[str])
"""Returns one set for all keys in memory that have the same mechanisms: a set takes 216 bytes."""


class _UserJson(StoredJson, omit_defaults=True):
    name: str
    salt: str
    digest: str
    role: Role
    tags: list[str]
    scrypt: tuple[int, int, int] | None = None


class _PrivateJson(StoredJson, omit_defaults=True):
    PEM: str | None = None
    raw: str | None = None
    type: str = GENERIC_TYPE
    """Of `raw`. A NetHSM has Generic keys only."""
    public: bytes | None = None
    """Beside `PEM`, in base64. No key of a type that a NetHSM has stores it."""


class _RestrictionsJson(StoredJson, omit_defaults=True):
    tags: list[str] = msgspec.field(default_factory=list)


class _KeyJson(StoredJson, omit_defaults=True):
    mechanisms: list[str]
    priv: _PrivateJson
    cert: tuple[str, str] | None
    operations: Annotated[int, msgspec.Meta(ge=0)]
    restrictions: _RestrictionsJson
    label: str = ""
    cert64: tuple[str, str] | None = None
    """The certificate in base64, instead of `cert`."""
    policy: PolicyDocument | None = None
    uses_left: Annotated[int, msgspec.Meta(ge=0)] | None = msgspec.field(
        default=None, name="usesLeft"
    )
    uses_of: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]+\Z")] | None = msgspec.field(
        default=None, name="usesOf"
    )
    origin: Origin = Origin.UNKNOWN
    created: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _InListJson(StoredJson, kw_only=True):
    """What all lists read, or do not decode, of a key's record.

    With this, each shape of a list has the fields of `_KeyJson`.
    """

    restrictions: _RestrictionsJson
    label: str = ""
    policy: msgspec.Raw = msgspec.Raw()
    uses_left: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw, name="usesLeft")
    uses_of: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw, name="usesOf")
    origin: msgspec.Raw = msgspec.Raw()
    created: msgspec.Raw = msgspec.Raw()


class _ListedKeyJson(_InListJson, kw_only=True):
    """A key's record of which only what selects keys is decoded."""

    mechanisms: msgspec.Raw
    priv: msgspec.Raw
    cert: msgspec.Raw
    operations: msgspec.Raw
    cert64: msgspec.Raw = msgspec.Raw()


class _ShownKeyJson(_InListJson, kw_only=True):
    """A key's record whose certificate and policy are not decoded."""

    mechanisms: frozenset[str]
    priv: _PrivateJson
    cert: tuple[str, msgspec.Raw] | None
    operations: Annotated[int, msgspec.Meta(ge=0)]
    cert64: tuple[str, msgspec.Raw] | None = None


class ShownRecord(NamedTuple):
    """What a list shows of a key's record, and the private key, as in `KeyRecord`."""

    private: PrivateMaterial
    mechanisms: frozenset[str]
    tags: frozenset[Tag]
    label: Label
    operations: int
    has_certificate: bool


def _write(value: object) -> bytes:
    encoded = msgspec.json.encode(value)
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded  # As most are.
    text = encoded.decode()
    return text.replace("\x7f", "\\u007f").encode("latin-1")


def _read(raw: bytes, kind: type[T], path: str) -> T:
    try:
        return msgspec.json.decode(raw.decode("latin-1").encode(), type=kind)
    except msgspec.MsgspecError:
        raise corrupt(path) from None


def corrupt(path: str) -> CorruptRecord:
    """Return the error for an unsealed record with invalid content, which it does not quote."""
    return CorruptRecord(f"The record {path} cannot be read.")


def _to_text(raw: bytes) -> str:
    return raw.decode("latin-1")


def _to_bytes(text: str) -> bytes:
    return text.encode("latin-1")


def encode_user(user: User) -> bytes:
    """Return a user's record."""
    cost = user.verifier.scrypt
    return _write(
        _UserJson(
            name=_to_text(user.real_name.encode()),
            salt=_to_text(user.verifier.salt),
            digest=_to_text(user.verifier.digest),
            role=user.role,
            tags=sorted(user.tags),
            scrypt=None if cost is None else (cost.n, cost.r, cost.p),
        )
    )


def decode_user(user_id: UserId, raw: bytes, *, path: str) -> User:
    """Return the user in a record. Raises CorruptRecord, which names `path`."""
    stored = _read(raw, _UserJson, path)
    try:
        return User(
            user_id=user_id,
            real_name=_to_bytes(stored.name).decode(errors="replace"),
            role=stored.role,
            verifier=PassphraseVerifier(
                salt=_to_bytes(stored.salt),
                digest=_to_bytes(stored.digest),
                scrypt=None if stored.scrypt is None else _cost(stored.scrypt),
            ),
            tags=frozenset(parse_tag(tag) for tag in stored.tags),
        )
    except (ValueError, InvalidInput):
        raise corrupt(path) from None


def _cost(stored: tuple[int, int, int]) -> ScryptParameters:
    n, r, p = stored
    if n <= 1 or n & (n - 1) or r < 1 or p < 1:
        raise ValueError("not scrypt parameters")
    if 128 * n * r > _MAX_SCRYPT_MEMORY or p > _MAX_SCRYPT_PASSES:
        raise ValueError("scrypt parameters out of bounds")
    return ScryptParameters(n=n, r=r, p=p)


def encode_key(record: KeyRecord) -> bytes:
    """Return a key's record."""
    certificate = record.certificate
    plain, compact = (None, None) if certificate is None else _encode_certificate(certificate)
    return _write(
        _KeyJson(
            mechanisms=sorted(record.mechanisms),
            priv=_encode_private(record.private),
            cert=plain,
            cert64=compact,
            operations=record.operations,
            restrictions=_RestrictionsJson(tags=sorted(record.tags)),
            label=_to_text(record.label.encode()),
            policy=None if record.policy is None else record.policy.document,
            uses_left=record.uses_left,
            uses_of=record.uses_of,
            origin=record.origin,
            created=record.created,
        )
    )


def _encode_certificate(
    certificate: StoredCertificate,
) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
    """Return the values of `cert` and `cert64`. One of them is None."""
    kind, data = certificate.content_type, certificate.data
    text = _to_text(data)
    if len(_write(text)) <= max(_MAX_GROWTH * len(data), _SMALL):
        return (kind, text), None
    return None, (kind, base64.b64encode(data).decode())


def _decode_certificate(stored: _KeyJson) -> StoredCertificate | None:
    if stored.cert64 is None:
        plain = stored.cert
        return None if plain is None else StoredCertificate(plain[0], _to_bytes(plain[1]))
    if stored.cert is not None:
        raise ValueError("a key has one certificate")
    return StoredCertificate(stored.cert64[0], base64.b64decode(stored.cert64[1], validate=True))


def _decode_policy(stored: _KeyJson) -> Policy | None:
    policy = None if stored.policy is None else parse_policy(stored.policy)
    counts = policy is not None and policy.document.max_uses is not None
    if counts != (stored.uses_left is not None):
        raise ValueError("usesLeft belongs to maxUses")
    return policy


def _encode_private(material: PrivateMaterial) -> _PrivateJson:
    if material.pem is not None:
        return _PrivateJson(PEM=_to_text(material.pem), public=material.public)
    if material.raw is not None:
        return _PrivateJson(raw=base64.b64encode(material.raw).decode(), type=material.raw_type)
    raise ValueError("a key has a PEM or raw bytes")


def decode_key(raw: bytes, *, path: str) -> KeyRecord:
    """Return the key in a record. Raises CorruptRecord, which names `path`."""
    stored = _read(raw, _KeyJson, path)
    try:
        return KeyRecord(
            private=_decode_private(stored.priv),
            mechanisms=_shared_set(tuple(stored.mechanisms)),
            tags=frozenset(parse_tag(tag) for tag in stored.restrictions.tags) or _NO_TAGS,
            label=_decode_label(stored.label),
            operations=stored.operations,
            certificate=_decode_certificate(stored),
            policy=_decode_policy(stored),
            uses_left=stored.uses_left,
            uses_of=stored.uses_of,
            origin=stored.origin,
            created=stored.created,
        )
    except (ValueError, InvalidInput):
        raise corrupt(path) from None


def decode_listed(raw: bytes, *, path: str) -> tuple[frozenset[Tag], Label]:
    """Return the tags and the label in a key's record. Raises CorruptRecord, which names `path`.

    The rest is not decoded, because a list does not show the key and its certificate.
    """
    stored = _read(raw, _ListedKeyJson, path)
    try:
        tags = frozenset(parse_tag(tag) for tag in stored.restrictions.tags)
        return tags, _decode_label(stored.label)
    except (ValueError, InvalidInput):
        raise corrupt(path) from None


def decode_shown(raw: bytes, *, path: str) -> ShownRecord:
    """Return what a list shows of the key in a record. Raises CorruptRecord, which names `path`."""
    stored = _read(raw, _ShownKeyJson, path)
    try:
        return ShownRecord(
            _decode_private(stored.priv),
            stored.mechanisms,
            frozenset([parse_tag(tag) for tag in stored.restrictions.tags]),
            _decode_label(stored.label),
            stored.operations,
            has_certificate=stored.cert is not None or stored.cert64 is not None,
        )
    except (ValueError, InvalidInput):
        raise corrupt(path) from None


def _decode_label(text: str) -> Label:
    return parse_label(_to_bytes(text).decode()) if text else NO_LABEL


def _decode_private(stored: _PrivateJson) -> PrivateMaterial:
    if (stored.PEM is None) == (stored.raw is None):
        raise ValueError("a key has a PEM or raw bytes")
    if stored.raw is not None and stored.public is not None:
        raise ValueError("the public half stands beside a PEM")
    try:
        if stored.PEM is None:
            raw = base64.b64decode(stored.raw or "", validate=True)
            return PrivateMaterial(raw=raw, raw_type=stored.type)
        return PrivateMaterial(pem=_to_bytes(stored.PEM), public=stored.public)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def encode_namespace(namespace: NamespaceId) -> bytes:
    """Return a namespace's record, which holds its own name."""
    return _write(str(namespace))


def check_namespace(namespace: NamespaceId, raw: bytes, *, path: str) -> None:
    """Raise CorruptRecord, naming `path`, unless the record is this namespace's."""
    if _read(raw, str, path) != namespace:
        raise corrupt(path)


def encode_quota(quota: Quota) -> bytes:
    """Return the record of a namespace's quota."""
    return _write(quota)


def decode_quota(raw: bytes, *, path: str) -> Quota:
    """Return the quota in a record. Raises CorruptRecord, which names `path`."""
    return _read(raw, Quota, path)
