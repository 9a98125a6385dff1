"""Users, their roles and what a caller is."""

from dataclasses import dataclass, field
from enum import Enum

from keystead.errors import NotAuthenticated
from keystead.model.ids import NamespaceId, Tag, UserId


class Role(Enum):
    """What a user may do; the value is the name on the wire."""

    ADMINISTRATOR = "Administrator"
    OPERATOR = "Operator"
    METRICS = "Metrics"
    BACKUP = "Backup"

    __hash__ = object.__hash__  # There is one of each, and Enum's own hash is slow.


@dataclass(frozen=True, slots=True)
class ScryptParameters:
    """Cost of RFC 7914's scrypt: memory is 128 * n * r bytes."""

    n: int
    r: int
    p: int


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a passphrase is checked against.

    `scrypt` is None for a digest that came in by a NetHSM backup: HMAC-SHA256(salt, passphrase).
    """

    salt: bytes
    digest: bytes = field(repr=False)
    scrypt: ScryptParameters | None


@dataclass(frozen=True, slots=True)
class User:
    """A user as stored; `tags` are an Operator's only."""

    user_id: UserId
    real_name: str
    role: Role
    verifier: Verifier = field(repr=False)
    tags: frozenset[Tag] = frozenset()


@dataclass(slots=True, eq=False, weakref_slot=True)
class Standing:
    """What has become of a user since it was authenticated; all its Callers share it."""

    tags: frozenset[Tag]
    is_revoked: bool = False
    """The user was deleted, or its passphrase changed."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The result of authentication: who asks. Operations get it in their CallerContext."""

    user_id: UserId
    role: Role
    standing: Standing

    @property
    def tags(self) -> frozenset[Tag]:
        """The tags that the user has now, which may be others than at its authentication."""
        return self.standing.tags

    def require_unrevoked(self) -> None:
        """Raise NotAuthenticated when the user was deleted or its passphrase changed meanwhile."""
        if self.standing.is_revoked:
            raise NotAuthenticated("The credentials of this request have been revoked meanwhile.")

    @property
    def namespace(self) -> NamespaceId | None:
        """The namespace the caller acts in; None is the root."""
        return self.user_id.namespace

    @property
    def is_administrator(self) -> bool:
        """Whether the caller manages its namespace."""
        return self.role is Role.ADMINISTRATOR
