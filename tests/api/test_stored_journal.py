"""Records of the journal edited, removed, swapped and put back in the store.

The program that does it knows everything but the keys. What it did shows in the next export, if a
head was kept elsewhere, or already at the unlock.
"""

from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import Any

import pytest

from keystead import journal_verify
from keystead.api.http.route import ResponseCut
from tests.api.test_put_back import Contents, contents, said, unlocked
from tests.support.backups import unlock
from tests.support.core import ADMIN, Core, start_core

BLOCKS = "/journal/block/"
CLOSED = "the journal was not closed"


@pytest.fixture(scope="module")
def history(runner: Any) -> tuple[Core, list[Contents], bytes, bytes]:
    """A core; its store after each block of the journal; the journal's key and its last head."""

    async def made() -> tuple[Core, list[Contents], bytes, bytes]:
        core = await start_core()
        await core.provision()
        stores = []
        for number in range(4):
            await core.add_user(f"u{number}", "Operator")
            await core.hsm.audit.try_write()
            stores.append(await contents(core.store))
        key = (await core.request("GET", "/journal/key.pem", user=ADMIN)).body
        await core.hsm.stop()
        again = await core.restarted()
        assert await unlock(again) == 204
        head = (await again.request("GET", "/journal/head", user=ADMIN)).body
        await again.hsm.stop()
        return core, [*stores, await contents(core.store)], key, head

    return runner.run(made())


async def is_noticed(core: Core, records: Contents, key: bytes, head: bytes) -> bool:
    """Whether the unlock says that something is wrong, or an export is not what the head signs."""
    other, status = await unlocked(core, records)
    if status != 204 or said(other, CLOSED):
        return True
    try:
        answer = await other.request("GET", "/journal", user=ADMIN)
    except ResponseCut:  # The connection breaks at the record that does not open.
        return True
    public = journal_verify.load_key(key)
    lines = answer.body.splitlines(keepends=True)
    known = journal_verify.load_head(head, public)
    return answer.status != 200 or not journal_verify.verify(lines, public, head=known).is_intact


def blocks_of(records: Mapping[str, bytes]) -> list[str]:
    return sorted(path for path in records if path.startswith(BLOCKS))


def attacks(stores: list[Contents]) -> Iterator[tuple[str, Contents]]:
    """Yield each attack on the last of the stores, with its name."""
    present = stores[-1]
    paths = blocks_of(present)
    for path in paths:
        yield f"remove {path}", {at: what for at, what in present.items() if at != path}
        for place in (0, len(present[path]) // 2, -1):
            edited = bytearray(present[path])
            edited[place] ^= 1
            yield f"edit {path} at {place}", {**present, path: bytes(edited)}
        yield f"shorten {path}", {**present, path: present[path][:-1]}
        yield f"empty {path}", {**present, path: b""}
    for one, other in permutations(paths, 2):
        yield f"{one} in the place of {other}", {**present, other: present[one]}
        yield f"swap {one} and {other}", {**present, other: present[one], one: present[other]}
    for number in range(1, len(paths)):
        for cut in (paths[number:], paths[:number]):
            yield f"cut {cut}", {at: what for at, what in present.items() if at not in cut}
    for older in stores[:-1]:
        journal = {at: what for at, what in older.items() if at.startswith("/journal/")}
        rest = {at: what for at, what in present.items() if not at.startswith("/journal/")}
        yield "the whole older journal", {**rest, **journal}
        yield "the older end", {**present, "/journal/head": older["/journal/head"]}
    last = paths[-1]
    yield "repeat the last", {**present, f"{last[:-1]}{(int(last[-1]) + 1) % 10}": present[last]}
    for name in ("/journal/head", "/journal/keys"):
        yield f"remove {name}", {at: what for at, what in present.items() if at != name}
        yield f"edit {name}", {**present, name: present[name][:-1] + b"x"}


async def test_the_journal_as_it_was_written_is_intact(
    history: tuple[Core, list[Contents], bytes, bytes],
) -> None:
    core, stores, key, head = history
    assert not await is_noticed(core, stores[-1], key, head)
    assert len(blocks_of(stores[-1])) > 4


async def test_each_attack_on_a_record_of_the_journal_is_noticed(
    history: tuple[Core, list[Contents], bytes, bytes],
) -> None:
    core, stores, key, head = history
    missed = [
        name
        for name, records in attacks(stores)
        if records != stores[-1] and not await is_noticed(core, records, key, head)
    ]
    assert missed == []
