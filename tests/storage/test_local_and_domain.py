"""What is stored of one device, what of the HSM as a whole, and which formats are read."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystead.certificates.tls_identity import make_tls_identity
from keystead.errors import (
    CorruptRecord,
    DecryptionFailed,
    NotFound,
    StaleRevision,
    UnsupportedFormat,
)
from keystead.model.device_settings import NetworkSettings
from keystead.model.ids import NamespaceId
from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.sealing.domain_key import (
    StoreLabel,
    lock,
    lock_unattended,
    new_domain_key,
    new_unattended_key,
    new_unlock_salt,
    store_key,
    unlock,
    unlock_unattended,
)
from keystead.storage import settings
from keystead.storage.domain import DomainStores
from keystead.storage.key_value_store import Change
from keystead.storage.local import LocalStore
from keystead.storage.paths import devices
from tests.support.memory_store import MemoryStore

DEVICE_KEY = Secret(b"v" * 32)
UNLOCK_KEY = Secret(b"u" * 32)


async def opened(local: LocalStore, unlock_key: Secret) -> Secret:
    return unlock(await local.locked_domain_key(), unlock_key)


async def provisioned():
    """Return a store as after provisioning, with its domain key."""
    store, domain_key = MemoryStore(), new_domain_key()
    local, domain = LocalStore(store, DEVICE_KEY), DomainStores(store, domain_key)
    await store.commit(
        [
            local.initial(),
            local.put_locked_domain_key(lock(domain_key, UNLOCK_KEY)),
            *domain.initial(),
        ]
    )
    return store, domain_key


# --- the domain key's slots ---


def test_a_new_device_is_not_provisioned_and_a_provisioned_one_is():
    async def scenario():
        assert not await LocalStore(MemoryStore(), DEVICE_KEY).is_provisioned()
        store, _ = await provisioned()
        assert await LocalStore(store, DEVICE_KEY).is_provisioned()

    asyncio.run(scenario())


def test_settings_made_before_do_not_make_it_provisioned():
    async def scenario():
        store = MemoryStore()
        local = LocalStore(store, DEVICE_KEY)
        await store.commit([local.settings.put(settings.TIME_OFFSET, 5)])
        assert not await local.is_provisioned()

    asyncio.run(scenario())


def test_the_domain_key_opens_with_the_unlock_key_only():
    async def scenario():
        store, domain_key = await provisioned()
        local = LocalStore(store, DEVICE_KEY)
        assert (await opened(local, UNLOCK_KEY)).reveal() == domain_key.reveal()
        with pytest.raises(DecryptionFailed):
            await opened(local, Secret(b"x" * 32))

    asyncio.run(scenario())


KEY = st.binary(min_size=32, max_size=32)


@given(unlock_key=KEY, device_key=KEY, wrong=KEY)
def test_the_attended_slot_opens_with_both_keys_at_its_own_path_only(unlock_key, device_key, wrong):
    async def scenario():
        store, domain_key = MemoryStore(), new_domain_key()
        local = LocalStore(store, Secret(device_key))
        slot = local.put_locked_domain_key(lock(domain_key, Secret(unlock_key)))
        await store.commit([slot])
        assert (await opened(local, Secret(unlock_key))).reveal() == domain_key.reveal()
        if wrong != unlock_key:
            with pytest.raises(DecryptionFailed):
                await opened(local, Secret(wrong))
        other = LocalStore(store, Secret(wrong))
        if wrong != device_key:
            await store.commit(
                [
                    replace(
                        other.put_locked_domain_key(lock(domain_key, UNLOCK_KEY)), value=slot.value
                    )
                ]
            )
            with pytest.raises(CorruptRecord):
                await other.locked_domain_key()
        unattended = local.put_unattended(b"")
        await store.commit([replace(unattended, value=slot.value)])
        with pytest.raises(CorruptRecord):
            await local.unattended()

    asyncio.run(scenario())


def test_a_device_without_a_slot_has_nothing_to_open():
    async def scenario():
        local = LocalStore(MemoryStore(), DEVICE_KEY)
        with pytest.raises(NotFound):
            await local.locked_domain_key()
        assert await local.unattended() is None

    asyncio.run(scenario())


def test_a_store_of_another_device_key_is_not_taken_for_a_new_one():
    async def scenario():
        store, _ = await provisioned()
        with pytest.raises(CorruptRecord, match="another device key"):
            await LocalStore(store, Secret(b"w" * 32)).is_provisioned()

    asyncio.run(scenario())


def test_provisioning_twice_is_refused():
    async def scenario():
        store, _ = await provisioned()
        with pytest.raises(StaleRevision):
            await store.commit([LocalStore(store, DEVICE_KEY).initial()])

    asyncio.run(scenario())


def test_unattended_boot_opens_the_domain_key_until_it_is_turned_off():
    async def scenario():
        store, domain_key = await provisioned()
        local = LocalStore(store, DEVICE_KEY)
        assert await local.unattended() is None
        key = new_unattended_key()
        await store.commit([local.put_unattended(lock_unattended(domain_key, key))])
        slot = await local.unattended()
        assert unlock_unattended(slot, key).reveal() == domain_key.reveal()
        await store.commit(local.remove_unattended())
        assert await local.unattended() is None

    asyncio.run(scenario())


def test_a_locked_domain_key_moves_to_another_device():
    async def scenario():
        store, domain_key = await provisioned()
        locked = await LocalStore(store, DEVICE_KEY).locked_domain_key()
        other_store = MemoryStore()
        other = LocalStore(other_store, Secret(b"w" * 32))
        await other_store.commit([other.put_locked_domain_key(locked)])
        assert (await opened(other, UNLOCK_KEY)).reveal() == domain_key.reveal()

    asyncio.run(scenario())


def test_paths_are_nethsms_but_that_of_approvals():
    async def scenario():
        store, domain_key = await provisioned()
        local = LocalStore(store, DEVICE_KEY)
        stores = DomainStores(store, domain_key)
        await store.commit(
            [
                local.settings.put(settings.UNLOCK_SALT, new_unlock_salt()),
                local.put_unattended(b"locked"),
                stores.config.put(settings.BACKUP_SALT, b"salt"),
            ]
        )
        assert await store.list("/", "0", limit=100) == [
            "/approval/.version",
            "/authentication/.version",
            "/config/backup-salt",
            "/config/version",
            "/key/.version",
            f"/local/{local.device_id}/config/unlock-salt",
            f"/local/{local.device_id}/domain-key/attended-and-bound",
            f"/local/{local.device_id}/domain-key/unattended-with-key",
            "/namespace/.version",
        ]

    asyncio.run(scenario())


# --- format versions ---


def test_a_newer_layout_is_refused():
    async def scenario():
        store, _ = await provisioned()
        await store.commit([Change("/config/version", b"2")])
        with pytest.raises(
            UnsupportedFormat, match="format version 2; this software reads up to 1"
        ):
            await LocalStore(store, DEVICE_KEY).is_provisioned()

    asyncio.run(scenario())


def test_a_foreign_layout_is_refused():
    async def scenario():
        store, _ = await provisioned()
        for noise in (b"", b"\xff\x00", b"one", b"01"):
            await store.commit([Change("/config/version", noise)])
            with pytest.raises(UnsupportedFormat):
                await LocalStore(store, DEVICE_KEY).is_provisioned()

    asyncio.run(scenario())


ROOTS = {
    "/authentication/": StoreLabel.USERS,
    "/key/": StoreLabel.KEYS,
    "/namespace/": StoreLabel.NAMESPACES,
}


@pytest.mark.parametrize("root", ROOTS)
def test_each_record_of_the_domain_is_sealed_under_a_key_of_its_own(root):
    async def scenario():
        store, domain_key = await provisioned()
        await DomainStores(store, domain_key).namespaces.create(NamespaceId("ns"))
        key = store_key(domain_key, ROOTS[root])
        paths = await store.list(root, root + "~", limit=100)
        assert paths
        for path in paths:
            sealed = (await store.get(path)).value
            envelope.unseal_any(key, path, sealed)
            with pytest.raises(DecryptionFailed):
                envelope.unseal(key, path, sealed)

    asyncio.run(scenario())


@pytest.mark.parametrize("root", ROOTS)
def test_a_store_newer_than_this_software_is_refused(root):
    async def scenario():
        store, domain_key = await provisioned()
        await DomainStores(store, domain_key).open()
        path = root + ".version"
        newer = envelope.seal(store_key(domain_key, ROOTS[root]), path, b"1")
        await store.commit([Change(path, newer)])
        with pytest.raises(UnsupportedFormat, match=r"store has format version 1; .* up to 0"):
            await DomainStores(store, domain_key).open()

    asyncio.run(scenario())


@pytest.mark.parametrize("root", ["/authentication/", "/key/"])
def test_a_store_without_a_version_is_refused(root):
    async def scenario():
        store, domain_key = await provisioned()
        await store.commit([Change(root + ".version", None)])
        with pytest.raises(UnsupportedFormat, match="no format version"):
            await DomainStores(store, domain_key).open()

    asyncio.run(scenario())


def test_a_missing_namespace_store_begins_when_the_others_open():
    async def scenario():
        store, domain_key = await provisioned()
        await store.commit([Change("/namespace/.version", None)])
        stores = DomainStores(store, domain_key)
        await stores.open()
        await stores.namespaces.create(NamespaceId("ns"))
        await DomainStores(store, domain_key).open()

    asyncio.run(scenario())


def test_stores_of_another_domain_key_do_not_open():
    async def scenario():
        store, _ = await provisioned()
        with pytest.raises(CorruptRecord):
            await DomainStores(store, new_domain_key()).open()

    asyncio.run(scenario())


# --- settings ---

SETTINGS = st.one_of(
    st.tuples(st.just(settings.UNLOCK_SALT), st.binary()),
    st.tuples(st.just(settings.NETWORK), st.just(NetworkSettings("192.0.2.1", "255.255.255.0"))),
    st.tuples(st.just(settings.TIME_OFFSET), st.integers(-(10**12), 10**12)),
    st.tuples(st.just(settings.UNATTENDED_BOOT), st.booleans()),
)


@given(case=SETTINGS)
def test_a_setting_comes_back_as_set_until_it_is_removed(case):
    setting, value = case

    async def scenario():
        store = MemoryStore()
        kept = LocalStore(store, DEVICE_KEY).settings
        assert await kept.get(setting) is None
        await store.commit([kept.put(setting, value)])
        assert await kept.get(setting) == value
        await store.commit([kept.remove(setting)])
        assert await kept.get(setting) is None

    asyncio.run(scenario())


def test_a_tls_identity_comes_back_as_set():
    async def scenario():
        store = MemoryStore()
        kept = LocalStore(store, DEVICE_KEY).settings
        key, leaf = make_tls_identity("first")
        chain = leaf + make_tls_identity("second")[1]
        await store.commit([kept.put(settings.TLS_KEY, key), kept.put(settings.TLS_CHAIN, chain)])
        assert (await kept.get(settings.TLS_KEY)).reveal() == key.reveal()
        assert await kept.get(settings.TLS_CHAIN) == chain

    asyncio.run(scenario())


def test_a_chain_without_a_certificate_is_not_stored():
    kept = LocalStore(MemoryStore(), DEVICE_KEY).settings
    with pytest.raises(ValueError, match="no certificate"):
        kept.put(settings.TLS_CHAIN, b"-----BEGIN NONSENSE-----")


@pytest.mark.parametrize(
    ("setting", "noise"),
    [
        (settings.TIME_OFFSET, b"soon"),
        (settings.UNATTENDED_BOOT, b"yes"),
        (settings.NETWORK, b"{}"),
        (settings.TLS_CHAIN, b""),
        (settings.TLS_CHAIN, b"\x00\x00\x00\x05abc"),
        (settings.TLS_CHAIN, b"\x00\x00"),
        (settings.TLS_CHAIN, b"\x00\x00\x00\x00\x00"),
    ],
)
def test_a_setting_that_makes_no_sense_is_corrupt(setting, noise):
    async def scenario():
        store = MemoryStore()
        kept = LocalStore(store, DEVICE_KEY).settings
        raw = settings.Setting(setting.name, lambda value: value, lambda stored: stored)
        await store.commit([kept.put(raw, noise)])
        with pytest.raises(CorruptRecord, match=setting.name):
            await kept.get(setting)

    asyncio.run(scenario())


def test_settings_of_a_device_do_not_open_on_another():
    async def scenario():
        store = MemoryStore()
        first, second = (LocalStore(store, Secret(key * 32)) for key in (b"1", b"2"))
        await store.commit([first.settings.put(settings.TIME_OFFSET, 5)])
        assert await second.settings.get(settings.TIME_OFFSET) is None
        source = await store.get(f"/local/{first.device_id}/config/time-offset")
        await store.commit([Change(f"/local/{second.device_id}/config/time-offset", source.value)])
        with pytest.raises(CorruptRecord):
            await second.settings.get(settings.TIME_OFFSET)

    asyncio.run(scenario())


# --- from one device key to another ---


def test_all_of_a_device_opens_under_the_new_key_and_nothing_under_the_old():
    async def scenario():
        store, domain_key = await provisioned()
        old, new = LocalStore(store, DEVICE_KEY), LocalStore(store, Secret(b"n" * 32))
        assert await devices(store) == {old.device_id}
        tls_key, chain = make_tls_identity("same")
        await store.commit(
            [
                old.put_unattended(b"locked"),
                old.settings.put(settings.TIME_OFFSET, 5),
                old.settings.put(settings.TLS_KEY, tls_key),
                old.settings.put(settings.TLS_CHAIN, chain),
            ]
        )
        before = await store.list("", "\U0010ffff", limit=100)
        await store.commit(await old.moved_to(new))
        after = await store.list("", "\U0010ffff", limit=100)
        assert sorted(path.replace(old.device_id, new.device_id) for path in before) == after
        assert await devices(store) == {new.device_id}
        assert await new.is_provisioned()
        assert (await opened(new, UNLOCK_KEY)).reveal() == domain_key.reveal()
        assert await new.unattended() == b"locked"
        assert await new.settings.get(settings.TIME_OFFSET) == 5
        assert (await new.settings.get(settings.TLS_KEY)).reveal() == tls_key.reveal()
        assert await new.settings.get(settings.TLS_CHAIN) == chain

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["/local/{}/later", "/local/{}/config/.hidden"])
def test_a_record_that_this_software_does_not_know_is_not_left_behind(path):
    async def scenario():
        store, _ = await provisioned()
        old, new = LocalStore(store, DEVICE_KEY), LocalStore(store, Secret(b"n" * 32))
        await store.commit([Change(path.format(old.device_id), b"x")])
        with pytest.raises(CorruptRecord, match="unknown to this software"):
            await old.moved_to(new)

    asyncio.run(scenario())


def test_a_device_does_not_take_what_another_has():
    async def scenario():
        store, domain_key = await provisioned()
        old, new = LocalStore(store, DEVICE_KEY), LocalStore(store, Secret(b"n" * 32))
        await store.commit([new.put_locked_domain_key(lock(domain_key, UNLOCK_KEY))])
        with pytest.raises(StaleRevision):
            await store.commit(await old.moved_to(new))
        assert await devices(store) == {old.device_id, new.device_id}

    asyncio.run(scenario())


def test_an_empty_store_is_of_no_device_and_a_store_without_one_of_none():
    async def scenario():
        store = MemoryStore()
        assert await devices(store) is None
        await store.commit([Change("/x", b"x")])
        assert await devices(store) == frozenset()

    asyncio.run(scenario())
