"""What every backend promises, tried on each of them."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystead.errors import StaleRevision
from keystead.storage.key_value_store import MISSING, Change, Check, StoredValue


def test_an_absent_record_is_none(with_store):
    async def scenario(store):
        assert await store.get("/a") is None

    with_store(scenario)


def test_a_record_comes_back_with_the_revision_of_its_commit(with_store):
    async def scenario(store):
        revision = await store.commit([Change("/a", b"\x00\xffone")])
        assert revision > MISSING
        assert await store.get("/a") == StoredValue(b"\x00\xffone", revision)

    with_store(scenario)


def test_all_records_of_a_commit_have_its_revision(with_store):
    async def scenario(store):
        revision = await store.commit([Change("/a", b"1"), Change("/b", b"2")])
        assert await store.get("/a") == StoredValue(b"1", revision)
        assert await store.get("/b") == StoredValue(b"2", revision)

    with_store(scenario)


def test_revisions_grow(with_store):
    async def scenario(store):
        first = await store.commit([Change("/a", b"1")])
        second = await store.commit([Change("/b", b"1")])
        third = await store.commit([Change("/a", None)])
        assert first < second < third

    with_store(scenario)


def test_an_empty_value_is_not_an_absent_one(with_store):
    async def scenario(store):
        revision = await store.commit([Change("/a", b"")])
        assert await store.get("/a") == StoredValue(b"", revision)

    with_store(scenario)


def test_a_deleted_record_is_gone_and_not_listed(with_store):
    async def scenario(store):
        await store.commit([Change("/a", b"1"), Change("/b", b"2")])
        await store.commit([Change("/a", None)])
        assert await store.get("/a") is None
        assert await store.list("/", "0", limit=10) == ["/b"]

    with_store(scenario)


def test_deleting_what_is_absent_is_no_error(with_store):
    async def scenario(store):
        await store.commit([Change("/a", None), Change("/b", None, MISSING)])
        assert await store.get("/a") is None

    with_store(scenario)


def test_creation_is_refused_when_the_record_exists(with_store):
    async def scenario(store):
        revision = await store.commit([Change("/a", b"1", MISSING)])
        with pytest.raises(StaleRevision):
            await store.commit([Change("/a", b"2", MISSING)])
        assert await store.get("/a") == StoredValue(b"1", revision)

    with_store(scenario)


def test_a_change_is_refused_when_someone_was_faster(with_store):
    async def scenario(store):
        old = await store.commit([Change("/a", b"1")])
        new = await store.commit([Change("/a", b"2", old)])
        with pytest.raises(StaleRevision):
            await store.commit([Change("/a", b"3", old)])
        with pytest.raises(StaleRevision):
            await store.commit([Change("/a", None, old)])
        assert await store.get("/a") == StoredValue(b"2", new)

    with_store(scenario)


def test_a_change_of_a_deleted_record_is_refused(with_store):
    async def scenario(store):
        revision = await store.commit([Change("/a", b"1")])
        await store.commit([Change("/a", None, revision)])
        with pytest.raises(StaleRevision):
            await store.commit([Change("/a", b"2", revision)])
        assert await store.get("/a") is None

    with_store(scenario)


def test_a_record_made_again_has_another_revision(with_store):
    async def scenario(store):
        first = await store.commit([Change("/a", b"1")])
        await store.commit([Change("/a", None)])
        assert await store.commit([Change("/a", b"1", MISSING)]) > first

    with_store(scenario)


def test_one_refused_change_keeps_all_others_from_happening(with_store):
    async def scenario(store):
        revision = await store.commit([Change("/b", b"old"), Change("/c", b"old")])
        with pytest.raises(StaleRevision):
            await store.commit(
                [
                    Change("/a", b"new"),
                    Change("/b", b"new", revision),
                    Change("/c", b"new", MISSING),
                ]
            )
        assert await store.get("/a") is None
        assert await store.get("/b") == StoredValue(b"old", revision)

    with_store(scenario)


def test_a_check_holds_a_commit_to_a_record_it_does_not_change(with_store):
    async def scenario(store):
        revision = await store.commit([Change("/space", b"1")])
        await store.commit([Change("/key", b"1")], checks=[Check("/space", revision)])
        assert await store.get("/space") == StoredValue(b"1", revision)
        await store.commit([Change("/space", None)])
        with pytest.raises(StaleRevision):
            await store.commit([Change("/key", b"2")], checks=[Check("/space", revision)])
        await store.commit([Change("/key", b"3")], checks=[Check("/space", MISSING)])
        entry = await store.get("/key")
        assert entry.value == b"3"

    with_store(scenario)


def test_paths_are_listed_in_the_order_of_their_bytes(with_store):
    paths = ["/a", "/a.b", "/a/b", "/a0", "/aé", "/a\uff5e", "/a\U0001f511", "/B", "/\uffff", "/z"]

    async def scenario(store):
        await store.commit([Change(path, b"") for path in paths])
        everything = await store.list("/", "0", limit=100)
        assert everything == sorted(paths, key=str.encode)

    with_store(scenario)


def test_a_range_holds_its_start_and_not_its_stop(with_store):
    async def scenario(store):
        await store.commit([Change(path, b"") for path in ("/a", "/b", "/c", "/d")])
        assert await store.list("/b", "/d", limit=10) == ["/b", "/c"]
        assert await store.list("/b", "/b", limit=10) == []
        assert await store.list("/d", "/a", limit=10) == []

    with_store(scenario)


def test_a_listing_stops_at_its_limit_and_goes_on_after_the_last_path(with_store):
    async def scenario(store):
        paths = [f"/{number:03}" for number in range(25)]
        await store.commit([Change(path, b"") for path in paths])
        first = await store.list("/", "0", limit=10)
        assert first == paths[:10]
        assert await store.list(first[-1] + "\0", "0", limit=100) == paths[10:]

    with_store(scenario)


def test_of_concurrent_creations_one_wins(with_store):
    async def scenario(store):
        outcomes = await asyncio.gather(
            *(store.commit([Change("/a", b"%d" % n, MISSING)]) for n in range(20)),
            return_exceptions=True,
        )
        won = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
        assert len(won) == 1
        assert sum(isinstance(outcome, StaleRevision) for outcome in outcomes) == 19
        entry = await store.get("/a")
        assert entry.revision == won[0]
        assert outcomes[int(entry.value)] == won[0]

    with_store(scenario)


def test_concurrent_increments_are_all_counted(with_store):
    async def increment(store):
        while True:
            entry = await store.get("/n")
            try:
                await store.commit([Change("/n", b"%d" % (int(entry.value) + 1), entry.revision)])
            except StaleRevision:
                continue
            return

    async def scenario(store):
        await store.commit([Change("/n", b"0")])
        await asyncio.gather(*(increment(store) for _ in range(12)))
        entry = await store.get("/n")
        assert entry.value == b"12"

    with_store(scenario)


def test_concurrent_commits_all_happen_while_some_are_refused(with_store):
    async def scenario(store):
        await store.commit([Change("/taken", b"")])
        outcomes = await asyncio.gather(
            *(
                store.commit([Change(f"/{n:03}", b"%d" % n), Change("/taken", b"", MISSING)])
                if n % 3 == 0
                else store.commit([Change(f"/{n:03}", b"%d" % n)])
                for n in range(90)
            ),
            return_exceptions=True,
        )
        for n, outcome in enumerate(outcomes):
            entry = await store.get(f"/{n:03}")
            if n % 3 == 0:
                assert isinstance(outcome, StaleRevision)
                assert entry is None
            else:
                assert entry == StoredValue(b"%d" % n, outcome)

    with_store(scenario)


# --- against a model ---------------------------------------------------------------------------

PATHS = st.sampled_from(["/a", "/a/b", "/a.", "/b", "/é", "/🔑", "/b0"])
EXPECTED = st.sampled_from(["any", "current", "missing", "wrong"])
CHANGES = st.lists(
    st.tuples(PATHS, st.none() | st.binary(max_size=8), EXPECTED),
    max_size=4,
    unique_by=lambda change: change[0],
)
COMMITS = st.tuples(st.just("commit"), CHANGES, st.lists(st.tuples(PATHS, EXPECTED), max_size=2))
LISTINGS = st.tuples(st.just("list"), PATHS, PATHS, st.integers(1, 5))


class Model:
    """The store, in the plainest words."""

    def __init__(self):
        self.entries = {}

    def revision(self, path, expected):
        current = self.entries[path].revision if path in self.entries else MISSING
        return {"any": None, "current": current, "missing": MISSING, "wrong": 10**9}[expected]

    def holds(self, path, expected):
        wanted = self.revision(path, expected)
        return wanted is None or wanted == self.revision(path, "current")


async def step(store, model, operation):
    match operation:
        case ("list", start, stop, limit):
            expected = sorted((p for p in model.entries if start <= p < stop), key=str.encode)
            assert await store.list(start, stop, limit=limit) == expected[:limit]
        case ("commit", wanted, checked):
            await commit_step(store, model, wanted, checked)
    for path, entry in model.entries.items():
        assert await store.get(path) == entry


async def commit_step(store, model, wanted, checked):
    changes = [Change(path, value, model.revision(path, e)) for path, value, e in wanted]
    checks = [Check(path, model.revision(path, e) or MISSING) for path, e in checked]
    holds = all(model.holds(path, e) for path, _, e in wanted) and all(
        model.revision(c.path, "current") == c.revision for c in checks
    )
    if not holds:
        with pytest.raises(StaleRevision):
            await store.commit(changes, checks=checks)
        return
    revision = await store.commit(changes, checks=checks)
    for change in changes:
        if change.value is None:
            model.entries.pop(change.path, None)
        else:
            model.entries[change.path] = StoredValue(change.value, revision)


@given(operations=st.lists(COMMITS | LISTINGS, max_size=12))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_store_does_what_a_dictionary_would(open_store, operations):
    async def main():
        model = Model()
        async with open_store() as store:
            for operation in operations:
                await step(store, model, operation)
            assert await store.list("", "\U0010ffff", limit=100) == sorted(
                model.entries, key=str.encode
            )

    asyncio.run(main())


def test_a_scan_goes_through_all_records_in_order_page_by_page(with_store):
    async def scenario(store):
        records = {f"/r/{number:03}": bytes([number]) * (number * 7 % 50) for number in range(100)}
        revision = await store.commit([Change(path, value) for path, value in records.items()])
        await store.commit([Change("/q", b"before"), Change("/s", b"after")])
        found, start = {}, "/r/"
        while page := await store.scan(start, "/r0", limit_bytes=200):
            sizes = [len(path) + len(entry.value) for path, entry in page]
            assert sum(sizes) <= 200 or len(page) == 1
            found |= {path: entry.value for path, entry in page}
            assert {entry.revision for _, entry in page} == {revision}
            start = page[-1].path + "\0"
        assert list(found.items()) == sorted(records.items())

    with_store(scenario)


def test_a_scan_returns_a_record_that_is_larger_than_a_page(with_store):
    async def scenario(store):
        await store.commit([Change("/a", bytes(10_000)), Change("/b", b"")])
        page = await store.scan("/", "0", limit_bytes=1)
        assert [(path, len(entry.value)) for path, entry in page] == [("/a", 10_000)]

    with_store(scenario)
