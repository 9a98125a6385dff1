"""The slot for update images on a disk: whole images only, whatever happens in between."""

import os
from pathlib import Path

import pytest

from keystead.errors import Overloaded, StartRefused, WrongState
from keystead.platform.data_directory import DataDirectory
from keystead.platform.remote_update_slot import UpdateSlotService
from keystead.platform.update_slot import RESERVE_BYTES, UpdateSlot
from keystead.wire.platform_messages import SlotAnswer, SlotPart, SlotStep


@pytest.fixture
def slot(tmp_path):
    return UpdateSlot(tmp_path / "update")


def files(directory: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in directory.glob("update/*")}


def stage(slot: UpdateSlot, *parts: bytes) -> None:
    slot.begin(sum(map(len, parts)))
    for part in parts:
        slot.write(part)
    slot.keep()


def test_an_image_is_staged_when_it_is_complete_and_not_before(slot, tmp_path):
    slot.begin(6)
    slot.write(b"abc")
    slot.write(b"def")
    assert files(tmp_path) == {"arriving.image": b"abcdef"}
    slot.keep()
    assert files(tmp_path) == {"staged.image": b"abcdef"}
    for entry in (tmp_path / "update", tmp_path / "update/staged.image"):
        assert entry.stat().st_mode & 0o077 == 0


def test_a_new_image_takes_the_place_of_the_one_before(slot, tmp_path):
    stage(slot, b"old")
    slot.begin(3)
    slot.write(b"new")
    assert files(tmp_path)["staged.image"] == b"old"
    slot.keep()
    assert files(tmp_path) == {"staged.image": b"new"}


def test_an_abandoned_image_leaves_the_one_before(slot, tmp_path):
    stage(slot, b"old")
    slot.begin(3)
    slot.write(b"ne")
    slot.abandon()
    slot.abandon()
    assert files(tmp_path) == {"staged.image": b"old"}
    for step in (slot.keep, lambda: slot.write(b"more")):
        with pytest.raises(WrongState):
            step()


def test_what_a_crash_left_is_removed_at_the_next_start(slot, tmp_path):
    stage(slot, b"old")
    (tmp_path / "update/arriving.image").write_bytes(b"ne")
    UpdateSlotService(UpdateSlot(tmp_path / "update")).close()
    assert files(tmp_path) == {"staged.image": b"old"}


def test_a_begin_drops_an_unfinished_image(slot, tmp_path):
    slot.begin(3)
    slot.write(b"half")
    stage(slot, b"whole")
    assert files(tmp_path) == {"staged.image": b"whole"}


def test_cancel_removes_the_staged_image_and_not_the_arriving_one(slot, tmp_path):
    with pytest.raises(WrongState, match="No update image is staged"):
        slot.cancel()
    stage(slot, b"old")
    slot.begin(3)
    slot.write(b"new")
    slot.cancel()
    assert files(tmp_path) == {"arriving.image": b"new"}
    slot.keep()
    slot.cancel()
    assert files(tmp_path) == {}


def test_commit_says_how_this_installation_is_updated(slot, tmp_path):
    with pytest.raises(WrongState, match="No update image is staged"):
        slot.commit()
    stage(slot, b"old")
    with pytest.raises(WrongState, match="package manager, in its source tree with git pull"):
        slot.commit()
    assert files(tmp_path) == {"staged.image": b"old"}


def test_a_commitment_is_of_one_image_and_ends_with_it(tmp_path):
    slot = UpdateSlot(tmp_path / "update", has_installer=True)
    stage(slot, b"old")
    slot.commit()
    stage(slot, b"new")
    assert slot.take_committed() is None

    slot.commit()
    slot.cancel()
    stage(slot, b"newer")
    assert slot.take_committed() is None

    slot.commit()
    assert slot.take_committed() == tmp_path / "update/staged.image"


def test_an_image_leaves_room_for_records(slot, tmp_path):
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    with pytest.raises(Overloaded, match="no room"):
        slot.begin(free - RESERVE_BYTES // 2)
    assert files(tmp_path) == {}


def test_a_factory_reset_removes_images(tmp_path):
    with_images = DataDirectory.open(tmp_path / "data")
    slot = with_images.update_slot()
    stage(slot, b"old")
    (tmp_path / "data/update/arriving.image").write_bytes(b"ne")
    with_images.reset()
    assert files(tmp_path / "data") == {}
    with_images.close()


async def test_the_service_answers_with_what_was_refused(slot, tmp_path):
    service = UpdateSlotService(slot)
    assert await service.answer(SlotStep(1, "begin", 3)) == SlotAnswer(1)
    assert await service.answer(SlotPart(2, b"abc")) == SlotAnswer(2)
    assert await service.answer(SlotStep(3, "keep")) == SlotAnswer(3)
    assert (await service.answer(SlotStep(4, "keep"))).refusal == "state"
    assert (await service.answer(SlotStep(5, "commit"))).refusal == "state"
    assert (await service.answer(SlotStep(6, "begin", 2**60))).refusal == "disk"
    assert await service.answer(SlotStep(7, "cancel")) == SlotAnswer(7)
    assert await service.answer(SlotStep(8, "abandon")) == SlotAnswer(8)
    (tmp_path / "update").rmdir()
    (tmp_path / "update").write_text("in the way")
    broken = await service.answer(SlotStep(9, "begin", 3))
    assert broken == SlotAnswer(9, "disk", "The update image cannot be kept: Not a directory.")
    service.close()


def test_a_slot_out_of_reach_refuses_the_start(tmp_path):
    (tmp_path / "update").write_text("in the way")
    with pytest.raises(StartRefused, match="update images: Not a directory"):
        UpdateSlotService(UpdateSlot(tmp_path / "update"))


async def test_the_end_of_the_service_drops_what_was_arriving(slot, tmp_path):
    service = UpdateSlotService(slot)
    await service.answer(SlotStep(1, "begin", 3))
    service.close()
    assert files(tmp_path) == {}
