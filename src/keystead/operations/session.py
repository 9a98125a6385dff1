"""The session of an Operational HSM: everything that lock drops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from keystead.access.gate import Gate
from keystead.deadlines import within
from keystead.errors import Conflict, StoreUnavailable, WriteRefused, WrongState
from keystead.journal.log import Log
from keystead.journal.metrics import Metrics
from keystead.model.device_settings import LoggingSettings
from keystead.model.ids import NamespaceId
from keystead.model.secret import Secret
from keystead.model.users import Caller
from keystead.operations.attempts import FailedAttempts
from keystead.operations.attest_machine import QuotesMachine
from keystead.operations.authentication import Authenticator
from keystead.operations.freshness import Freshness
from keystead.operations.key_maker import KeyMaker
from keystead.operations.known_namespaces import KnownNamespaces
from keystead.operations.shares import Turns
from keystead.operations.unattended_key import KeepsUnattendedKey
from keystead.operations.update_slot import KeepsUpdateImages
from keystead.operations.work_pool import WorkPool
from keystead.sealing.backup import BackupWriter
from keystead.sealing.update_image import UpdateKey
from keystead.storage.conditional import depend_on
from keystead.storage.domain import DomainStores
from keystead.storage.key_value_store import KeyValueStore
from keystead.storage.leases import return_leases
from keystead.storage.namespaces import PresentRecords
from keystead.storage.versions import Versions
from keystead.wire.control_messages import MachineSetting
from keystead.wire.platform_messages import DEFAULT_KEY_CACHE

MOST_LISTS: Final = 256
"""Lists of keys with ?filter or ?label that may run or wait at a time."""
STOP_PATIENCE_SECONDS: Final = 1.0
"""How long the end of a session waits for requests, if nobody has asked for it."""


@dataclass(frozen=True, slots=True)
class CoreContext:
    """What the process gives to the core, which has no clock, store or thread of its own."""

    store: KeyValueStore
    device_key: Secret
    wall_clock: Callable[[], float]
    """Unix seconds."""
    monotonic: Callable[[], float]
    """Seconds."""
    crypto_pool: WorkPool
    """Runs uses of keys, which take milliseconds each."""
    keygen_pool: WorkPool
    """Makes and checks keys. With RSA, one can take many seconds."""
    kdf_pool: WorkPool
    """Derives keys from passphrases, but for attempts to unlock."""
    unlock_pool: WorkPool
    """Derives the unlock key: soon, because the owner may be unlocking during an attack."""
    log: Log
    aim_syslog: Callable[[LoggingSettings], None]
    """Sends the log to this syslog server from now on."""
    unattended_key: KeepsUnattendedKey
    update_slot: KeepsUpdateImages
    free_bytes: Callable[[], Awaitable[int | None]]
    """Returns the space that the store's disk has, or None if that is not known."""
    update_key: UpdateKey | None
    """Verifies update images. None refuses every image."""
    pkcs1_padding_errors: bool = False
    """Whether decryption with PKCS#1 v1.5 reports a wrong padding, as NetHSM does."""
    open_shutdown: bool = False
    """Whether clients without credentials may shut down a Locked or Failed HSM, as with NetHSM."""
    common_passphrases: bool = False
    """Whether a new passphrase may be one of the most common passwords, as in NetHSM."""
    key_cache: int = DEFAULT_KEY_CACHE
    """The greatest number of decrypted keys kept in memory."""
    freshness: Freshness | None = None
    """Whether a member of a cluster knows what the others change. None without a cluster."""
    keeps_head: bool = False
    """Whether the journal's last checkpoint is also kept outside of the store."""
    keeps_count: bool = False
    """Whether the TPM has a counter that the journal follows."""
    warnings: Sequence[str] = ()
    """What `keystead doctor` warned of on this machine when the server started."""
    set_machine: Callable[[MachineSetting], None] | None = None
    """Has process 1 of the appliance apply a setting. None: this is no appliance."""
    software_digest: str | None = None
    """The SHA-256 over the files of the installed software."""
    measurements: Mapping[str, str] = field(default_factory=dict)
    """The registers of the machine's TPM, in hexadecimal, by number. Empty without a TPM."""
    device_key_provider: str = "file"
    """What keeps the device key: `file`, in clear, `credential` or `tpm2`."""
    quotes: QuotesMachine | None = None
    """The TPM that attests what was booted. None: there is none."""
    self_test_failure: str | None = None
    """Which of the tests at start failed, and why: the HSM is Failed from then on."""


class CheckedRecords(NamedTuple):
    """The records that a session works with, each compared with its version."""

    versions: Versions
    present: PresentRecords
    """Yields all of them."""


