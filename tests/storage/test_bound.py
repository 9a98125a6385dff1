"""Commits that share a root, reads beside them, and two processes on one store."""

import asyncio
from typing import Any

import pytest

from keystead.errors import (
    CorruptRecord,
    NotAuthenticated,
    StaleRevision,
    StoreUnavailable,
    WriteRefused,
    WrongState,
)
from keystead.model.secret import Secret
from keystead.storage.bound_writer import MOST_TOGETHER
from keystead.storage.conditional import depend_on
from keystead.storage.key_value_store import MISSING, Change, Check
from keystead.storage.version_pages import PAGES, hash_of, page_of
from keystead.storage.versions import Versions
from tests.support.bound import KEY, ROOT, Bound, names, run


def test_commits_that_wait_are_made_together_and_in_order():
    async def scenario():
        bound = Bound()
        paths = names(3 * MOST_TOGETHER)
        revisions = await asyncio.gather(*(bound.put(path) for path in paths))
        assert revisions == sorted(revisions)
        assert len(bound.kept.commits) <= 5
        assert await bound.store.list("/0/key/", "/0/key0", limit=1000) == sorted(paths)
        found = await bound.store.scan("/0/key/", "/0/key0", limit_bytes=2**20)
        assert {record.entry.value for record in found} == {b"value"}
        assert bound.wrong == []

    run(scenario)


