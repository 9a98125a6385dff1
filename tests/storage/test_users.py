"""Users in their store."""

import asyncio
from dataclasses import replace

import pytest

from keystead.errors import AlreadyExists, Conflict, CorruptRecord, NotFound, StaleRevision
from keystead.model.ids import NamespaceId, UserId
from keystead.model.users import PassphraseVerifier, Role, User
from keystead.storage.key_value_store import MISSING, Change
from tests.support.stores import WatchedStore, new_domain


def user(name, real_name="somebody"):
    return User(UserId.parse(name), real_name, Role.OPERATOR, PassphraseVerifier(b"s", b"d", None))


def test_a_user_comes_back_with_the_revision_of_its_record():
    async def scenario():
        users = (await new_domain(WatchedStore())).users
        assert await users.get(UserId.parse("anna")) is None
        revision = await users.put(user("anna"), expected=MISSING)
        assert await users.get(UserId.parse("anna")) == (user("anna"), revision)

    asyncio.run(scenario())


def test_a_name_that_is_taken_stays_its_owners():
    async def scenario():
        users = (await new_domain(WatchedStore())).users
        await users.put(user("anna"), expected=MISSING)
        with pytest.raises(AlreadyExists):
            await users.put(user("anna", "an impostor"), expected=MISSING)
        found, revision = await users.get(UserId.parse("anna"))
        assert found.real_name == "somebody"
        with pytest.raises(StaleRevision):
            await users.put(user("anna", "late"), expected=revision - 1)

    asyncio.run(scenario())


def test_an_update_is_of_what_is_stored_by_then():
    letters = [chr(number) for number in range(ord("a"), ord("a") + 200)]
    attempts = []

    async def scenario():
        store = WatchedStore()
        users = (await new_domain(store)).users
        await users.put(user("anna", ""), expected=MISSING)
        store.before_commit = lambda: attempts.append("anna")

        def append(letter):
            return lambda found: replace(found, real_name=found.real_name + letter)

        await asyncio.gather(*(users.update(UserId.parse("anna"), append(n)) for n in letters))
        found, _ = await users.get(UserId.parse("anna"))
        assert sorted(found.real_name) == letters
        assert len(attempts) == len(letters)

    asyncio.run(scenario())


def test_an_update_that_never_gets_through_is_a_conflict():
    async def scenario():
        store = WatchedStore()
        users = (await new_domain(store)).users
        await users.put(user("anna"), expected=MISSING)

        def interfere():
            raise StaleRevision("someone was faster")

        store.before_commit = interfere
        with pytest.raises(Conflict):
            await users.update(UserId.parse("anna"), lambda found: found)

    asyncio.run(scenario())


def test_a_missing_user_can_be_neither_updated_nor_deleted():
    async def scenario():
        users = (await new_domain(WatchedStore())).users
        with pytest.raises(NotFound):
            await users.update(UserId.parse("anna"), lambda found: found)
        with pytest.raises(NotFound):
            await users.delete(UserId.parse("anna"))

    asyncio.run(scenario())


def test_a_deleted_user_is_gone():
    async def scenario():
        users = (await new_domain(WatchedStore())).users
        await users.put(user("anna"), expected=MISSING)
        await users.delete(UserId.parse("anna"))
        assert await users.get(UserId.parse("anna")) is None
        assert await users.list(None) == []

    asyncio.run(scenario())


def test_a_user_that_cannot_be_read_can_be_deleted():
    async def scenario():
        store = WatchedStore()
        users = (await new_domain(store)).users
        await store.commit([Change("/authentication/anna", b"noise")])
        await users.delete(UserId.parse("anna"))
        assert await users.list(None) == []

    asyncio.run(scenario())


def test_the_root_lists_all_users_and_a_namespace_its_own():
    names = ["0", "Zoe", "a", "a-b", "a.b~x", "a~0", "a~z", "aa~x", "a_b", "z~a"]

    async def scenario():
        users = (await new_domain(WatchedStore())).users
        for name in names:
            await users.put(user(name), expected=MISSING)
        assert [str(found) for found in await users.list(None)] == sorted(names)
        listed = await users.list(NamespaceId("a"))
        assert [str(found) for found in listed] == ["a~0", "a~z"]
        assert await users.list(NamespaceId("b")) == []

    asyncio.run(scenario())


def test_a_list_longer_than_a_page_is_whole():
    names = [f"u{number:04}" for number in range(2003)]

    async def scenario():
        store = WatchedStore()
        users = (await new_domain(store)).users
        await store.commit([users.change(user(name)) for name in names])
        assert [str(found) for found in await users.list(None)] == names

    asyncio.run(scenario())


def test_a_record_moved_to_another_path_is_corrupt():
    async def scenario():
        store = WatchedStore()
        users = (await new_domain(store)).users
        await users.put(user("admin"), expected=MISSING)
        stolen = await store.get("/authentication/admin")
        await store.commit([Change("/authentication/mallory", stolen.value)])
        with pytest.raises(CorruptRecord, match="/authentication/mallory does not open"):
            await users.get(UserId.parse("mallory"))

    asyncio.run(scenario())
