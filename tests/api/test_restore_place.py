"""Who has the one place for a restore, where nobody has credentials."""

import asyncio

import pytest

from keystead.api.dispatch import Dispatcher
from keystead.errors import Conflict
from keystead.operations.restore_pace import (
    FIRST_SECONDS,
    LEAST_BYTES_A_SECOND,
    MOST_SECONDS,
    SURE_BYTES_A_SECOND,
    SURE_SECONDS,
    RestorePace,
)
from keystead.wire.edge_messages import Request
from tests.support.backups import (
    MULTIPART,
    PASSPHRASE,
    form,
    furnished,
    make,
    restore,
    started,
    swept,
    unlock,
)
from tests.support.core import WholeBody


class Upload:
    """A file that comes at so many bytes a second, by a clock that it moves itself."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.seconds = 0.0

    def clock(self) -> float:
        return self.seconds

    async def parts(self, size: int):
        part = bytes(PART if self._rate < LEAST_BYTES_A_SECOND else FAST_PART)
        for _ in range(size // len(part)):
            self.seconds += len(part) / self._rate
            yield part


PART = 4096
FAST_PART = 16 * PART


@pytest.mark.parametrize("rate", [10, 4500, LEAST_BYTES_A_SECOND * 0.9])
async def test_a_slow_file_without_credentials_loses_its_place_soon(rate):
    upload = Upload(rate)
    with pytest.raises(Conflict, match="faster"):
        async for _ in RestorePace(upload.clock).parts(upload.parts(2**40)):
            pass
    assert upload.seconds < max(10 * FIRST_SECONDS + 60, 2 * PART / rate)


async def test_a_fast_file_without_credentials_has_half_an_hour():
    upload = Upload(2 * LEAST_BYTES_A_SECOND)
    with pytest.raises(Conflict):
        async for _ in RestorePace(upload.clock).parts(upload.parts(2**40)):
            pass
    assert MOST_SECONDS < upload.seconds < MOST_SECONDS + 1


async def test_what_comes_in_time_comes_whole():
    upload = Upload(2 * LEAST_BYTES_A_SECOND)
    parts = [part async for part in RestorePace(upload.clock).parts(upload.parts(2**20))]
    assert sum(map(len, parts)) == 2**20


async def test_a_restore_without_credentials_is_held_to_it_and_the_next_has_its_place():
    core, backup, _ = await furnished()
    file = await make(core, backup)
    other = await started()
    body = form(file, {"backupPassphrase": PASSPHRASE})

    class Slow(WholeBody):
        async def parts(self, limit):
            async for part in super().parts(limit):
                other.clock.advance(40)
                yield part

    headers = MULTIPART | {"content-length": str(len(body))}
    request = Request(1, "POST", "/api/v1/system/restore", "", headers, "192.0.2.1", b"", more=True)
    response = await Dispatcher(other.hsm).answer(request, Slow(body))
    assert (response.status, other.hsm.state.value) == (409, "Unprovisioned")
    assert (await restore(other, file)).status == 204
    core.close()
    other.close()


class Stuck(WholeBody):
    """A body of which most arrives, and the end does not."""

    def __init__(self, body):
        super().__init__(body[:-200])
        self.is_stuck = asyncio.Event()

    async def parts(self, limit):
        async for part in super().parts(limit):
            yield part
        self.is_stuck.set()
        await asyncio.Event().wait()


async def test_a_slow_restore_makes_way_for_another_even_when_nothing_of_it_comes_any_more():
    core, backup, _ = await furnished()
    file = await make(core, backup)
    other = await started()
    body = form(file, {"backupPassphrase": PASSPHRASE})
    stuck = Stuck(body)
    headers = MULTIPART | {"content-length": str(len(body))}
    request = Request(1, "POST", "/api/v1/system/restore", "", headers, "192.0.2.1", b"", more=True)
    first = asyncio.create_task(Dispatcher(other.hsm).answer(request, stuck))
    await stuck.is_stuck.wait()
    assert (await restore(other, file)).status == 409, "it has a few seconds that are sure"
    other.clock.advance(SURE_SECONDS + 1)
    assert (await restore(other, file)).status == 204
    response = await first
    assert (response.status, b"taken the place" in response.body) == (409, True)
    await swept(other)
    assert await unlock(other) == 204
    core.close()
    other.close()


async def at_pace(rate, *, seconds):
    """Return a pace that has been kept for so long at so many bytes a second."""
    upload = Upload(rate)
    pace = RestorePace(upload.clock)
    parts = pace.parts(upload.parts(2**40))
    async for _ in parts:
        if upload.seconds >= seconds:
            break
    return pace


@pytest.mark.parametrize(
    ("rate", "seconds", "makes_way"),
    [
        (SURE_BYTES_A_SECOND * 0.5, SURE_SECONDS * 0.9, False),
        (SURE_BYTES_A_SECOND * 0.5, SURE_SECONDS * 3, True),
        (SURE_BYTES_A_SECOND * 1.1, MOST_SECONDS * 0.9, False),
    ],
)
async def test_a_restore_makes_way_when_it_is_slow_and_not_before(rate, seconds, makes_way):
    assert (await at_pace(rate, seconds=seconds)).makes_way() == makes_way


async def test_a_restore_whose_file_is_there_to_the_end_makes_way_for_nobody():
    upload = Upload(SURE_BYTES_A_SECOND / 2)
    pace = RestorePace(upload.clock)
    async for _ in pace.parts(upload.parts(32 * SURE_BYTES_A_SECOND)):
        pass
    assert not pace.makes_way()
