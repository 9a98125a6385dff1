"""What a core changes while the list of namespaces is read, on a member of a cluster."""

import asyncio
from collections.abc import Callable

import pytest

from keystead.model.ids import NamespaceId
from keystead.operations.known_namespaces import KnownNamespaces

A, B = NamespaceId("a"), NamespaceId("b")


class Store:
    """A store that something happens to after it was read and before the reader knows."""

    def __init__(self, *namespaces: NamespaceId) -> None:
        self.namespaces = set(namespaces)
        self.after_read: Callable[[], None] = lambda: None

    async def read(self) -> list[NamespaceId]:
        found = sorted(self.namespaces)
        self.after_read()
        await asyncio.sleep(0)
        return found

    async def exists(self, namespace: NamespaceId) -> bool:
        return namespace in await self.read()


def known(store: Store) -> KnownNamespaces:
    known = KnownNamespaces(store.read, store.exists)
    asyncio.run(known.read())
    return known


def test_what_the_store_has_is_known() -> None:
    namespaces = known(Store(A))
    assert A in namespaces
    assert B not in namespaces


def test_one_that_is_created_while_the_list_is_read_is_known() -> None:
    store = Store(A)
    namespaces = known(store)
    store.after_read = lambda: namespaces.created(B)
    asyncio.run(namespaces.read())
    assert B in namespaces


@pytest.mark.parametrize("is_over", [False, True])
def test_one_that_is_deleted_while_the_list_is_read_is_not_known(*, is_over: bool) -> None:
    store = Store(A)
    namespaces = known(store)

    def delete() -> None:
        namespaces.ends(A)
        if is_over:
            namespaces.ended(A)

    store.after_read = delete
    asyncio.run(namespaces.read())
    assert A not in namespaces


def test_one_whose_deletion_has_begun_before_the_list_is_read_is_not_known() -> None:
    store = Store(A)
    namespaces = known(store)
    namespaces.ends(A)
    store.after_read = lambda: namespaces.ended(A)
    asyncio.run(namespaces.read())
    assert A not in namespaces


def test_one_that_another_member_creates_anew_is_known() -> None:
    store = Store(A)
    namespaces = known(store)
    namespaces.ends(A)
    namespaces.ended(A)
    asyncio.run(namespaces.read())
    assert A in namespaces


def test_one_that_could_not_be_deleted_is_known() -> None:
    store = Store(A)
    namespaces = known(store)
    namespaces.ends(A)
    namespaces.created(A)
    namespaces.ended(A)
    assert A in namespaces
    asyncio.run(namespaces.read())
    assert A in namespaces


def test_a_reading_that_fails_changes_nothing() -> None:
    store = Store(A)
    namespaces = known(store)

    def fail() -> None:
        raise OSError("the store is gone")

    store.after_read = fail
    with pytest.raises(OSError, match="gone"):
        asyncio.run(namespaces.read())
    namespaces.created(B)
    assert A in namespaces
    assert B in namespaces
