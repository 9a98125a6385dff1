"""Updates through the API: an image is staged whole and verified, or nothing changes."""

import asyncio

import pytest

from keystead.errors import Overloaded
from keystead.operations import update
from keystead.operations.update import Running, Updates
from keystead.sealing.update_image import MAGIC, MAX_IMAGE_BYTES, UpdateKey
from keystead.wire.edge_messages import Request
from tests.support.core import ADMIN, Core, WholeBody, basic, start_core
from tests.support.update_images import CONTENT, MemorySlot, key_pair, signed

KEY = UpdateKey(key_pair(0)[1])
IMAGE = signed(release_notes="Faster.")
BEFORE = signed(b"the one before")


@pytest.fixture
def slot() -> MemorySlot:
    return MemorySlot()


@pytest.fixture
def core(runner, slot):
    """An Operational core that takes images."""
    core = runner.run(start_core(update_slot=slot, update_key=KEY))
    runner.run(core.provision())
    yield core
    core.close()


async def upload(core: Core, image: bytes):
    return await core.request("POST", "/system/update", user=ADMIN, body=image)


class SlowBody(WholeBody):
    """A body that a test sends part by part; None ends it, an error is raised where it stands."""

    def __init__(self) -> None:
        super().__init__(b"")
        self.sent: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()

    async def parts(self, _limit: int):
        while (part := await self.sent.get()) is not None:
            if isinstance(part, BaseException):
                raise part
            yield part


def begin_upload(core: Core) -> tuple[SlowBody, asyncio.Task]:
    body = SlowBody()
    headers = {"authorization": basic(ADMIN)}
    request = Request(
        1, "POST", "/api/v1/system/update", "", headers, "192.0.2.1", b"", None, more=True
    )
    return body, asyncio.create_task(core.dispatcher.answer(request, body))


async def until_arriving(slot: MemorySlot, size: int) -> None:
    async with asyncio.timeout(5):
        while len(slot.arriving or b"") < size:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


async def test_an_image_is_verified_staged_and_answered_with_its_notes(core, slot):
    answer = await upload(core, IMAGE)
    assert (answer.status, answer.json()) == (200, {"releaseNotes": "Faster."})
    assert slot.staged == IMAGE
    assert '"event": "update image staged"' in core.log_lines[-1]
    assert '"version": "1.2.3"' in core.log_lines[-1]


async def test_without_a_key_every_image_is_refused_with_the_reason(fresh_core):
    await fresh_core.provision()
    answer = await upload(fresh_core, IMAGE)
    assert answer.status == 412
    assert "names no public key" in answer.message


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (b"", "truncated"),
        (b"_NETHSM_UPDATE_\0" + bytes(600), "not an update image"),
        (bytes(1000), "not an update image"),
        (IMAGE[:100], "truncated"),
        (MAGIC + b"\0\2" + bytes(600), "unknown format version 2"),
        (MAGIC + b"\0\1\xff\xff\xff\xff" + bytes(600), "over 262144 bytes"),
    ],
)
async def test_without_a_key_what_is_no_image_is_400_all_the_same(fresh_core, image, complaint):
    await fresh_core.provision()
    answer = await upload(fresh_core, image)
    assert answer.status == 400
    assert complaint in answer.message


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (b"", "truncated"),
        (b"_NETHSM_UPDATE_\0" + bytes(600), "not an update image"),
        (IMAGE[:-1], "truncated"),
        (IMAGE[: len(IMAGE) - len(CONTENT)], "truncated"),
        (IMAGE + b"\0", "after the end"),
        (IMAGE[:-1] + bytes([IMAGE[-1] ^ 1]), "Chunk 2 of the update image is damaged"),
        (signed(key=1), "signature"),
        (signed(product="toaster"), "another product"),
    ],
)
async def test_what_is_no_whole_and_signed_image_is_400_and_the_slot_stays(
    core, slot, image, complaint
):
    slot.staged = BEFORE
    answer = await upload(core, image)
    assert answer.status == 400
    assert complaint in answer.message
    assert (slot.staged, slot.arriving) == (BEFORE, None)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"version": "2.0.0", "security_version": 5}, 200),
        ({"version": "3.0.0", "security_version": 6}, 200),
        ({"version": "1.9.9", "security_version": 5}, 409),
        ({"version": "3.0.0", "security_version": 4}, 409),
    ],
)
async def test_no_image_leads_back_to_an_older_major_or_security_version(
    core, slot, fields, status
):
    slot.staged = BEFORE
    core.hsm.updates = Updates(slot, KEY, Running(major=2, security_version=5))
    image = signed(**fields)
    answer = await upload(core, image)
    assert answer.status == status
    assert slot.staged == (image if status == 200 else BEFORE)
    assert slot.arriving is None


