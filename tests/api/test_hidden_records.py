"""A store that hides records from lists, as a captured platform can: what rests on a list, holds.

Each record that is asked for by name is compared with the root. A record that a list leaves out is
not asked for.
"""

from collections.abc import Callable, Iterable, Sequence

import pytest

from keystead.errors import SnapshotUnavailable
from keystead.storage.key_value_store import Change, Record, Snapshot
from tests.api.test_policies import shown, with_one_use_left
from tests.api.test_put_back import MISSING, said
from tests.support.backups import restore, started, unlock
from tests.support.core import ADMIN, UNLOCK, Core, Credentials
from tests.support.memory_store import MemoryStore

USER = {"realName": "x", "role": "Administrator", "passphrase": "0123456789"}


class HidingStore(MemoryStore):
    """A store that shows no record whose path contains one of `hidden` in lists and scans."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: set[str] = set()
        self.instead: Callable[[list[Record]], list[Record]] = lambda shown: shown
        """What is put into a scan that something is hidden from, to hide that something is."""

    def shows(self, path: str) -> bool:
        return not any(text in path for text in self.hidden)

    def shown(self, found: Iterable[Record]) -> list[Record]:
        found = list(found)
        left = [record for record in found if self.shows(record.path)]
        return left if len(left) == len(found) else self.instead(left)

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        found = await super().list(start, stop, limit=10**6)
        return [path for path in found if self.shows(path)][:limit]

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        return self.shown(await super().scan(start, stop, limit_bytes=limit_bytes + 10**9))

    async def snapshot(self) -> Snapshot:
        return _HidingSnapshot(self, await super().snapshot())


class _HidingSnapshot:
    def __init__(self, store: HidingStore, snapshot: Snapshot) -> None:
        self._store = store
        self.get, self.close, self._scan = snapshot.get, snapshot.close, snapshot.scan

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        return self._store.shown(await self._scan(start, stop, limit_bytes=limit_bytes + 10**9))


async def with_a_backup() -> tuple[Core, HidingStore, str, bytes]:
    """Return a core, its store, a key with one use left, and a backup with more of them."""
    store = HidingStore()
    core = await started(store=store)
    key, file = await with_one_use_left(core)
    return core, store, key, file


async def change_unlock_passphrase(core: Core) -> None:
    change = {"newPassphrase": "another to unlock", "currentPassphrase": UNLOCK}
    path = "/config/unlock-passphrase"
    assert (await core.request("PUT", path, user=ADMIN, json=change)).status == 204


def twice(shown: list[Record]) -> list[Record]:
    return sorted([*shown, *shown], key=lambda record: record.path)


@pytest.mark.parametrize("instead", [lambda shown: shown, twice, lambda shown: shown + shown[:1]])
@pytest.mark.parametrize("other_key", [False, True])
async def test_a_key_that_is_hidden_from_a_restore_gets_no_uses_back(
    *, instead: Callable[[list[Record]], list[Record]], other_key: bool
) -> None:
    core, store, key, file = await with_a_backup()
    if other_key:
        await change_unlock_passphrase(core)
    store.hidden, store.instead = {f"/0/key/{key}"}, instead
    answer = await restore(core, file, ADMIN)
    assert answer.status == 409
    assert "1 records are missing from the store." in answer.message
    store.hidden = set()
    assert await shown(core, key) == {"maxUses": 5, "usesLeft": 1}
    assert store.snapshots == set()
    assert (await restore(core, file, ADMIN)).status == 204
    if other_key:
        assert await unlock(core) == 204
    assert await shown(core, key) == {"maxUses": 5, "usesLeft": 1}
    core.close()


@pytest.mark.parametrize("put_there", ["older", "invented", "damaged"])
async def test_a_record_that_is_not_the_present_one_stops_a_restore(put_there: str) -> None:
    core, store, key, file = await with_a_backup()
    path = f"/0/key/{key}"
    present = await store.get(path)
    assert present is not None
    await core.request("PUT", f"/keys/{key}/label", user=ADMIN, json={"label": "changed"})
    now = await store.get(path)
    assert now is not None
    put = {
        "older": Change(path, present.value),
        "invented": Change("/0/key/another", present.value),
        "damaged": Change(path, b"x" * 100),
    }
    await store.commit([put[put_there]])
    answer = await restore(core, file, ADMIN)
    assert answer.status == 409
    await store.commit([Change(path, now.value), Change("/0/key/another", None)])
    assert (await restore(core, file, ADMIN)).status == 204
    assert await shown(core, key) == {"maxUses": 5, "usesLeft": 1}
    core.close()


@pytest.mark.parametrize("hidden", ["/1/kept-policy/", "/1/kept-policy-pages", "/1/kept"])
async def test_what_a_restore_keeps_counts_also_if_it_is_hidden_while_the_root_is_made(
    hidden: str,
) -> None:
    core, store, key, file = await with_a_backup()
    await change_unlock_passphrase(core)
    store.hidden = {hidden}
    assert (await restore(core, file, ADMIN)).status == 204
    store.hidden = set()
    paths = await store.list(hidden, hidden + "\U0010ffff", limit=9)
    kept = [Change(path, (await store.get(path)).value) for path in paths]
    await store.commit([Change(path, None) for path in paths])
    assert await unlock(core) == 500
    assert (await core.request("GET", "/health/state")).json() == {"state": "Locked"}
    await store.commit(kept)
    assert await unlock(core) == 204
    assert await shown(core, key) == {"maxUses": 5, "usesLeft": 1}
    core.close()


async def test_a_restore_from_which_what_is_known_of_the_settings_is_hidden_is_refused() -> None:
    core, store, _, file = await with_a_backup()
    store.hidden = {"/0/device/"}
    assert (await restore(core, file, ADMIN)).status == 409
    core.close()


@pytest.mark.parametrize(
    ("method", "path", "json"),
    [
        ("PUT", "/users/tenant~mine", USER),
        ("POST", "/users/tenant~", USER),
        ("DELETE", "/users/tenant~admin", None),
        ("POST", "/users/tenant~admin/passphrase", {"passphrase": "another passphrase"}),
        ("PUT", "/users/tenant~op/tags/any", None),
        ("DELETE", "/users/tenant~op/tags/mine", None),
        ("PUT", "/namespaces/tenant", None),
    ],
)
async def test_nobody_changes_users_of_a_namespace_that_is_hidden_from_lists(
    method: str, path: str, json: object
) -> None:
    store = HidingStore()
    core = await started(store=store)
    await core.provision()
    owner = await core.add_namespace("tenant")
    await core.add_user("tenant~op", "Operator", by=owner)
    assert (await core.request("PUT", "/users/tenant~op/tags/mine", user=owner)).status == 204
    store.hidden = {"/0/namespace/tenant"}
    other = await core.restarted()
    assert await unlock(other) == 204
    assert (await other.request("GET", "/namespaces", user=ADMIN)).json() == []
    answer = await other.request(method, path, user=ADMIN, json=json)
    assert answer.status == (400 if path == "/namespaces/tenant" else 403)
    assert "exists" in answer.message
    core.close()


async def test_a_path_that_is_listed_twice_hides_no_other_one() -> None:
    core, store, key, _ = await with_a_backup()
    await core.request("POST", "/lock", user=ADMIN)
    listed = HidingStore.list

    async def doubled(start: str, stop: str, *, limit: int) -> list[str]:
        found = await listed(store, start, stop, limit=limit)
        hidden = f"/0/key/{key}"
        return [found[0] if path == hidden else path for path in found]

    store.list = doubled
    assert await unlock(core) == 204
    await core.hsm.binding.looking
    assert said(core, MISSING)
    core.close()


async def with_a_tenant_that_has_a_key(store: HidingStore) -> tuple[Core, Credentials]:
    core = await started(store=store)
    await core.provision()
    owner = await core.add_namespace("tenant")
    await core.generate("secret", "EC_P256", "ECDSA_Signature", by=owner)
    return core, owner


async def keys_of(core: Core, user: Credentials) -> list[str]:
    return [one["id"] for one in (await core.request("GET", "/keys", user=user)).json()]


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_key_that_is_hidden_from_the_deletion_of_its_namespace_comes_back_in_no_other(
    *, is_restarted: bool
) -> None:
    store = HidingStore()
    core, owner = await with_a_tenant_that_has_a_key(store)
    store.hidden = {"/0/key/.tenant/"}
    assert (await core.request("DELETE", "/namespaces/tenant", user=ADMIN)).status == 204
    assert said(core, "keys of a deleted namespace may be left")
    if is_restarted:
        core = await core.restarted()
        assert await unlock(core) == 204
    for _ in range(2):
        answer = await core.request("PUT", "/namespaces/tenant", user=ADMIN)
        assert (answer.status, "hidden" in answer.message) == (409, True)
    store.hidden = set()
    assert (await core.request("PUT", "/namespaces/tenant", user=ADMIN)).status == 204
    assert await keys_of(core, owner) == []
    assert (await core.request("GET", "/keys/secret", user=owner)).status == 404
    core.close()


async def test_a_key_that_is_hidden_from_the_list_of_its_namespace_alone_is_deleted() -> None:
    store = HidingStore()
    core, owner = await with_a_tenant_that_has_a_key(store)
    listed = HidingStore.list

    async def without_the_key(start: str, stop: str, *, limit: int) -> list[str]:
        found = await listed(store, start, stop, limit=limit)
        return [path for path in found if path != "/0/key/.tenant/secret"]

    store.list = without_the_key
    assert (await core.request("DELETE", "/namespaces/tenant", user=ADMIN)).status == 204
    assert not said(core, "keys of a deleted namespace may be left")
    assert await store.get("/0/key/.tenant/secret") is None
    assert (await core.request("PUT", "/namespaces/tenant", user=ADMIN)).status == 204
    assert await keys_of(core, owner) == []
    core.close()


async def test_a_namespace_is_deleted_and_made_again_while_records_of_others_are_hidden() -> None:
    store = HidingStore()
    core, owner = await with_a_tenant_that_has_a_key(store)
    await core.generate("other", "EC_P256", "ECDSA_Signature")
    store.hidden = {"/0/key/other"}
    assert (await core.request("DELETE", "/namespaces/tenant", user=ADMIN)).status == 204
    assert (await core.request("PUT", "/namespaces/tenant", user=ADMIN)).status == 409
    store.hidden = set()
    again = await core.restarted()
    assert await unlock(again) == 204
    assert (await again.request("PUT", "/namespaces/tenant", user=ADMIN)).status == 204
    assert await keys_of(again, owner) == []
    core.close()


async def test_a_namespace_is_deleted_at_once_and_made_again_when_all_records_can_be_read() -> None:
    store = HidingStore()
    core, owner = await with_a_tenant_that_has_a_key(store)
    look = store.snapshot

    async def none_is_kept() -> Snapshot:
        raise SnapshotUnavailable("There are too many snapshots.")

    store.snapshot = none_is_kept
    assert (await core.request("DELETE", "/namespaces/tenant", user=ADMIN)).status == 204
    assert (await core.request("GET", "/keys/secret", user=owner)).status == 403
    assert (await core.request("PUT", "/namespaces/tenant", user=ADMIN)).status == 503
    store.snapshot = look
    assert (await core.request("PUT", "/namespaces/tenant", user=ADMIN)).status == 204
    assert await keys_of(core, owner) == []
    core.close()
