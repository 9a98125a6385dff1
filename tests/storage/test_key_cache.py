"""Keys in memory: loaded once, changed at once, forgotten for good."""

import asyncio
from dataclasses import fields, replace

import pytest

from keystead.errors import CorruptRecord
from keystead.model.ids import Label, Tag
from keystead.model.keys import KeyRecord, Permit, PrivateMaterial, StoredCertificate
from keystead.model.policy import PolicyDocument, parse_policy
from keystead.storage.key_cache import BYTES_A_KEY
from keystead.storage.key_value_store import MISSING, Change
from tests.support.stores import key_path, key_record, with_key

A, B = key_path("a"), key_path("b")


def test_a_key_is_loaded_once_and_then_served_from_memory():
    async def scenario():
        store, domain, record = await with_key()
        assert domain.keys.cached(A) is None
        key = await domain.keys.get(A)
        assert key.record == record
        assert key.release(Permit(A)).material() == record.private
        assert await domain.keys.get(A) is domain.keys.cached(A) is key
        assert store.gets == ["/key/a"]

    asyncio.run(scenario())


def test_many_who_miss_one_key_load_it_once():
    async def scenario():
        store, domain, _ = await with_key()
        keys = await asyncio.gather(*(domain.keys.get(A) for _ in range(10)))
        assert len({id(key) for key in keys}) == 1
        assert store.gets == ["/key/a"]

    asyncio.run(scenario())