def test_what_runs_is_what_the_package_says():
    assert Running(0, 1) == update.THIS_SOFTWARE


async def test_too_long_a_body_is_refused_before_it_is_read(core, slot):
    headers = {"authorization": basic(ADMIN)}
    request = Request(
        1,
        "POST",
        "/api/v1/system/update",
        "",
        headers,
        "192.0.2.1",
        b"",
        MAX_IMAGE_BYTES + 2**20,
        more=True,
    )
    response = await core.dispatcher.answer(request, SlowBody())
    assert response.status == 413
    assert slot.arriving is None


async def test_nothing_is_stored_before_the_header_is_verified(core, slot):
    body, answering = begin_upload(core)
    envelope = len(IMAGE) - len(CONTENT)
    body.sent.put_nowait(IMAGE[: envelope - 1])
    await asyncio.sleep(0.01)
    assert slot.arriving is None
    body.sent.put_nowait(IMAGE[envelope - 1 : envelope])
    await until_arriving(slot, envelope)
    body.sent.put_nowait(IMAGE[envelope : envelope + 5000])
    await until_arriving(slot, envelope + 4096)
    assert slot.arriving == IMAGE[: envelope + 4096], "only whole, verified chunks"
    body.sent.put_nowait(IMAGE[envelope + 5000 :])
    body.sent.put_nowait(None)
    assert (await answering).status == 200
    assert slot.staged == IMAGE


async def test_a_second_upload_at_the_same_time_is_refused(core, slot):
    body, answering = begin_upload(core)
    body.sent.put_nowait(IMAGE[:-1])
    await until_arriving(slot, 4096)
    answer = await upload(core, IMAGE)
    assert answer.status == 409
    assert "being uploaded" in answer.message
    body.sent.put_nowait(IMAGE[-1:])
    body.sent.put_nowait(None)
    assert (await answering).status == 200
    assert (await upload(core, IMAGE)).status == 200


async def test_a_client_that_goes_away_leaves_nothing(core, slot):
    slot.staged = BEFORE
    body, answering = begin_upload(core)
    body.sent.put_nowait(IMAGE[:-1])
    await until_arriving(slot, 4096)
    body.sent.put_nowait(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert (slot.staged, slot.arriving) == (BEFORE, None)
    assert (await upload(core, IMAGE)).status == 200


async def test_an_upload_that_lock_overtakes_leaves_nothing(core, slot, monkeypatch):
    monkeypatch.setattr("keystead.operations.hsm.LOCK_PATIENCE_SECONDS", 0.01)
    body, answering = begin_upload(core)
    body.sent.put_nowait(IMAGE[:-1])
    await until_arriving(slot, 4096)
    assert (await core.request("POST", "/lock", user=ADMIN)).status == 204
    body.sent.put_nowait(IMAGE[-1:])
    body.sent.put_nowait(None)
    assert (await answering).status == 412
    assert (slot.staged, slot.arriving) == (None, None)


async def test_a_disk_without_room_is_503_and_the_state_stays(core, slot, monkeypatch):
    async def no_room(_size):
        raise Overloaded("There is no room on the disk for the update image.")

    monkeypatch.setattr(slot, "begin", no_room)
    answer = await upload(core, IMAGE)
    assert (answer.status, answer.message) == (
        503,
        "There is no room on the disk for the update image.",
    )
    assert core.hsm.is_operational


async def test_a_staged_image_can_be_cancelled_once(core, slot):
    await upload(core, IMAGE)
    assert (await core.request("POST", "/system/cancel-update", user=ADMIN)).status == 204
    assert slot.staged is None
    assert (await core.request("POST", "/system/cancel-update", user=ADMIN)).status == 412


async def test_commit_takes_a_staged_image(core, slot):
    assert (await core.request("POST", "/system/commit-update", user=ADMIN)).status == 412
    await upload(core, IMAGE)
    assert (await core.request("POST", "/system/commit-update", user=ADMIN)).status == 204
    assert slot.commits == 1