def test_a_commit_that_is_stale_or_refused_takes_no_other_with_it():
    async def scenario():
        bound = Bound()
        await bound.put("/0/key/a")
        outcomes = await asyncio.gather(
            bound.put("/0/key/b"),
            bound.store.commit([Change("/0/key/a", b"other", MISSING)]),
            bound.store.commit([Change("/0/key/c", b"c")], checks=[Check("/0/key/a", 99)]),
            bound.put("/0/key/d"),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [int, StaleRevision, StaleRevision, int]
        assert (await bound.store.get("/0/key/a")).value == b"value"
        assert await bound.store.get("/0/key/c") is None

    run(scenario)


def test_a_commit_to_a_page_that_was_put_back_takes_no_other_with_it():
    async def scenario():
        bound = Bound()
        bad = page_of(hash_of(b"/0/key/bad"))
        good = [path for path in names(20) if page_of(hash_of(path.encode())) != bad]
        await bound.put("/0/key/bad", *good)
        await bound.kept.kept.commit([Change(f"{ROOT}/{bad:03}", b"older")])
        bound = await bound.another()
        outcomes = await asyncio.gather(
            *(bound.put(path, value=b"new") for path in ["/0/key/bad", *good]),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [CorruptRecord, *[int] * len(good)]

    run(scenario)


def test_of_many_commits_one_that_is_stale_makes_few_of_them_again():
    async def scenario():
        bound = Bound()
        await bound.put("/0/key/a")
        before = len(bound.kept.commits)
        stale = bound.store.commit([Change("/0/key/a", b"other", MISSING)])
        paths = names(MOST_TOGETHER - 1)
        outcomes = await asyncio.gather(
            stale, *(bound.put(path) for path in paths), return_exceptions=True
        )
        assert isinstance(outcomes[0], StaleRevision)
        assert [outcome for outcome in outcomes[1:] if not isinstance(outcome, int)] == []
        assert len(bound.kept.commits) - before <= 7

    run(scenario)


class Revocable:
    """The conditions of a request whose caller may lose its permission."""

    def __init__(self) -> None:
        self.compared = {}
        self.is_revoked = False

    def require_allowed(self) -> None:
        if self.is_revoked:
            raise NotAuthenticated("This user was deleted.")


def test_a_commit_that_has_waited_is_not_made_for_a_caller_who_was_revoked_meanwhile():
    async def scenario():
        bound = Bound()
        revocable = Revocable()

        async def put(path: str) -> int:
            depend_on(revocable)
            return await bound.put(path)

        is_writing, may_write = bound.kept.hold_next_commit()
        first = asyncio.create_task(bound.put("/0/key/first"))
        await is_writing.wait()
        waiting = [asyncio.create_task(put(path)) for path in names(3)]
        other = asyncio.create_task(bound.put("/0/key/other"))
        await asyncio.sleep(0)
        revocable.is_revoked = True
        may_write.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [NotAuthenticated] * 3
        await asyncio.gather(first, other)
        assert await bound.store.list("/0/key/", "/0/key0", limit=10) == [
            "/0/key/first",
            "/0/key/other",
        ]

    run(scenario)


def test_a_check_sees_the_commits_that_wait_before_it():
    async def scenario():
        bound = Bound()
        revision = await bound.put("/0/namespace/n")
        outcomes = await asyncio.gather(
            bound.put("/0/key/first"),
            bound.store.commit([Change("/0/namespace/n", None)]),
            bound.store.commit(
                [Change("/0/key/k", b"k")], checks=[Check("/0/namespace/n", revision)]
            ),
            return_exceptions=True,
        )
        assert isinstance(outcomes[2], StaleRevision)
        assert await bound.store.get("/0/key/k") is None

    run(scenario)


@pytest.mark.parametrize("error", [WriteRefused("full"), StoreUnavailable("gone")])
def test_after_a_commit_that_failed_the_next_one_and_reads_go_on(error):
    async def scenario():
        bound = Bound()
        await bound.put("/0/key/a")

        def fail() -> None:
            raise error

        bound.kept.before_commit = fail
        with pytest.raises(type(error)):
            await bound.put("/0/key/b")
        bound.kept.before_commit = lambda: None
        assert await bound.store.get("/0/key/b") is None
        await bound.put("/0/key/b", "/0/key/c")
        assert (await bound.store.get("/0/key/b")).value == b"value"

    run(scenario)


def test_a_commit_whose_answer_was_lost_is_seen_by_reads_and_by_the_next_commit():
    async def scenario():
        for following in ("read", "write"):
            bound = Bound()
            await bound.put("/0/key/a")
            commit = bound.kept.commit

            async def lose(changes: Any, *, checks: Any = (), commit: Any = commit) -> int:
                await commit(changes, checks=checks)
                raise StoreUnavailable("The answer is lost.")

            bound.kept.commit = lose
            with pytest.raises(StoreUnavailable):
                await bound.put("/0/key/a", value=b"second")
            bound.kept.commit = commit
            if following == "write":
                await bound.put("/0/key/b")
            assert (await bound.store.get("/0/key/a")).value == b"second"
            assert bound.wrong == []

    run(scenario)


def test_reads_beside_commits_never_find_a_record_wrong():
    async def scenario():
        bound = Bound()
        await bound.put(*names(20))

        async def write() -> None:
            for number in range(50):
                path = f"/0/key/{number % 20}"
                value = None if number % 7 == 0 else b"%d" % number
                await bound.store.commit([Change(path, value)])

        async def read() -> None:
            for number in range(100):
                await bound.store.get(f"/0/key/{number % 20}")
                await bound.store.scan("/0/key/", "/0/key0", limit_bytes=2**20)
                await bound.store.list("/0/key/", "/0/key0", limit=100)

        await asyncio.gather(write(), read(), read(), write())
        assert bound.wrong == []

    run(scenario)


def test_two_processes_on_one_store_see_the_commits_of_each_other():
    async def scenario():
        first = Bound()
        await first.put("/0/key/a")
        second = await first.another()
        for number in range(20):
            writer, reader = (first, second) if number % 2 else (second, first)
            value = b"%d" % number
            await writer.put("/0/key/a", f"/0/key/{number}", value=value)
            assert (await reader.store.get("/0/key/a")).value == value
        await asyncio.gather(
            *(side.put(f"/0/user/{n}") for n in range(20) for side in (first, second))
        )
        assert len(await first.store.list("/0/user/", "/0/user0", limit=99)) == 20
        assert first.wrong == second.wrong == []

    run(scenario)


def test_lists_and_scans_beside_the_commits_of_another_device_find_nothing_wrong():
    async def scenario():
        first = Bound()
        await first.put(*names(200))
        second = await first.another()
        writing = True

        async def write() -> None:
            number = 0
            while writing:
                number += 1
                gone = f"/0/key/{number % 100}"
                await first.store.commit([Change(gone, None)])
                await first.put(gone, value=b"%d" % number)

        task = asyncio.ensure_future(write())
        for _ in range(20):
            paths = await second.store.list("/0/key/", "/0/key0", limit=1000)
            assert {f"/0/key/{number}" for number in range(100, 200)} <= set(paths)
            found = await second.store.scan("/0/key/", "/0/key0", limit_bytes=2**20)
            assert all(record.entry.value for record in found)
            assert len(await second.store.list("/0/key/", "/0/key0", limit=50)) == 50
        writing = False
        await task
        assert first.wrong == second.wrong == []

    run(scenario)


def test_a_caller_that_goes_away_leaves_a_commit_that_is_made():
    async def scenario():
        bound = Bound()
        gone = asyncio.ensure_future(bound.put("/0/key/a"))
        await asyncio.sleep(0)
        gone.cancel()
        await bound.put("/0/key/b")
        assert (await bound.store.get("/0/key/a")).value == b"value"

    run(scenario)


def test_an_older_record_page_or_root_is_refused():
    async def scenario():
        bound = Bound()
        await bound.put("/0/key/a", value=b"old")
        before = {path: (await bound.kept.get(path)).value for path in await bound.kept.paths()}
        await bound.put("/0/key/a", value=b"new")
        await bound.kept.kept.commit([Change("/0/key/a", before["/0/key/a"])])
        with pytest.raises(CorruptRecord, match="not the one that was written last"):
            await bound.store.get("/0/key/a")
        await bound.kept.kept.commit([Change(path, value) for path, value in before.items()])
        with pytest.raises(CorruptRecord, match="older"):
            await bound.store.get("/0/key/a")
        with pytest.raises(CorruptRecord, match="older"):
            await bound.put("/0/key/a")

    run(scenario)


def test_a_record_that_was_deleted_and_put_back_is_in_no_list():
    async def scenario():
        bound = Bound()
        await bound.put("/0/key/a", "/0/key/b")
        await bound.store.commit([Change("/0/key/a", None)])
        await bound.kept.kept.commit([Change("/0/key/a", b"value")])
        with pytest.raises(CorruptRecord):
            await bound.store.list("/0/key/", "/0/key0", limit=10)
        found = await bound.store.scan("/0/key/", "/0/key0", limit_bytes=2**20)
        assert [record.entry.value for record in found] == [b"", b"value"]
        assert bound.wrong == ["/0/key/a", "/0/key/a"]

    run(scenario)


def test_after_a_lock_nothing_is_written_that_the_root_would_not_cover():
    async def scenario():
        bound = Bound()
        await bound.put("/0/key/a")
        bound.versions.close()
        with pytest.raises(WrongState):
            await bound.put("/0/key/a")
        await bound.store.commit([Change("/local/x", b"other")])
        assert (await bound.store.get("/0/key/a")).value == b"value"
        again = await bound.another()
        assert (await again.store.get("/0/key/a")).value == b"value"

    run(scenario)


def test_a_root_opens_for_its_own_generation_and_key_only():
    async def scenario():
        bound = Bound()
        await bound.put("/0/key/a")
        root = (await bound.kept.get(ROOT)).value
        await bound.kept.kept.commit([Change("/1/root", root)])
        for generation, key in ((1, KEY), (0, bytes(32))):
            with pytest.raises(CorruptRecord, match="does not open"):
                await Versions(bound.kept, generation, Secret(key)).load()

    run(scenario)


def test_versions_that_are_made_of_a_store_fit_its_records():
    async def scenario():
        bound = Bound()
        bound.store.follow(None)
        paths = names(3 * PAGES)
        await bound.put(*paths)
        async for changes in bound.versions.made():
            await bound.kept.commit(changes)
        other = await bound.another()
        assert len(await other.store.list("/0/key/", "/0/key0", limit=10**4)) == len(paths)
        for path in paths:
            assert (await other.store.get(path)).value == b"value"
        assert other.wrong == []

    run(scenario)


def test_records_that_are_missing_are_counted_whatever_else_is_there():
    async def scenario():
        bound = Bound()
        paths = names(3 * PAGES)
        await bound.put(*paths)
        assert await bound.versions.count_missing(bound.kept) == 0
        await bound.kept.kept.commit([Change(path, None) for path in paths[:5]])
        await bound.kept.kept.commit([Change(f"/0/key/junk{number}", b"") for number in range(9)])
        assert await bound.versions.count_missing(bound.kept) == 5

    run(scenario)


def test_records_that_are_changed_while_others_are_counted_are_not_missing():
    async def scenario():
        bound = Bound()
        paths = names(40)
        await bound.put(*paths)
        listed = bound.kept.list

        async def list_slowly(start, stop, *, limit):
            found = await listed(start, stop, limit=limit)
            await bound.store.commit([Change(path, None) for path in paths[:7]])
            await bound.put("/0/key/another")
            return found

        bound.kept.list = list_slowly
        assert await bound.versions.count_missing(bound.kept) == 0

    run(scenario)


def test_a_snapshot_shows_what_was_present_then_and_no_record_that_was_put_back():
    async def scenario():
        bound = Bound()
        await bound.put("/0/key/a", "/0/key/b", "/0/key/c")
        older = (await bound.store.get("/0/key/b")).value
        await bound.put("/0/key/b", value=b"newer")
        sound = await bound.store.snapshot()
        await bound.put("/0/key/a", value=b"later")
        found = await sound.scan("/0/key/", "/0/key0", limit_bytes=2**20)
        assert [record.entry.value for record in found] == [b"value", b"newer", b"value"]
        assert (await sound.get("/0/key/a")).value == b"value"
        assert await sound.get("/0/key/d") is None
        await sound.close()
        assert bound.wrong == []

        await bound.kept.kept.commit([Change("/0/key/b", older), Change("/0/key/c", None)])
        snapshot = await bound.store.snapshot()
        found = await snapshot.scan("/0/key/", "/0/key0", limit_bytes=2**20)
        assert [record.entry.value for record in found] == [b"later", b""]
        for path in ("/0/key/b", "/0/key/c"):
            with pytest.raises(CorruptRecord):
                await snapshot.get(path)
        await snapshot.close()
        assert bound.wrong == ["/0/key/b", "/0/key/b", "/0/key/c"]

    run(scenario)


def test_a_snapshot_with_an_older_root_is_refused_and_leaves_the_present_one_as_it_is():
    async def scenario():
        bound = Bound()
        await bound.put("/0/key/a")
        root = await bound.kept.get(ROOT)
        await bound.put("/0/key/b")
        present = await bound.kept.get(ROOT)
        await bound.kept.kept.commit([Change(ROOT, root.value)])
        with pytest.raises(CorruptRecord, match="older"):
            await bound.store.snapshot()
        await bound.kept.kept.commit([Change(ROOT, present.value)])
        bound.kept.gets.clear()
        assert (await bound.store.get("/0/key/b")).value == b"value"
        assert bound.kept.gets == ["/0/key/b"]
        assert not bound.kept.kept.snapshots
        bound.store.follow(None)
        await (await bound.store.snapshot()).close()

    run(scenario)


async def _all(bound: Bound) -> dict[str, bytes]:
    return {path: entry.value async for path, entry in bound.store.all_records()}


def test_all_records_are_those_of_one_moment():
    async def scenario():
        bound = Bound()
        paths = names(40)
        await bound.put(*paths, value=b"x" * 4000)
        found = []
        async for record in bound.store.all_records():
            if not found:
                await bound.store.commit([Change(path, None) for path in paths[7:]])
                await bound.put("/0/key/another")
            found.append(record.path)
        assert found == sorted(paths)
        assert len(await _all(bound)) == 8
        assert bound.wrong == []
        assert bound.kept.kept.snapshots == set()

    run(scenario)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ([Change("/0/key/3", None)], []),
        ([Change("/0/key/3", b"older")], ["/0/key/3"]),
        ([Change("/0/key/junk", b"value")], ["/0/key/junk"]),
        ([Change("/0/root/junk", b"value"), Change("/0/key/3", None)], []),
    ],
)
def test_a_record_that_is_missing_or_wrong_is_not_passed_over(changes, wrong):
    async def scenario():
        bound = Bound()
        await bound.put(*names(9))
        await bound.kept.kept.commit(changes)
        with pytest.raises(CorruptRecord):
            await _all(bound)
        assert bound.wrong == wrong
        assert bound.kept.kept.snapshots == set()

    run(scenario)


def test_all_records_are_asked_for_only_while_they_are_checked():
    async def scenario():
        bound = Bound()
        await bound.put(*names(9))
        bound.store.follow(None)
        with pytest.raises(WrongState):
            await _all(bound)
        bound.store.follow(bound.versions)
        bound.versions.close()
        with pytest.raises(WrongState):
            await _all(bound)

    run(scenario)
