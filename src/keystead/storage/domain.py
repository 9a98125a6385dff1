"""The typed stores of all records under the domain key. They exist while unlocked."""

from collections.abc import Sequence

from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.sealing.domain_key import StoreLabel, store_key
from keystead.storage import format_version, key_paths
from keystead.storage.approvals import ApprovalStore
from keystead.storage.kept_policies import KeptPolicies
from keystead.storage.key_value_store import Change, KeyValueStore, Record
from keystead.storage.keys import KeyStore
from keystead.storage.namespaces import NamespaceStore, PresentRecords
from keystead.storage.quotas import Quotas
from keystead.storage.sealed_records import PageOf, SealedRecords
from keystead.storage.settings import SettingStore
from keystead.storage.users import UserStore


class DomainStores:
    """The stores of one HSM. `close` ends them when the HSM is locked."""

    def __init__(
        self,
        store: KeyValueStore,
        domain_key: Secret,
        *,
        key_cache: int = 0,
        present: PresentRecords | None = None,
        page_of: PageOf = lambda _: 0,
    ) -> None:
        """`domain_key` has 32 bytes. The keys of the stores are derived from it here.

        `key_cache` is the greatest number of decrypted keys kept in memory. `present` yields all
        records. With None, lists of the store are trusted. `page_of` says which records cost less
        if one commit writes them.
        """

        def sealed(label: StoreLabel, root: str) -> SealedRecords:
            return SealedRecords(store, store_key(domain_key, label), root, envelope.seal_extended)

        users = sealed(StoreLabel.USERS, "/authentication/")
        keys = sealed(StoreLabel.KEYS, key_paths.ROOT)
        namespaces = sealed(StoreLabel.NAMESPACES, "/namespace/")
        approvals = sealed(StoreLabel.APPROVALS, "/approval/")
        self._store = store
        self._versioned = {
            "user store": users,
            "key store": keys,
            "namespace store": namespaces,
            "approval store": approvals,
        }
        config = sealed(StoreLabel.CONFIG, "/config/")
        self._all = (users, keys, namespaces, config, approvals)
        self.namespaces = NamespaceStore(store, namespaces, present, page_of)
        quotas = Quotas(store, self.namespaces, users=users, keys=keys)
        self.users = UserStore(store, users, quotas)
        self.keys = KeyStore(keys, self.namespaces, quotas, cache_size=key_cache, page_of=page_of)
        self.config = SettingStore(config)
        self.approvals = ApprovalStore(store, approvals)
        self.kept_policies = KeptPolicies(store, keys, self.keys.limits)

    def initial(self) -> Sequence[Change]:
        """Return the changes that create empty stores of the current format version."""
        return [format_version.initial(sealed) for sealed in self._versioned.values()]

    async def open(self) -> None:
        """Check the stores, and finish what a crash interrupted. Call it after unlock."""
        await self.check()
        await self.kept_policies.apply()
        await self.namespaces.finish_deletions()
        await self.approvals.open()

    async def check(self) -> None:
        """Check the format versions.

        Raises UnsupportedFormat if a store is newer than this software, and CorruptRecord if the
        stores were sealed under another domain key. Creates the stores that older software did not
        have: a backup of a NetHSM before version 4 has no namespaces, and none has approvals.
        """
        for newer in (self._versioned["namespace store"], self._versioned["approval store"]):
            if await newer.get(format_version.NAME) is None:
                _ = await self._store.commit([format_version.initial(newer)])
        for what, sealed in self._versioned.items():
            await format_version.check_store(sealed, what=what)

    def for_backup(self, record: Record) -> bytes:
        """Return a record's value for a backup, in the form that a NetHSM reads."""
        (sealed,) = (one for one in self._all if one.has(record.path))
        return sealed.for_backup(record.path, record.entry.value)

    def close(self) -> None:
        """Forget every key and decrypted record. Running requests get WrongState."""
        self.keys.drop()
        self.approvals.forget()
        for sealed in self._all:
            sealed.close()