def test_one_who_gives_up_does_not_take_the_others_load_along():
    async def scenario():
        store, domain, record = await with_key()
        store.hold_gets = asyncio.Event()
        first, second = (asyncio.create_task(domain.keys.get(A)) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        store.hold_gets.set()
        assert (await second).record == record
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(scenario())


def test_an_absent_key_is_asked_for_every_time_and_takes_no_memory():
    async def scenario():
        store, domain, _ = await with_key()
        assert await domain.keys.get(B) is None
        assert await domain.keys.get(B) is None
        assert store.gets == ["/key/b", "/key/b"]
        assert not await domain.keys.exists(B)
        assert await domain.keys.exists(A)

    asyncio.run(scenario())


def test_the_key_used_least_recently_leaves_the_cache_first():
    async def scenario():
        _, domain, record = await with_key(key_cache=2)
        for name in "bc":
            await domain.keys.put(key_path(name), record, expected=MISSING)
        for name in "abac":
            await domain.keys.get(key_path(name))
        assert domain.keys.cached(B) is None
        assert domain.keys.cached(A) is not None
        assert domain.keys.cached(key_path("c")) is not None

    asyncio.run(scenario())


def cached_names(domain, names: str) -> str:
    return "".join(name for name in names if domain.keys.cached(key_path(name)) is not None)


async def put_and_use(domain, record, names: str) -> None:
    for name in names:
        await domain.keys.put(key_path(name), record, expected=MISSING)
        await domain.keys.get(key_path(name))


def test_a_change_that_is_cancelled_is_in_doubt_and_its_key_forgotten():
    async def scenario():
        store, domain, record = await with_key()
        await domain.keys.get(A)
        committing = asyncio.Event()
        store.before_commit = lambda: (committing.set(), asyncio.sleep(10))[1]
        edited = replace(record, label=Label("new"))
        task = asyncio.create_task(domain.keys.update(A, lambda _: edited))
        await committing.wait()
        assert domain.keys.cached(A) is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert domain.keys.cached(A) is None

    asyncio.run(scenario())


def test_keys_with_large_certificates_fill_the_memory_of_the_cache_with_fewer_keys():
    async def scenario():
        _, domain, record = await with_key(key_cache=4)
        heavy = replace(record, certificate=StoredCertificate("text/plain", bytes(BYTES_A_KEY)))
        await put_and_use(domain, heavy, "bcdef")
        assert cached_names(domain, "bcdef") == "def"
        await domain.keys.delete(key_path("d"))
        await domain.keys.get(B)
        assert cached_names(domain, "bcdef") == "bef", "what is deleted makes room"

    asyncio.run(scenario())


def test_keys_with_many_tags_weigh_more_too():
    async def scenario():
        _, domain, record = await with_key(key_cache=4)
        tags = frozenset(Tag(f"{number:0128}") for number in range(200))
        await put_and_use(domain, replace(record, tags=tags), "bc")
        assert cached_names(domain, "bc") == "c"

    asyncio.run(scenario())


LONG = 10_000
LONGER = {
    "private": PrivateMaterial(pem=bytes(LONG)),
    "mechanisms": frozenset({"M" * LONG}),
    "tags": frozenset({Tag("t" * LONG)}),
    "label": Label("l" * LONG),
    "certificate": StoredCertificate("text/plain", bytes(LONG)),
    "policy": parse_policy(PolicyDocument(modes=("M" * LONG,))),
}
"""Long values of the fields of a record whose size varies."""
OF_FIXED_SIZE = {"operations", "uses_left", "uses_of", "origin", "created"}


def test_every_field_of_a_record_is_known_to_be_long_or_of_fixed_size():
    assert LONGER.keys() | OF_FIXED_SIZE == {one.name for one in fields(KeyRecord)}, (
        "a new field of a key belongs in LONGER or in OF_FIXED_SIZE of this file"
    )


@pytest.mark.parametrize("field", LONGER)
def test_every_long_field_of_a_record_adds_to_the_weight_of_its_key(field):
    async def scenario():
        _, domain, record = await with_key()
        key = await domain.keys.get(A)
        short = replace(record, private=PrivateMaterial(pem=b""))
        longer = key.with_record(replace(short, **{field: LONGER[field]}), 2)
        heavier = longer.weight > key.with_record(short, 2).weight + LONG - 100
        assert heavier, f"KeyRecord.contents has to return the {field}"

    asyncio.run(scenario())


def test_a_public_half_that_is_stored_adds_to_the_weight_of_its_key():
    async def scenario():
        _, domain, record = await with_key()
        key = await domain.keys.get(A)
        private = replace(record.private, public=bytes(LONG))
        longer = key.with_record(replace(record, private=private), 2)
        assert longer.weight > key.weight + LONG - 100

    asyncio.run(scenario())


def test_a_certificate_added_to_a_cached_key_counts():
    async def scenario():
        _, domain, record = await with_key(key_cache=4)
        await put_and_use(domain, record, "bcd")
        large = StoredCertificate("text/plain", bytes(4 * BYTES_A_KEY - 10_000))
        await domain.keys.update(B, lambda record: replace(record, certificate=large))
        assert cached_names(domain, "bcd") == "bd"

    asyncio.run(scenario())


def test_a_key_that_alone_is_over_the_size_is_served_and_drives_nothing_out():
    async def scenario():
        _, domain, record = await with_key(key_cache=4)
        await put_and_use(domain, record, "b")
        huge = StoredCertificate("text/plain", bytes(4 * BYTES_A_KEY))
        await put_and_use(domain, replace(record, certificate=huge), "c")
        assert (await domain.keys.get(key_path("c"))).record.certificate == huge
        assert cached_names(domain, "bc") == "b"

    asyncio.run(scenario())


def test_reading_a_record_leaves_the_cache_alone():
    async def scenario():
        _, domain, record = await with_key()
        found, _ = await domain.keys.read(A)
        assert found == record
        assert await domain.keys.read(B) is None
        assert domain.keys.cached(A) is None

    asyncio.run(scenario())


def test_a_change_is_seen_at_once_and_keeps_the_parsed_key():
    async def scenario():
        store, domain, _ = await with_key()
        before = await domain.keys.get(A)
        await domain.keys.update(A, lambda record: replace(record, label=Label("new")))
        after = domain.keys.cached(A)
        assert after.record.label == "new"
        assert after.release(Permit(A)) is before.release(Permit(A))
        assert after.revision == (await store.get("/key/a")).revision

    asyncio.run(scenario())


def test_another_private_key_is_parsed_anew():
    async def scenario():
        _, domain, _ = await with_key()
        before = await domain.keys.get(A)
        other = key_record()
        await domain.keys.put(A, other, expected=before.revision)
        assert (await domain.keys.get(A)).release(Permit(A)).material() == other.private

    asyncio.run(scenario())


def test_a_load_that_read_the_old_record_does_not_stay_in_memory():
    async def scenario():
        store, domain, _ = await with_key()
        store.hold_gets = asyncio.Event()
        load = asyncio.create_task(domain.keys.get(A))
        await asyncio.sleep(0.01)
        hold, store.hold_gets = store.hold_gets, None
        await domain.keys.update(A, lambda record: replace(record, label=Label("new")))
        hold.set()
        await load
        assert (await domain.keys.get(A)).record.label == "new"

    asyncio.run(scenario())


def test_an_answer_that_comes_late_does_not_bring_an_older_record_back():
    """Another member of a cluster changes the key before this one hears that its change is made."""

    async def scenario():
        store, domain, _ = await with_key()
        await domain.keys.get(A)
        commit, may_answer = store.commit, asyncio.Event()

        async def answer_late(changes, *, checks=()):
            store.commit = commit
            revision = await commit(changes, checks=checks)
            await may_answer.wait()
            return revision

        def older(record):
            return replace(record, label=Label("older"))

        store.commit = answer_late
        late = asyncio.create_task(domain.keys.update(A, older))
        await asyncio.sleep(0.01)
        record, revision = await domain.keys.read(A)
        await domain.keys.put(A, replace(record, label=Label("newer")), expected=revision)
        may_answer.set()
        await late
        assert (await domain.keys.get(A)).record.label == "newer"

    asyncio.run(scenario())


def test_a_load_under_way_does_not_bring_a_deleted_key_back():
    async def scenario():
        store, domain, _ = await with_key()
        store.hold_gets = asyncio.Event()
        load = asyncio.create_task(domain.keys.get(A))
        await asyncio.sleep(0.01)
        hold, store.hold_gets = store.hold_gets, None
        await domain.keys.delete(A)
        hold.set()
        await load
        assert domain.keys.cached(A) is None
        assert await domain.keys.get(A) is None

    asyncio.run(scenario())


def test_dropping_forgets_keys_and_loads_under_way():
    async def scenario():
        store, domain, record = await with_key()
        await domain.keys.put(B, record, expected=MISSING)
        await domain.keys.get(A)
        store.hold_gets = asyncio.Event()
        load = asyncio.create_task(domain.keys.get(B))
        await asyncio.sleep(0.01)
        domain.keys.drop()
        store.hold_gets.set()
        await load
        assert domain.keys.cached(A) is None
        assert domain.keys.cached(B) is None

    asyncio.run(scenario())


def test_a_failed_load_is_tried_again():
    async def scenario():
        store, domain, record = await with_key()
        good = await store.get("/key/a")
        await store.commit([Change("/key/a", good.value[:-1])])
        for _ in range(2):
            with pytest.raises(CorruptRecord, match="/key/a"):
                await domain.keys.get(A)
        await store.commit([Change("/key/a", good.value)])
        assert (await domain.keys.get(A)).record == record

    asyncio.run(scenario())


def test_a_record_with_a_key_that_does_not_parse_is_corrupt():
    async def scenario():
        _, domain, record = await with_key()
        broken = replace(record, private=PrivateMaterial(pem=b"secret nonsense"))
        await domain.keys.put(B, broken, expected=MISSING)
        with pytest.raises(CorruptRecord) as caught:
            await domain.keys.get(B)
        assert "secret" not in str(caught.value)

    asyncio.run(scenario())


def test_nothing_secret_shows_in_a_cached_key():
    async def scenario():
        _, domain, _ = await with_key()
        assert "PRIVATE" not in repr(await domain.keys.get(A))

    asyncio.run(scenario())
