"""Authentication: from HTTP Basic credentials (RFC 7617) to a Caller.

The slow key derivation runs once for each user and passphrase until the HSM is locked.
"""

import asyncio
import contextlib
import hashlib
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

import msgspec

from keystead.errors import (
    InvalidInput,
    NotAuthenticated,
    Overloaded,
    StaleRevision,
    StoreUnavailable,
    WriteRefused,
)
from keystead.journal.log import Log
from keystead.model.base64_text import strictly_decoded
from keystead.model.ids import UserId
from keystead.model.secret import Secret
from keystead.model.users import Caller, Role, Standing, User
from keystead.operations.attempts import AttemptSubject, FailedAttempts, subject_of
from keystead.operations.shares import Party, of_network, of_user
from keystead.operations.verified import VerifiedCredentials
from keystead.operations.work_pool import WorkPool
from keystead.sealing import passphrase as passphrases
from keystead.storage.users import UserStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_TRIED_BYTES: Final = 1024
"""The longest name and the longest passphrase that are tried. Longer ones cannot be right."""

_FAILED: Final = "Invalid user name or passphrase."


class UnverifiedCredentials(msgspec.Struct, frozen=True):
    """What an Authorization header says, not yet verified."""

    user_name: str
    passphrase: Secret


def parse_basic(header: str | None) -> UnverifiedCredentials:
    """Read an Authorization header. Raises NotAuthenticated if it is missing or malformed."""
    if header is None:
        raise NotAuthenticated("Authentication required.")
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise NotAuthenticated("Only HTTP Basic authentication is supported.")
    try:
        decoded = strictly_decoded(encoded.strip())
    except ValueError:
        raise NotAuthenticated("The Authorization header is not valid base64.") from None
    name, colon, passphrase = decoded.partition(b":")
    if not colon:
        raise NotAuthenticated("The Authorization header has no passphrase.")
    if max(len(name), len(passphrase)) > MAX_TRIED_BYTES:
        raise NotAuthenticated("The user name or the passphrase is too long.")
    return UnverifiedCredentials(name.decode("utf-8", "replace"), Secret(passphrase))