class Session:
    """The stores under the domain key and everything cached from them, from unlock to lock."""

    def __init__(
        self,
        context: CoreContext,
        metrics: Metrics,
        failed_attempts: FailedAttempts,
        gate: Gate,
        domain_key: Secret,
        records: CheckedRecords,
    ) -> None:
        self._domain_key: Secret | None = domain_key
        self._versions = records.versions
        stores = DomainStores(
            context.store,
            domain_key,
            key_cache=context.key_cache,
            present=records.present,
            page_of=records.versions.page_of,
        )
        self.users = stores.users
        self.keys = stores.keys
        self.namespaces = stores.namespaces
        self.config = stores.config
        self.approvals = stores.approvals
        self.kept_policies = stores.kept_policies
        self.for_backup: Final = stores.for_backup
        """Returns the value of a record in the form that it has in a backup."""
        self.store = context.store
        self.backups: set[BackupWriter] = set()
        """The backups that are being made now."""
        self.listing = Turns(MOST_LISTS)
        """The turns of lists that read records of keys, because they select by tag or label."""
        self.crypto_pool = context.crypto_pool
        self.keygen_pool = context.keygen_pool
        self.key_maker = KeyMaker(context.keygen_pool)
        self.kdf_pool = context.kdf_pool
        self.pkcs1_padding_errors = context.pkcs1_padding_errors
        self.metrics = metrics
        self.gate = gate
        """Permits or refuses every use of a key."""
        self.credentials = Authenticator(
            stores.users, context.kdf_pool, failed_attempts, context.log
        )
        self.ended = False
        self._freshness = context.freshness
        self._log = context.log
        self._monotonic = context.monotonic
        self._stores = stores
        self.known_namespaces = KnownNamespaces(stores.namespaces.list, stores.namespaces.is_stored)
        self._requests = 0
        self._ending = 0
        """Those of the requests that end the session themselves."""
        self._one_done: asyncio.Event | None = None
        """Set whenever a request is done or ends the session; exists while `end` waits."""

    async def open(self) -> None:
        """Check that the stores open under the domain key, and finish what a crash interrupted.

        Raises UnsupportedFormat if a store is newer than this software.
        """
        await self._stores.open()
        await self.known_namespaces.read()

    def forget(self) -> None:
        """Forget what is cached from the store, because it may have changed.

        `open` reads the list of namespaces again.
        """
        self.credentials.forget_all()
        self.keys.forget_all()
        self.approvals.forget()

    async def read_again(self) -> None:
        """Read what is always in memory: another member of the cluster may have changed it."""
        await self.approvals.open()
        await self.known_namespaces.read()

    async def know_others(self) -> None:
        """Return once memory has all that other members of a cluster have done before this call.

        Raises StoreUnavailable if it has not within a second.
        """
        if self._freshness is not None:
            await self._freshness.catch_up()

    def is_namespace(self, namespace: NamespaceId | None) -> bool:
        """Whether this namespace exists; the root (None) always does."""
        return namespace is None or namespace in self.known_namespaces

    def require_domain_key(self) -> Secret:
        """Return the domain key. Raises WrongState if the session has ended."""
        if self._domain_key is None:
            raise WrongState("The HSM was locked in the meantime.")
        return self._domain_key

    async def flush_counters(self) -> None:
        """Write the operation counters of keys that were used since they were last written."""
        await self.keys.forget_idle_limits(self._monotonic())
        await self.keys.flush_counts()

    def note(self, caller: Caller | None, event: str, **details: str) -> None:
        """Log what a caller did; `details` hold names only, never a secret."""
        self._log.info(event, caller=str(caller.user_id) if caller else "", **details)

    def request_begins(self) -> None:
        """Count a request that works with this session. `request_ends` must follow."""
        self._requests += 1

    def request_ends(self) -> None:
        """Stop counting a request that began with `request_begins`."""
        self._requests -= 1
        if self._one_done is not None:
            self._one_done.set()

    @asynccontextmanager
    async def holding(self, lock: asyncio.Lock) -> AsyncIterator[None]:
        """Hold `lock` for a request. `end` does not wait for a request that waits for the lock.

        What ends the session may hold the lock itself. Raises WrongState if the session has ended.
        """
        self.request_ends()
        try:
            _ = await lock.acquire()
        finally:
            self.request_begins()
        try:
            if self.ended:
                raise WrongState("The HSM was locked in the meantime.")
            yield
        finally:
            lock.release()

    async def end(self, *, seconds: float, but: int = 0) -> None:
        """Wait up to `seconds` until requests are done, then forget all secrets.

        The caller is `but` of these requests. Nothing waits for it, nor for others that have called
        this meanwhile. The operation counters are written. Requests that still run after that get
        WrongState; backups get it at once.
        """
        depend_on(None)  # The user that asked for this may be deleted before it is done.
        self.end_backups()
        self._ending += but
        self._tell()
        try:
            await within(seconds, self._until_left())
        except TimeoutError:
            self._log.warning(
                "keys were dropped while requests were running",
                requests=self._requests - self._ending,
            )
        self.ended = True
        self.credentials.forget_all()
        try:
            await return_leases(self.keys)
        except (StoreUnavailable, WriteRefused, Conflict):
            self._log.warning("operation counters of the last seconds are lost")
        finally:
            self.wipe()

    def wipe(self) -> None:
        """Forget all secrets, of a session that has ended or was never in use."""
        self.ended = True
        self._stores.close()
        self._versions.close()
        if self._domain_key is not None:
            self._domain_key.wipe()
        self._domain_key = None

    def end_backups(self) -> None:
        """Forget the keys of all running backups, which end incomplete."""
        for writer in self.backups:
            writer.forget()

    def _tell(self) -> None:
        if self._one_done is not None:
            self._one_done.set()

    async def _until_left(self) -> None:
        if self._one_done is None:
            self._one_done = asyncio.Event()
        while self._requests > self._ending:
            self._one_done.clear()
            await self._one_done.wait()
