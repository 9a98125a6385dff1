"""The namespaces in memory: each request asks whether that of its user exists.

They are read again when another member of a cluster has changed some. What this core changes while
the list is read may be missing from it, and counts nevertheless.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from keystead.model.ids import NamespaceId


class KnownNamespaces:
    """All namespaces except the root."""

    def __init__(
        self,
        read: Callable[[], Awaitable[Iterable[NamespaceId]]],
        exists: Callable[[NamespaceId], Awaitable[bool]],
    ) -> None:
        """`read` returns what the store has, and `exists` whether it has one of them."""
        self._read = read
        self._exists = exists
        self._all: set[NamespaceId] = set()
        self._ending: set[NamespaceId] = set()
        """Those that this core is deleting: the store may still have them."""
        self._meanwhile: dict[NamespaceId, bool] | None = None
        """What this core has changed since a reading began, and whether it exists since then."""

    def __contains__(self, namespace: NamespaceId) -> bool:
        return namespace in self._all

    async def read(self) -> None:
        """Take what the store has. Raises what reading raises. One reading at a time."""
        self._meanwhile = meanwhile = dict.fromkeys(self._ending, False)
        try:
            found = set(await self._read())
        finally:
            self._meanwhile = None
        for namespace, exists in meanwhile.items():
            (found.add if exists else found.discard)(namespace)
        self._all = found

    async def read_again(self, namespaces: Sequence[NamespaceId]) -> None:
        """Take what the store has of these. Raises what reading raises. One reading at a time."""
        self._meanwhile = meanwhile = dict.fromkeys(self._ending, False)
        try:
            found = await asyncio.gather(*map(self._exists, namespaces))
        finally:
            self._meanwhile = None
        for namespace, exists in zip(namespaces, found, strict=True):
            is_there = meanwhile.get(namespace, exists)
            (self._all.add if is_there else self._all.discard)(namespace)

    def created(self, namespace: NamespaceId) -> None:
        """Accept requests of the namespace's users from now on."""
        self._all.add(namespace)
        self._ending.discard(namespace)
        self._note(namespace, exists=True)

    def ends(self, namespace: NamespaceId) -> None:
        """Refuse the namespace's users from now on. Call `ended` when the deletion is over."""
        self._all.discard(namespace)
        self._ending.add(namespace)
        self._note(namespace, exists=False)

    def ended(self, namespace: NamespaceId) -> None:
        """Believe the store again, where another member may create the namespace anew."""
        self._ending.discard(namespace)

    def _note(self, namespace: NamespaceId, *, exists: bool) -> None:
        if self._meanwhile is not None:
            self._meanwhile[namespace] = exists
