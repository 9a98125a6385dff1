"""Users, their roles and what a caller is."""

from dataclasses import dataclass, field
from enum import Enum

import msgspec

from keystead.errors import NotAuthenticated
from keystead.model.ids import NamespaceId, Tag, UserId


class Role(Enum):
    """What a user may do. The value is the name in the API."""

    ADMINISTRATOR = "Administrator"
    OPERATOR = "Operator"
    METRICS = "Metrics"
    BACKUP = "Backup"
    AUDITOR = "Auditor"
    """Reads the journal and deletes its old entries, and nothing else. NetHSM does not have it."""

    __hash__ = object.__hash__  # Members are singletons, and Enum's own hash is slow.


class ScryptParameters(msgspec.Struct, frozen=True):
    """Cost of RFC 7914's scrypt: memory is 128 * n * r bytes."""

    n: int
    r: int
    p: int


@dataclass(frozen=True, slots=True)
class PassphraseVerifier:
    """The stored data that a passphrase is checked against.

    `scrypt` is None for a digest from a NetHSM backup: HMAC-SHA256(salt, passphrase).
    """

    salt: bytes
    digest: bytes = field(repr=False)
    scrypt: ScryptParameters | None


@dataclass(frozen=True, slots=True)
class User:
    """A stored user. Only Operators have `tags`."""

    user_id: UserId
    real_name: str
    role: Role
    verifier: PassphraseVerifier = field(repr=False)
    tags: frozenset[Tag] = frozenset()


class Standing(msgspec.Struct, eq=False, weakref=True):
    """Changes of a user since it was authenticated, shared by all its Callers."""

    tags: frozenset[Tag]
    is_revoked: bool = False
    """Whether the user was deleted or its passphrase was changed."""


class Caller(msgspec.Struct, frozen=True):
    """An authenticated user. Operations get it in their CallerContext."""

    user_id: UserId
    role: Role
    standing: Standing

    @property
    def tags(self) -> frozenset[Tag]:
        """The tags that the user has now. They may have changed since its authentication."""
        return self.standing.tags

    def require_unrevoked(self) -> None:
        """Raise NotAuthenticated if the user was deleted or its passphrase was changed."""
        if self.standing.is_revoked:
            raise NotAuthenticated("The credentials of this request have been revoked meanwhile.")

    @property
    def namespace(self) -> NamespaceId | None:
        """The namespace of the caller. None stands for the root."""
        return self.user_id.namespace

    @property
    def is_administrator(self) -> bool:
        """Whether the caller manages its namespace."""
        return self.role is Role.ADMINISTRATOR
