"""A store of a million records: each commit also writes pages of 64 KiB, one for each record."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import pytest

from keystead.model.approvals import Approval, ApprovalSubject
from keystead.model.ids import NamespaceId, UserId
from keystead.model.policy import ApprovalRule
from keystead.model.secret import Secret
from keystead.storage.bound import BoundStore
from keystead.storage.counted import CountedStore
from keystead.storage.domain import DomainStores
from keystead.storage.generations import GenerationStore
from keystead.storage.key_value_store import MISSING, KeyValueStore
from keystead.storage.version_pages import PAGES, ROW_BYTES
from keystead.storage.versions import Versions
from tests.storage.conftest import BACKENDS, OpenStore, etcd
from tests.support.etcd import Cluster, Member, needs_etcd
from tests.support.stores import key_path, key_record, new_domain

RECORDS = 1_000_000
KEYS = 600
AT_ONCE = 100
RECORD = key_record()


class Crowded(NamedTuple):
    """A store among whose records those of a test are few."""

    store: GenerationStore
    domain: DomainStores
    refused: list[str]
    """What an alarm would be told."""

    async def fill(self, namespace: str) -> None:
        await self.domain.namespaces.create(NamespaceId(namespace))
        paths = [key_path(f"k{number:03}", namespace) for number in range(KEYS)]
        for start in range(0, KEYS, 20):
            await self.store.commit(
                [self.domain.keys.change(path, RECORD) for path in paths[start : start + 20]]
            )


Scenario = Callable[[Crowded], Awaitable[None]]


@pytest.fixture(scope="module")
def own_limit() -> Iterator[Member]:
    """An etcd that takes as much in a request as that of a member."""
    with Cluster(1, f"--max-request-bytes={1536 * 1024}") as cluster:
        yield cluster.members[0]


@pytest.fixture(params=["remote", pytest.param("etcd", marks=needs_etcd)])
def open_limited(request: pytest.FixtureRequest) -> OpenStore:
    """Each backend that limits what one commit may have."""
    if request.param == "etcd":
        return etcd(request.getfixturevalue("own_limit"))
    return BACKENDS[request.param]


@pytest.fixture
def with_crowded(open_limited: OpenStore) -> Callable[[Scenario], None]:
    def run(scenario: Scenario) -> None:
        async def main() -> None:
            async with open_limited() as store:
                await scenario(await _crowded(store))

        asyncio.run(asyncio.wait_for(main(), 60))

    return run


async def _crowded(store: KeyValueStore) -> Crowded:
    refused: list[str] = []
    bound = BoundStore(store, lambda _: None)
    generations = await GenerationStore.open(
        CountedStore(bound, on_written=lambda _: None, on_refused=refused.append)
    )
    versions = Versions(store, 0, Secret(bytes(range(32))))
    rows = os.urandom(RECORDS // PAGES * ROW_BYTES)
    for changes in versions.made_of(dict.fromkeys(range(PAGES), rows)):
        await store.commit(changes)
    await versions.load()
    bound.follow(versions)
    return Crowded(generations, await new_domain(generations), refused)


def test_a_namespace_with_many_keys_is_deleted(with_crowded):
    async def scenario(crowded: Crowded) -> None:
        await crowded.fill("n")
        assert await crowded.domain.keys.delete_namespace(NamespaceId("n")) == ""
        assert await crowded.store.list("/key/", "/key0", limit=KEYS) == ["/key/.version"]
        assert crowded.refused == []

    with_crowded(scenario)


def test_a_deletion_that_a_crash_interrupted_is_finished_by_the_next_unlock(with_crowded):
    async def scenario(crowded: Crowded) -> None:
        await crowded.fill("n")
        await crowded.domain.namespaces.begin_deletion(NamespaceId("n"))
        await crowded.domain.open()
        assert await crowded.store.list("/key/", "/key0", limit=KEYS) == ["/key/.version"]

    with_crowded(scenario)


def test_all_approvals_of_a_namespace_are_voided(with_crowded):
    async def scenario(crowded: Crowded) -> None:
        approvals = crowded.domain.approvals
        for number in range(AT_ONCE):
            subject = ApprovalSubject(key_path(f"k{number}"), bytes(32), bytes(32))
            asker = UserId.parse(f"asker{number}")
            rule = ApprovalRule(1, ("ann",), 60, 5)
            asked = Approval(
                f"a{number}", subject, asker, "why", rule, uses=2, uses_left=2, asked_at=0.0
            )
            await approvals.add(asked, 0.0)
        await approvals.void(None, lambda _: True)
        assert await crowded.store.list("/approval/", "/approval0", limit=KEYS) == [
            "/approval/.version"
        ]

    with_crowded(scenario)


def test_counts_of_uses_are_written(with_crowded):
    async def scenario(crowded: Crowded) -> None:
        await crowded.fill("n")
        keys = crowded.domain.keys
        paths = [key_path(f"k{number:03}", "n") for number in range(AT_ONCE)]
        for uses in (1, 2):
            for path in paths:
                keys.count_use(path)
            await keys.flush_counts()
            for path in paths:
                record, _ = await keys.read(path)
                assert (record.operations, keys.operations(path, 0)) == (uses, 0)
        assert crowded.refused == []

    with_crowded(scenario)


def test_keys_that_are_made_at_once_are_stored(with_crowded):
    async def scenario(crowded: Crowded) -> None:
        paths = [key_path(f"new{number}") for number in range(AT_ONCE)]
        put = crowded.domain.keys.put
        await asyncio.gather(*(put(path, RECORD, expected=MISSING) for path in paths))
        assert [await crowded.domain.keys.read(path) for path in paths].count(None) == 0
        assert crowded.refused == []

    with_crowded(scenario)