class Authenticator:
    """Verifies credentials, remembers verified ones, and rate-limits guessing.

    A keyed hash of the header is remembered, under a key that lives as long as this object. A
    lookup by this hash tells an attacker nothing about the credentials that it was made from.
    """

    def __init__(
        self, users: UserStore, kdf_pool: WorkPool, failed: FailedAttempts, log: Log
    ) -> None:
        self._users = users
        self._pool = kdf_pool
        self._failed = failed
        self._log = log
        # A user that does not exist, with a verifier that costs as much as that of a real user.
        nobody = User(UserId(None, "nobody"), "nobody", Role.OPERATOR, passphrases.dummy_verifier())
        self._read_nobody = users.decoy(nobody)
        self._hash_key = os.urandom(32)
        self._verified = VerifiedCredentials()
        self._turns: dict[AttemptSubject, _Turn] = {}
        self._standings: WeakValueDictionary[UserId, Standing] = WeakValueDictionary()
        self.changes = 0
        """How often this has heard that any user has changed."""

    def known(self, header: str | None, address: str) -> Caller | None:
        """Return the caller that `header` was verified for before, or None for any other header.

        Raises TooManyAttempts within a second of a failed attempt by the same address and user.
        """
        digest = self._digest(header or "")
        caller = self._verified.get(digest)
        if caller is not None:
            if self._failed.refusing_until and self._failed.is_refusing():
                self._failed.require_none(subject_of(address, str(caller.user_id)))
            self._verified.used(digest)
        return caller

    async def authenticate(self, header: str | None, address: str) -> Caller:
        """Return the caller whose credentials are in `header`.

        Raises NotAuthenticated if they are wrong, TooManyAttempts as `known` does, and Overloaded
        if too many passphrases wait to be verified, in all or from the network of this address.
        """
        caller = self.known(header, address)
        if caller is not None:
            return caller
        digest = self._digest(header or "")
        credentials = parse_basic(header)
        subject = subject_of(address, credentials.user_name)
        self._failed.require_none(subject)
        async with self._turn(subject):
            # An attempt that waited sees the outcome of the one before: no parallel guessing.
            self._failed.require_none(subject)
            caller = self._verified.get(digest)
            if caller is not None:
                return caller
            has_failed = self._failed.any_from(subject.network)
            party = of_network(subject.network, gets_spare=not has_failed)
            self._pool.require_room(party)  # A storm must not reach the store.
            found = await self._find(credentials.user_name)
            try:
                caller = await self._verify(found, credentials.passphrase, digest, party)
            except NotAuthenticated:
                self._failed.record(subject, is_user=found is not None)
                raise
            self._log.info("logged in", user=str(caller.user_id), address=address)
            return caller

    async def _verify(
        self, user: User | None, passphrase: Secret, digest: bytes, party: Party
    ) -> Caller:
        verifier = (user or self._read_nobody()).verifier
        try:
            await self._pool.run(lambda: passphrases.verify(verifier, passphrase), party=party)
        except NotAuthenticated:
            raise NotAuthenticated(_FAILED) from None
        current = await self._current(user) if user else None
        if current is None:
            raise NotAuthenticated(_FAILED)
        user = current[0]
        caller = Caller(user.user_id, user.role, self._standing(user))
        self._verified.add(digest, caller)
        await self._renew(current, passphrase)
        return caller

    async def _current(self, verified: User) -> tuple[User, int] | None:
        """Return a verified user as it is now, or None if it or its passphrase was changed."""
        current = await self.latest(verified.user_id)
        if current is None or current[0].verifier != verified.verifier:
            return None
        return current

    async def latest(self, user_id: UserId) -> tuple[User, int] | None:
        """Return a user as it is now: read again if some user has changed meanwhile."""
        while True:
            changes = self.changes
            found = await self._users.get(user_id)
            if changes == self.changes:
                return found

    def _standing(self, user: User) -> Standing:
        standing = self._standings.setdefault(user.user_id, Standing(user.tags))
        standing.tags = user.tags
        return standing

    async def _renew(self, found: tuple[User, int], passphrase: Secret) -> None:
        """Replace a verifier that a NetHSM backup brought, or that was made with a lower cost."""
        user, revision = found
        if not passphrases.needs_renewal(user.verifier):
            return
        with contextlib.suppress(Overloaded, StaleRevision, StoreUnavailable, WriteRefused):
            verifier = await self._pool.run(
                lambda: passphrases.make_verifier(passphrase), party=of_user(user.user_id)
            )
            await self._users.put(replace(user, verifier=verifier), expected=revision)

    async def _find(self, user_name: str) -> User | None:
        try:
            found = await self._users.get(UserId.parse(user_name))
        except InvalidInput:
            return None
        return found[0] if found else None

    def retag(self, user: User) -> None:
        """Apply the tags that the user has now to running and later requests."""
        self.changes += 1
        standing = self._standings.get(user.user_id)
        if standing is not None:
            standing.tags = user.tags
            self._verified.reweigh(user.user_id)

    def revoke(self, user_id: UserId) -> None:
        """Refuse credentials that were verified before: the user or its passphrase was changed.

        Running requests are refused through their Caller; later ones are verified again.
        """
        self.changes += 1
        standing = self._standings.pop(user_id, None)
        if standing is not None:
            standing.is_revoked = True
        self._verified.forget(user_id)

    def forget_all(self) -> None:
        """Forget every verified credential."""
        self.changes += 1
        self._verified.clear()

    def _digest(self, header: str) -> bytes:
        return hashlib.blake2b(header.encode("latin-1", "replace"), key=self._hash_key).digest()

    @asynccontextmanager
    async def _turn(self, subject: AttemptSubject) -> "AsyncIterator[None]":
        """Let the attempts of one network and user through one at a time."""
        turn = self._turns.setdefault(subject, _Turn())
        turn.interested += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.interested -= 1
            if not turn.interested:
                del self._turns[subject]


class _Turn:
    __slots__ = ("interested", "lock")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.interested = 0
