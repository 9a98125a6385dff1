"""The unlock passphrase: it unwraps the domain key, and guessing it is rate-limited.

An HSM may have shares of the passphrase instead, which nobody knows then.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
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
from keystead.operations.attempts import (
    UNLOCK,
    AttemptSubject,
    FailedAttempts,
    RecentNetworks,
    subject_of,
)
from keystead.operations.authentication import UnverifiedCredentials, parse_basic
from keystead.operations.caller_context import CallerContext
from keystead.operations.given_shares import GivenShares, Progress
from keystead.operations.session import CoreContext
from keystead.operations.shares import Party, Turns
from keystead.sealing.domain_key import lock, new_unlock_salt, unlock
from keystead.sealing.passphrase import derive_unlock_key
from keystead.sealing.unlock_shares import (
    ShareSet,
    UnlockShare,
    WantedShares,
    make_shares,
)
from keystead.storage.key_value_store import Change
from keystead.storage.local import LocalStore
from keystead.storage.settings import UNLOCK_SALT, UNLOCK_SHARES, attended_slot
from keystead.storage.version_pages import hash_of

USER_NAME: Final = "unlock"
"""The user name for the unlock passphrase, in states in which the users cannot be read."""
MOST_WAITING: Final = 16
"""Attempts that may wait or run at a time. Each runs for about half a second."""


class Unlocking:
    """Checks the unlock passphrase, one attempt at a time, to prevent parallel guessing."""

    def __init__(
        self,
        context: CoreContext,
        local: LocalStore,
        failed: FailedAttempts,
        changing: asyncio.Lock,
    ) -> None:
        """Take the lock `changing`, which is held while a wrapped domain key is replaced."""
        self._pool: Final = context.unlock_pool
        self._local: Final = local
        self._failed: Final = failed
        self._changing: Final = changing
        self._one_at_a_time: Final = asyncio.Lock()
        self._turns: Final = Turns(MOST_WAITING)
        self._tried: Final = RecentNetworks(context.monotonic)
        self.given: Final = GivenShares(context.monotonic)
        """The shares that were given to a Locked HSM."""
        self._last_read: tuple[bytes, bytes] | None = None

    @contextlib.asynccontextmanager
    async def queued(self, address: str) -> AsyncIterator[None]:
        """Wait until this attempt to unlock may run.

        The next one waits until the `with` block ends. The first attempts of networks are one
        group, all others are a second group, and the two groups take turns. In the first group,
        the latest arrival is next. So an owner who knows the passphrase waits only for the running
        attempt and one attempt of the second group, even while an attacker guesses the passphrase
        from many networks. Raises TooManyAttempts for a second after a failed attempt of the same
        network, and Overloaded if too many attempts wait.
        """
        subject = subject_of(address, UNLOCK)
        self._failed.require_none(subject)
        is_first = self._tried.add(subject.network)
        async with self._turns.turn(Party(is_first, subject.network, comes_first=is_first)):
            yield

    async def open(self, passphrase: str, *, address: str) -> Secret:
        """Return the domain key.

        Raises NotPermitted if the passphrase is wrong, InvalidInput if it is malformed, and
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

    async def checked(self, text: str, *, address: str) -> tuple[UnlockShare, ShareSet]:
        """Return a share of the present set, and the set.

        Raises InvalidInput if the HSM has no shares, NotPermitted if the share is mistyped or none
        of the set, and TooManyAttempts for a second after that. A wrong share ends what was given
        from its network.
        """
        subject = subject_of(address, UNLOCK)
        share_set = await self._share_set()
        self._failed.require_none(subject)  # Asked last: of guesses that waited, one is tried.
        try:
            return _member(share_set, text), share_set
        except NotPermitted:
            self._failed.record(subject)
            self.given.forget_from(subject.network)
            raise

    def keep(self, share: UnlockShare, share_set: ShareSet, *, address: str) -> Progress:
        """Keep a checked share, until there are enough of them."""
        network = subject_of(address, UNLOCK).network
        return self.given.add(share, network=network, need=share_set.threshold)

    async def open_with_given(self, need: int, *, address: str) -> Secret:
        """Return the domain key, and forget the shares that open it.

        Raises WrongState if they are not enough any more, and NotPermitted if they do not open it.
        """
        async with self._one_at_a_time:
            try:
                passphrase = self.given.passphrase(need)
                return await self._open_shared(passphrase, subject_of(address, UNLOCK))
            finally:
                self.given.forget()

    @staticmethod
    def is_named(header: str | None) -> bool:
        """Return whether an Authorization header names the user `unlock`.

        Raises NotAuthenticated if it is missing or malformed.
        """
        return parse_basic(header).user_name == USER_NAME

    async def authenticate(self, header: str | None, *, address: str) -> None:
        """Check an Authorization header that names the user `unlock`. Works in state Failed too.

        Raises NotAuthenticated, and TooManyAttempts for a second after a wrong passphrase.
        """
        credentials = parse_basic(header)
        if credentials.user_name != USER_NAME:
            raise NotAuthenticated(f"This needs the user {USER_NAME} and the unlock passphrase.")
        async with self.queued(address):
            await self._authenticate(credentials, subject_of(address, UNLOCK))

    async def _authenticate(
        self, credentials: UnverifiedCredentials, subject: AttemptSubject
    ) -> None:
        async with self._one_at_a_time:
            self._failed.require_none(subject)
            try:
                domain_key = await self._open(credentials.passphrase, subject)
            except DecryptionFailed:
                raise NotAuthenticated("The unlock passphrase is wrong.") from None
            domain_key.wipe()

    async def change(
        self,
        context: CallerContext,
        *,
        new: Secret | WantedShares,
        current: str | Sequence[str],
    ) -> list[str]:
        """Wrap the domain key under another passphrase. Return its shares, if some are wanted.

        Raises NotPermitted if `current`, the passphrase or enough shares, is wrong, and
        TooManyAttempts as `open` does.
        """
        async with context.session.holding(self._changing):
            domain_key = await self._open_current(current, address=context.address)
            passphrase, texts, change = self.renewed(new)
            salt = new_unlock_salt()
            locked = await self._locked(domain_key, passphrase, salt)
            await context.session.store.commit(
                [
                    self._local.settings.put(UNLOCK_SALT, salt),
                    self._local.put_locked_domain_key(locked),
                    context.session.config.put(
                        attended_slot(self._local.device_id), hash_of(locked)
                    ),
                    change,
                ]
            )
            await self.remember()
        context.note("unlock passphrase changed")
        return texts

    async def _locked(self, domain_key: Secret, passphrase: Secret, salt: bytes) -> bytes:
        """Return the domain key wrapped under a passphrase, and wipe both."""
        try:
            unlock_key = await self._pool.run(lambda: derive_unlock_key(passphrase, salt))
            locked = lock(domain_key, unlock_key)
            unlock_key.wipe()
        finally:
            domain_key.wipe()
            passphrase.wipe()
        return locked

    def renewed(self, new: Secret | WantedShares) -> tuple[Secret, list[str], Change]:
        """Return the passphrase to use, its shares, and the change that keeps or ends the set."""
        settings = self._local.settings
        if isinstance(new, Secret):
            return new, [], settings.remove(UNLOCK_SHARES)
        made = make_shares(new)
        return made.passphrase, made.texts, settings.put(UNLOCK_SHARES, made.share_set)

    async def remember(self) -> None:
        """Cache what `authenticate` needs while the store is out of reach."""
        with contextlib.suppress(StoreUnavailable, NotFound):
            await self._read()

    async def _open_current(self, current: str | Sequence[str], *, address: str) -> Secret:
        try:
            if isinstance(current, str):
                return await self.open(current, address=address)
            return await self._open_with_all(current, address=address)
        except InvalidInput:
            # InvalidInput would be a 400, as if the new passphrase were malformed.
            raise NotPermitted("The current unlock passphrase is wrong.") from None

    async def _open_with_all(self, texts: Sequence[str], *, address: str) -> Secret:
        """Return the domain key that these shares open."""
        subject = subject_of(address, UNLOCK)
        share_set = await self._share_set()
        self._failed.require_none(subject)  # Asked last: of guesses that waited, one is tried.
        try:
            passphrase = share_set.passphrase_of(texts)
        except NotPermitted:
            self._failed.record(subject)
            raise
        async with self._one_at_a_time:
            return await self._open_shared(passphrase, subject)

    async def _open_shared(self, passphrase: Secret, subject: AttemptSubject) -> Secret:
        """Return the domain key that the passphrase of shares opens, and wipe the passphrase."""
        try:
            return await self._open(passphrase, subject)
        except DecryptionFailed:
            raise NotPermitted("The shares do not unlock this HSM.") from None
        finally:
            passphrase.wipe()

    async def _share_set(self) -> ShareSet:
        share_set = await self._local.settings.get(UNLOCK_SHARES)
        if share_set is None:
            raise InvalidInput("This HSM has no unlock shares: its passphrase unlocks it.")
        return share_set

    async def _open(self, passphrase: Secret, subject: AttemptSubject) -> Secret:
        salt, locked = await self._read()
        unlock_key = await self._pool.run(lambda: derive_unlock_key(passphrase, salt))
        try:
            domain_key = unlock(locked, unlock_key)
        except DecryptionFailed:
            self._failed.record(subject)
            raise
        finally:
            unlock_key.wipe()
        self._tried.discard(subject.network)
        return domain_key

    async def _read(self) -> tuple[bytes, bytes]:
        """Return the salt and the wrapped domain key, cached ones if the store is out of reach."""
        try:
            salt = await self._local.settings.get(UNLOCK_SALT) or b""
            self._last_read = salt, await self._local.locked_domain_key()
        except StoreUnavailable:
            if self._last_read is None:
                raise
        return self._last_read


def _member(share_set: ShareSet, text: str) -> UnlockShare:
    """Return the share that `text` is. Raises NotPermitted unless it is one of the set."""
    share = UnlockShare.parse(text)
    share_set.require_member(share)
    return share
