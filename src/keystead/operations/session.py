"""What an Operational HSM works with; lock drops it whole."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from keystead.access.gate import Gate
from keystead.errors import Conflict, StoreUnavailable, WriteRefused, WrongState
from keystead.journal.log import Log
from keystead.journal.metrics import Metrics
from keystead.model.device_settings import LoggingSettings
from keystead.model.ids import NamespaceId
from keystead.model.secret import Secret
from keystead.model.users import Caller
from keystead.operations.attempts import FailedAttempts
from keystead.operations.authentication import Authenticator
from keystead.operations.shares import Turns
from keystead.operations.unattended_key import UnattendedKeyFile
from keystead.operations.update_slot import UpdateSlot
from keystead.operations.work_pool import WorkPool
from keystead.sealing.backup import BackupWriter
from keystead.sealing.update_image import UpdateKey
from keystead.storage.conditional import depend_on
from keystead.storage.domain import DomainStores
from keystead.storage.key_value_store import KeyValueStore
from keystead.wire.messages import DEFAULT_KEY_CACHE

MOST_LISTS: Final = 256
"""Lists of keys with ?filter or ?label that may be under way together."""


@dataclass(frozen=True, slots=True)
class CoreContext:
    """What the core is given: it has no clock, store or thread of its own."""

    store: KeyValueStore
    device_key: Secret
    wall_clock: Callable[[], float]
    """Unix seconds."""
    monotonic: Callable[[], float]
    """Seconds."""
    crypto_pool: WorkPool
    """For uses of keys: milliseconds each."""
    keygen_pool: WorkPool
    """For keys that are made or checked: up to many seconds each for RSA."""
    kdf_pool: WorkPool
    log: Log
    aim_syslog: Callable[[LoggingSettings], None]
    """Has the log sent there from now on."""
    unattended_key: UnattendedKeyFile
    update_slot: UpdateSlot
    update_key: UpdateKey | None
    """Signs update images; None: none is accepted."""
    pkcs1_padding_errors: bool = False
    """Whether decryption with PKCS#1 v1.5 says that a padding was wrong, as NetHSM does."""
    open_shutdown: bool = False
    """Whether anyone may shut down a Locked or Failed HSM, as NetHSM lets them."""
    common_passphrases: bool = False
    """Whether a new passphrase may be one of the commonest, as in NetHSM."""
    key_cache: int = DEFAULT_KEY_CACHE
    """The greatest number of decrypted keys kept in memory."""


class Session:
    """The domain key's stores and all that was learned through them, from unlock to lock."""

    def __init__(
        self,
        context: CoreContext,
        metrics: Metrics,
        failed_attempts: FailedAttempts,
        gate: Gate,
        domain_key: Secret,
    ) -> None:
        self._domain_key: Secret | None = domain_key
        stores = DomainStores(context.store, domain_key, key_cache=context.key_cache)
        self.users = stores.users
        self.keys = stores.keys
        self.namespaces = stores.namespaces
        self.config = stores.config
        self.for_backup: Final = stores.for_backup
        """Returns the value of a record of these stores as a backup has it."""
        self.store = context.store
        self.backups: set[BackupWriter] = set()
        """Under way now."""
        self.moving = asyncio.Lock()
        """Held while a key is moved."""
        self.listing = Turns(MOST_LISTS)
        """Whose turn it is to read records for a list of keys that is chosen by more than IDs."""
        self.crypto_pool = context.crypto_pool
        self.keygen_pool = context.keygen_pool
        self.kdf_pool = context.kdf_pool
        self.pkcs1_padding_errors = context.pkcs1_padding_errors
        self.metrics = metrics
        self.gate = gate
        """Before every use of a key."""
        self.credentials = Authenticator(
            stores.users, context.kdf_pool, failed_attempts, context.log
        )
        self.ended = False
        self._log = context.log
        self._stores = stores
        self._namespaces: set[NamespaceId] = set()
        self._requests = 0
        self._one_done: asyncio.Event | None = None
        """While somebody waits for requests to end."""

    async def open(self) -> None:
        """Check that the stores open under the domain key; UnsupportedFormat if they are newer.

        Finishes what a crash left half done.
        """
        await self._stores.open()
        self._namespaces = set(await self.namespaces.list())

    def forget(self) -> None:
        """Forget what is remembered of the store: something in it may have changed.

        `open` reads again which namespaces there are.
        """
        self.credentials.forget_all()
        self.keys.forget_all()

    def is_namespace(self, namespace: NamespaceId | None) -> bool:
        """Whether this namespace exists; the root (None) always does."""
        return namespace is None or namespace in self._namespaces

    def namespace_created(self, namespace: NamespaceId) -> None:
        """Let the namespace's users in."""
        self._namespaces.add(namespace)

    def namespace_deleted(self, namespace: NamespaceId) -> None:
        """Refuse the namespace's users from now on."""
        self._namespaces.discard(namespace)

    def require_domain_key(self) -> Secret:
        """Return the domain key; WrongState once the session has ended."""
        if self._domain_key is None:
            raise WrongState("The HSM was locked meanwhile.")
        return self._domain_key

    async def flush_counters(self) -> None:
        """Write the operation counters of keys used since the last time."""
        await self.keys.flush_counts()

    def note(self, caller: Caller | None, event: str, **details: str) -> None:
        """Log what a caller did; `details` hold names only, never a secret."""
        self._log.info(event, caller=str(caller.user_id) if caller else "", **details)

    def request_begins(self) -> None:
        """Count a request that works with this session; `request_ends` must follow."""
        self._requests += 1

    def request_ends(self) -> None:
        """Count it no more."""
        self._requests -= 1
        if self._one_done is not None:
            self._one_done.set()

    async def end(self, *, seconds: float, but: int = 0) -> None:
        """Wait up to `seconds` for all requests under way but so many, then forget all secrets.

        The operation counters are kept. What is still under way after that gets WrongState, and
        backups do at once.
        """
        depend_on(None)  # Whoever asked for it may be no user any more when it comes to its end.
        self.end_backups()
        try:
            await asyncio.wait_for(self._until_left(but), seconds)
        except TimeoutError:
            self._log.warning(
                "keys were dropped while requests were running", requests=self._requests - but
            )
        self.ended = True
        self.credentials.forget_all()
        try:
            await self.keys.flush_counts()
        except (StoreUnavailable, WriteRefused, Conflict):
            self._log.warning("operation counters of the last seconds are lost")
        finally:
            self._stores.close()
            if self._domain_key is not None:
                self._domain_key.wipe()
            self._domain_key = None

    def end_backups(self) -> None:
        """Forget the keys of the backups under way: they end in the middle."""
        for writer in self.backups:
            writer.forget()

    async def _until_left(self, requests: int) -> None:
        if self._one_done is None:
            self._one_done = asyncio.Event()
        while self._requests > requests:
            self._one_done.clear()
            await self._one_done.wait()
