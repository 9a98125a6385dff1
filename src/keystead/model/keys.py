"""Stored keys, and the rule of tags for their use."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from keystead.errors import NotPermitted
from keystead.model.ids import KeyId, Label, NamespaceId, Tag
from keystead.model.policy import Policy
from keystead.model.users import Caller

NO_LABEL: Final = Label("")
GENERIC_TYPE: Final = "Generic"
"""The type of raw bytes in records that do not name one."""


class KeyPath(NamedTuple):
    """Where a key lives: its namespace (None is the root) and its ID."""

    namespace: NamespaceId | None
    key_id: KeyId


@dataclass(frozen=True, slots=True)
class PrivateMaterial:
    """A private key as stored: a PKCS#8 PEM, or raw bytes. Exactly one of these is set."""

    pem: bytes | None = field(default=None, repr=False)
    raw: bytes | None = field(default=None, repr=False)
    raw_type: str = GENERIC_TYPE
    """The key type that the raw bytes are of."""
    public: bytes | None = field(default=None, repr=False)
    """The public half, beside a PEM of a type that stores it. Records of earlier software and of
    other types have none."""


class StoredCertificate(msgspec.Struct, frozen=True):
    """A certificate as its owner stored it: any bytes."""

    content_type: str
    data: bytes


class Origin(Enum):
    """How a private key came into the HSM. The value is the name in attestations and records."""

    GENERATED = "generated"
    """The HSM made it."""
    IMPORTED = "imported"
    """A client sent it."""
    DERIVED = "derived"
    """It is the secret that a use of another key gave. Whoever knows the inputs may know it."""
    UNKNOWN = "unknown"
    """Its record has no origin: it was made by earlier software, or by a NetHSM."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """The stored data of one key. `operations` counts its uses."""

    private: PrivateMaterial = field(repr=False)
    mechanisms: frozenset[str]
    tags: frozenset[Tag] = frozenset()
    label: Label = NO_LABEL
    operations: int = 0
    certificate: StoredCertificate | None = None
    policy: Policy | None = None
    uses_left: int | None = None
    """With `maxUses` in the policy: the uses that nobody has leased yet. Otherwise None."""
    uses_of: str | None = None
    """A random name for the setting of the policy that `uses_left` belongs to. None if there is no
    `uses_left`, or if it was written by earlier software."""
    origin: Origin = Origin.UNKNOWN
    created: int | None = None
    """When the key came into the HSM, in Unix seconds. None if the origin is unknown."""

    def contents(self) -> list[str | bytes]:
        """Return the texts and bytes in all fields that can be long."""
        held: list[str | bytes] = [self.label, *self.mechanisms, *self.tags]
        held.append(self.private.pem or self.private.raw or b"")
        held.append(self.private.public or b"")
        if self.certificate is not None:
            held += [self.certificate.content_type, self.certificate.data]
        if self.policy is not None:
            held += self.policy.texts()
        return held


class Permit(msgspec.Struct, frozen=True):
    """The gate's permit for one use of the key at `path`. Only `access.gate` makes permits."""

    path: KeyPath

    def give_back(self) -> None:
        """Give the use back to what has counted it: most keys have no limit."""


def may_use(caller: Caller, restrictions: frozenset[Tag]) -> bool:
    """Whether a key's tags let this caller use it: it has one of them, or the key has none.

    The tags do not apply to Administrators.
    """
    return not restrictions or caller.is_administrator or not restrictions.isdisjoint(caller.tags)


def require_use(caller: Caller, restrictions: frozenset[Tag]) -> None:
    """Raise NotPermitted unless the key's tags let this caller use it."""
    if not may_use(caller, restrictions):
        raise NotPermitted("The key's tag restrictions do not allow this user.")
