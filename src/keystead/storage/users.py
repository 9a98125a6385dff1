"""Users, one sealed record each. The store is flat: a user of a namespace is `namespace~name`."""

from collections.abc import Callable
from functools import partial

from keystead.errors import AlreadyExists, NotFound, StaleRevision
from keystead.model.ids import NAMESPACE_SEPARATOR, NamespaceId, UserId
from keystead.model.users import User
from keystead.storage import records
from keystead.storage.key_value_store import MISSING, Change, Check, KeyValueStore
from keystead.storage.quotas import Quotas
from keystead.storage.retry import retry_when_stale
from keystead.storage.sealed_records import AFTER_LAST_ID, FIRST_ID, SealedRecords

_AFTER_SEPARATOR = chr(ord(NAMESPACE_SEPARATOR) + 1)


class UserStore:
    """Reads always go to the store. Authentication has a cache of its own."""

    def __init__(self, store: KeyValueStore, sealed: SealedRecords, quotas: Quotas) -> None:
        self._store = store
        self._sealed = sealed
        self._quotas = quotas

    async def get(self, user_id: UserId) -> tuple[User, int] | None:
        """Return a user and the record's revision, or None. Raises CorruptRecord if unreadable."""
        opened = await self._sealed.get(str(user_id))
        return None if opened is None else (self._read(user_id, opened.plaintext), opened.revision)

    def unchanged(self, user_id: UserId, revision: int) -> Check:
        """Return the condition, for a commit of others, that a record has the revision it had."""
        return Check(self._sealed.path(str(user_id)), revision)

    def decoy(self, user: User) -> Callable[[], User]:
        """Return a function that does the work of `get` on a record of `user`, which is not stored.

        It runs in the search for a user that does not exist, so that both take the same time.
        """
        name, sealed = str(user.user_id), self.change(user).value or b""
        return lambda: self._read(user.user_id, self._sealed.open(name, sealed))

    def _read(self, user_id: UserId, plaintext: bytes) -> User:
        return records.decode_user(user_id, plaintext, path=self._sealed.path(str(user_id)))

    async def put(self, user: User, *, expected: int | None) -> int:
        """Write a user and return the record's revision.

        Raises StaleRevision if the record does not have the `expected` revision, AlreadyExists if
        that is MISSING and the user exists, and QuotaExceeded if the quota allows no more users.
        """
        change = self.change(user, expected=expected)
        if expected:
            return await self._store.commit([change])
        return await retry_when_stale(partial(self._create, user.user_id, change))

    async def _create(self, user_id: UserId, change: Change) -> int:
        try:
            return await self._quotas.commit_user(user_id.namespace, change)
        except StaleRevision:
            if await self._sealed.revision(str(user_id)) == MISSING:
                raise
            raise AlreadyExists(f"User {user_id} already exists.") from None

    def change(self, user: User, *, expected: int | None = None) -> Change:
        """Return the change that writes a user, for a commit with others."""
        return self._sealed.put(str(user.user_id), records.encode_user(user), expected=expected)

    async def update(self, user_id: UserId, edit: Callable[[User], User]) -> User:
        """Replace a user by `edit(user)`, and return the new user.

        `edit` may run more than once, each time on the latest record. Raises NotFound if the user
        does not exist.
        """

        async def attempt() -> User:
            found = await self.get(user_id)
            if found is None:
                raise NotFound(f"User {user_id} does not exist.")
            user, revision = found
            edited = edit(user)
            _ = await self.put(edited, expected=revision)
            return edited

        async with self._sealed.changing(str(user_id)):
            return await retry_when_stale(attempt)

    async def delete(self, user_id: UserId) -> None:
        """Remove a user, readable or not. Raises NotFound if there is none."""

        async def attempt() -> None:
            revision = await self._sealed.revision(str(user_id))
            if revision == MISSING:
                raise NotFound(f"User {user_id} does not exist.")
            deletion = self._sealed.delete(str(user_id), expected=revision)
            _ = await self._quotas.commit_user(user_id.namespace, deletion)

        await retry_when_stale(attempt)

    async def list(self, namespace: NamespaceId | None) -> list[UserId]:
        """Return the users of a namespace, or all users for the root (None)."""
        if namespace is None:
            names = await self._sealed.names(start=FIRST_ID, stop=AFTER_LAST_ID)
        else:
            names = await self._sealed.names(
                start=namespace + NAMESPACE_SEPARATOR, stop=namespace + _AFTER_SEPARATOR
            )
        return [UserId.parse(name) for name in names]
