"""The unlock passphrase: it opens the domain key, and guessing it is braked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from keystead.errors import (
    DecryptionFailed,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    StoreUnavailable,
)
from keystead.model.passphrases import parse_passphrase
from keystead.model.secret import Secret
from keystead.operations.attempts import UNLOCK, FailedAttempts, Subject, subject_of
from keystead.operations.authentication import Credentials, parse_basic
from keystead.operations.caller_context import CallerContext
from keystead.operations.session import CoreContext
from keystead.operations.shares import Party, Turns
from keystead.sealing.domain_key import new_unlock_salt, unlock
from keystead.sealing.passphrase import derive_unlock_key
from keystead.storage.local import LocalStore
from keystead.storage.settings import UNLOCK_SALT

USER_NAME: Final = "unlock"
"""Whom the unlock passphrase authenticates where the users cannot be read."""
MOST_WAITING: Final = 16
"""Attempts that wait for their turn, half a second each, with the one that has it."""


class Unlocking:
    """Checks the unlock passphrase, one attempt at a time, so that nobody guesses in parallel."""

    def __init__(
        self,
        context: CoreContext,
        local: LocalStore,
        failed: FailedAttempts,
        changing: asyncio.Lock,
    ) -> None:
        """Take `changing`, which is held by whatever replaces a lock of the domain key."""
        self._kdf_pool: Final = context.kdf_pool
        self._local: Final = local
        self._failed: Final = failed
        self._changing: Final = changing
        self._one_at_a_time: Final = asyncio.Lock()
        self._turns: Final = Turns(MOST_WAITING)
        self._last_read: tuple[bytes, bytes] | None = None

    @contextlib.asynccontextmanager
    async def queued(self, address: str) -> AsyncIterator[None]:
        """Wait for the turn of an attempt, and keep it until the end of the block.

        All networks with a recent failure take turns with all others, and of those the one that
        came last is next: whoever knows the passphrase waits for the attempt under way and one
        guess, even while many networks make their first. Raises TooManyAttempts for a second after
        a failed attempt of the same network, and Overloaded when too many wait.
        """
        subject = subject_of(address, UNLOCK)
        self._failed.require_none(subject)
        while True:
            party = self._party(subject)
            async with self._turns.turn(party):
                if party == self._party(subject):
                    yield
                    return
            # The network has failed while this waited: it waits with the others that have.

    def _party(self, subject: Subject) -> Party:
        has_failed = self._failed.has_failed(subject)
        return Party(has_failed, subject.network, comes_first=not has_failed)

    async def open(self, passphrase: str, *, address: str) -> Secret:
        """Return the domain key.

        Raises NotPermitted for a wrong passphrase, InvalidInput for one that cannot be right, and
        TooManyAttempts for a second after either.
        """
        async with self._one_at_a_time:
            subject = subject_of(address, UNLOCK)
            self._failed.require_none(subject)
            try:
                return await self._open(parse_passphrase(passphrase), subject)
            except DecryptionFailed:
                raise NotPermitted("The unlock passphrase is wrong.") from None
            except InvalidInput:
                self._failed.record(subject)
                raise

    async def authenticate(self, header: str | None, *, address: str) -> None:
        """Check an Authorization header that names the user `unlock`; also in state Failed.

        Raises NotAuthenticated, and TooManyAttempts for a second after a wrong passphrase.
        """
        credentials = parse_basic(header)
        if credentials.user_name != USER_NAME:
            raise NotAuthenticated(f"This takes the user {USER_NAME} and the unlock passphrase.")
        async with self.queued(address):
            await self._authenticate(credentials, subject_of(address, UNLOCK))

    async def _authenticate(self, credentials: Credentials, subject: Subject) -> None:
        async with self._one_at_a_time:
            self._failed.require_none(subject)
            try:
                await self._open(credentials.passphrase, subject)
            except DecryptionFailed:
                raise NotAuthenticated("The unlock passphrase is wrong.") from None

    async def change(self, context: CallerContext, *, new: Secret, current: str) -> None:
        """Lock the domain key with another passphrase.

        Raises NotPermitted if `current` is wrong, TooManyAttempts as `open` does.
        """
        async with self._changing:
            try:
                domain_key = await self.open(current, address=context.address)
            except InvalidInput:
                # Not the new one's fault, as the 400 of this error would have the caller believe.
                raise NotPermitted("The current unlock passphrase is wrong.") from None
            salt = new_unlock_salt()
            unlock_key = await self._kdf_pool.run(lambda: derive_unlock_key(new, salt))
            await context.session.store.commit(
                [
                    self._local.settings.put(UNLOCK_SALT, salt),
                    self._local.put_attended(domain_key, unlock_key),
                ]
            )
            await self.remember()
        context.note("unlock passphrase changed")

    async def remember(self) -> None:
        """Read what `authenticate` needs once the store is out of reach, if it is there."""
        with contextlib.suppress(StoreUnavailable, NotFound):
            await self._read()

    async def _open(self, passphrase: Secret, subject: Subject) -> Secret:
        salt, locked = await self._read()
        unlock_key = await self._kdf_pool.run(lambda: derive_unlock_key(passphrase, salt))
        try:
            return unlock(locked, unlock_key)
        except DecryptionFailed:
            self._failed.record(subject)
            raise

    async def _read(self) -> tuple[bytes, bytes]:
        """Return the salt and the locked domain key; those last read when the store is lost."""
        try:
            salt = await self._local.settings.get(UNLOCK_SALT) or b""
            self._last_read = salt, await self._local.locked_domain_key()
        except StoreUnavailable:
            if self._last_read is None:
                raise
        return self._last_read
