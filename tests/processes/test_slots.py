"""The boot slots of the appliance: whatever stops an update, what starts next is a whole image.

Files stand in for the partitions, and a folder for the firmware's variables. What the firmware
does with them is modelled here from its specification (UEFI 2.10, 3.1.1).
"""

import asyncio
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from uuid import UUID

import pytest

from keystead.errors import Conflict, InvalidInput, WrongState
from keystead.model.boot_slots import SLOT_BYTES, BootSlot
from keystead.operations.update import Running
from keystead.platform.update_slot import UpdateSlot
from keystead.processes.machine import kernel, process
from keystead.processes.machine.firmware import Firmware, Partition
from keystead.processes.machine.installation import install_committed, open_image, verified
from keystead.processes.machine.slots import Slots, Start, running_slot
from keystead.sealing.update_image import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, UpdateKey
from tests.support.update_images import key_pair, signed

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
OLD = os.urandom(3 * MIN_CHUNK_BYTES)
NEW = os.urandom(3 * MIN_CHUNK_BYTES + 100)
OF_FIRMWARE = 0x0001
"""An entry that the firmware makes for itself."""
THIS = Running(1, 1)
KEY = UpdateKey(key_pair(0)[1])
STEPS = 8
"""The steps of an update with four chunks."""


@dataclass
class Machine:
    """A machine that can be started again and again, with slot A filled."""

    folder: Path
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.variables.mkdir()
        (self.folder / "data").mkdir()
        self.device(BootSlot.A).write_bytes(OLD)
        self.device(BootSlot.B).write_bytes(b"")
        self.write("BootOrder", OF_FIRMWARE.to_bytes(2, "little"))

    @property
    def variables(self) -> Path:
        return self.folder / "efivars"

    def device(self, slot: BootSlot) -> Path:
        return self.folder / slot.value

    def start(self) -> tuple[Slots, Start]:
        """Do what firmware, stub and process 1 do."""
        slot = self._chosen()
        partition = f"{slot.partition_id}".upper() + "\0"
        self.write("LoaderDevicePartUUID", partition.encode("utf-16-le"), LOADER)
        firmware = Firmware(self.variables)
        found = running_slot(firmware)
        assert found is slot
        slots = Slots(slot, firmware, self._partitions(), self.folder / "data/trial")
        return slots, slots.begin()

    def starts_next(self) -> bytes:
        """Return the image that the next start starts."""
        return self.device(self._chosen(forget=False)).read_bytes()

    def _chosen(self, *, forget: bool = True) -> BootSlot:
        following = self.variables / f"BootNext-{GLOBAL}"
        if following.exists():
            number = int.from_bytes(following.read_bytes()[4:], "little")
            if forget:
                following.unlink()
            return self._slot_of(number)
        order = (self.variables / f"BootOrder-{GLOBAL}").read_bytes()[4:]
        return self._slot_of(int.from_bytes(order[:2], "little"))

    def _slot_of(self, number: int) -> BootSlot:
        if number == OF_FIRMWARE:  # The first disk's first partition.
            return BootSlot.A
        entry = (self.variables / f"Boot{number:04X}-{GLOBAL}").read_bytes()[4:]
        assert r"\EFI\BOOT\BOOTX64.EFI".encode("utf-16-le") in entry
        return next(slot for slot in BootSlot if slot.partition_id.bytes_le in entry)

    def _partitions(self) -> dict[BootSlot, Partition]:
        return {
            slot: Partition(self.device(slot), number, 2048 * number, 1000, slot.partition_id)
            for number, slot in enumerate(BootSlot, start=1)
        }

    def write(self, name: str, value: bytes, owner: str = GLOBAL) -> None:
        (self.variables / f"{name}-{owner}").write_bytes((7).to_bytes(4, "little") + value)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def update(slots: Slots, content: bytes = NEW) -> Iterator[str]:
    return slots.install(verified(io.BytesIO(signed(content)), KEY, THIS))


def updated(machine: Machine) -> Slots:
    """Install an update, start it, and return the slots as it sees them."""
    slots, _ = machine.start()
    assert len(list(update(slots))) == STEPS - 1
    slots, start = machine.start()
    assert start is Start.TRIAL
    return slots


def test_the_first_start_is_that_of_slot_a_and_stays_so(machine: Machine) -> None:
    for _ in range(3):
        slots, start = machine.start()
        assert (slots.running, start) == (BootSlot.A, Start.CONFIRMED)
    assert machine.starts_next() == OLD


def test_an_update_that_is_confirmed_starts_from_then_on(machine: Machine) -> None:
    slots = updated(machine)
    slots.confirm()

    for _ in range(3):
        slots, start = machine.start()
        assert (slots.running, start) == (BootSlot.B, Start.CONFIRMED)
    assert machine.starts_next() == NEW


def test_the_second_update_goes_into_the_first_slot(machine: Machine) -> None:
    updated(machine).confirm()
    slots, _ = machine.start()
    newer = os.urandom(5000)
    list(update(slots, newer))

    slots, start = machine.start()
    assert (slots.running, start) == (BootSlot.A, Start.TRIAL)
    slots.confirm()
    assert machine.starts_next()[:5000] == newer


def test_an_update_that_is_not_confirmed_is_tried_once(machine: Machine) -> None:
    updated(machine)

    assert machine.starts_next() == OLD
    slots, start = machine.start()
    assert (slots.running, start) == (BootSlot.A, Start.AFTER_FAILED_TRIAL)
    assert machine.start()[1] is Start.CONFIRMED


@pytest.mark.parametrize("steps", range(STEPS))
def test_whatever_step_is_the_last_what_starts_is_whole_and_a_second_try_succeeds(
    machine: Machine, steps: int
) -> None:
    slots, _ = machine.start()
    installing = update(slots)
    done = list(islice(installing, steps))

    is_complete = "the next start is chosen" in done
    assert machine.starts_next() == (NEW if is_complete else OLD)
    slots, start = machine.start()
    if not is_complete:
        expected = Start.AFTER_FAILED_TRIAL if "the trial is noted" in done else Start.CONFIRMED
        assert start is expected
        list(update(slots))
        slots, start = machine.start()
    assert start is Start.TRIAL
    slots.confirm()
    assert machine.starts_next() == NEW


def test_a_power_cut_in_the_middle_of_a_confirmation_ends_the_trial(machine: Machine) -> None:
    slots = updated(machine)
    slots.confirm()
    (machine.folder / "data/trial").write_text("B")  # Its removal had not reached the disk.

    slots, start = machine.start()

    assert (slots.running, start) == (BootSlot.B, Start.CONFIRMED)
    assert not (machine.folder / "data/trial").exists()


def test_a_slot_that_runs_because_the_confirmed_one_does_not_start_is_not_confirmed(
    machine: Machine,
) -> None:
    updated(machine).confirm()
    machine.write("BootNext", BootSlot.A.entry.to_bytes(2, "little"))

    slots, start = machine.start()

    assert (slots.running, start) == (BootSlot.A, Start.INSTEAD_OF_CONFIRMED)
    assert machine.starts_next() == NEW
    # An update from there replaces what does not start, and is safe from the first step on.
    next(update(slots))
    assert machine.starts_next() == OLD


def test_a_slot_on_trial_does_not_overwrite_the_confirmed_one(machine: Machine) -> None:
    slots = updated(machine)

    with pytest.raises(WrongState, match="on trial itself"):
        next(update(slots))
    assert machine.device(BootSlot.A).read_bytes() == OLD


@pytest.mark.parametrize("damage", [0, 5000, -1], ids=["signature", "first chunk", "last chunk"])
def test_a_damaged_image_never_starts(machine: Machine, damage: int) -> None:
    image = bytearray(signed(NEW))
    where = len(image) - len(NEW) - 1 if damage == 0 else damage
    image[where] ^= 1
    slots, _ = machine.start()

    with pytest.raises(InvalidInput):
        list(slots.install(verified(io.BytesIO(bytes(image)), KEY, THIS)))
    assert machine.starts_next() == OLD
    assert machine.start()[1] is Start.CONFIRMED


@pytest.mark.parametrize(
    ("image", "refusal", "says"),
    [
        pytest.param(signed(NEW, key=1), InvalidInput, "signature", id="another key"),
        pytest.param(signed(NEW)[:-1], InvalidInput, "truncated", id="cut short"),
        pytest.param(signed(NEW, security_version=0), Conflict, "older", id="security version"),
        pytest.param(signed(NEW, version="0.9.9"), Conflict, "Going back", id="major version"),
    ],
)
def test_only_a_whole_and_signed_and_newer_image_is_installed(
    image: bytes, refusal: type[Exception], says: str
) -> None:
    with pytest.raises(refusal, match=says):
        list(verified(io.BytesIO(image), KEY, THIS))


def test_an_image_that_is_larger_than_a_slot_is_refused_before_its_first_chunk() -> None:
    count = SLOT_BYTES // MAX_CHUNK_BYTES + 1
    image = signed(b"", size=SLOT_BYTES + 1, chunk_size=MAX_CHUNK_BYTES, chunks=["00" * 32] * count)

    with pytest.raises(InvalidInput, match="does not fit"):
        list(verified(io.BytesIO(image), KEY, THIS))


def test_entries_are_not_written_again_if_they_are_right(machine: Machine) -> None:
    machine.start()
    paths = list(machine.variables.glob("Boot*"))
    before = {path: path.stat().st_mtime_ns for path in paths}
    for path in paths:
        path.chmod(0o400)
        os.utime(path, ns=(0, 0))

    machine.start()

    assert len(before) == 3
    assert {path.stat().st_mtime_ns for path in paths} == {0}


@pytest.mark.parametrize("value", [b"", "not a UUID".encode("utf-16-le"), b"\xff\xd8"])
def test_a_start_from_no_slot_is_recognised(tmp_path: Path, value: bytes) -> None:
    assert running_slot(Firmware(tmp_path)) is None

    (tmp_path / f"LoaderDevicePartUUID-{LOADER}").write_bytes(bytes(4) + value)
    assert running_slot(Firmware(tmp_path)) is None

    other = f"{UUID(int=7)}".encode("utf-16-le")
    (tmp_path / f"LoaderDevicePartUUID-{LOADER}").write_bytes(bytes(4) + other)
    assert running_slot(Firmware(tmp_path)) is None


def staged(machine: Machine, image: bytes) -> UpdateSlot:
    """Return an update slot of the server, with a committed image."""
    slot = UpdateSlot(machine.folder / "data/update", has_installer=True)
    slot.begin(len(image))
    slot.write(image)
    slot.keep()
    slot.commit()
    slot.commit()
    return slot


def install(machine: Machine, slots: Slots, slot: UpdateSlot) -> None:
    key = machine.folder / "update.pem"
    key.write_bytes(key_pair(0)[1])
    install_committed(slots, slot, machine.told.append, key_file=key, running=THIS)


def test_a_committed_image_is_installed_once(machine: Machine) -> None:
    slots, _ = machine.start()
    slot = staged(machine, signed(NEW))

    install(machine, slots, slot)

    assert machine.told == ["installing the update", "slot B starts next, on trial"]
    assert machine.starts_next() == NEW
    assert list((machine.folder / "data/update").iterdir()) == []
    install(machine, slots, slot)
    assert len(machine.told) == 2


def test_a_staged_image_that_is_not_committed_is_not_installed(machine: Machine) -> None:
    slots, _ = machine.start()
    slot = staged(machine, signed(NEW))
    slot.cancel()
    install(machine, slots, slot)
    slot = staged(machine, signed(NEW))
    assert slot.take_committed() is not None

    install(machine, slots, slot)

    assert machine.told == []
    assert machine.starts_next() == OLD


def test_an_image_that_was_replaced_on_the_disk_is_not_installed(machine: Machine) -> None:
    slots, _ = machine.start()
    slot = staged(machine, signed(NEW))
    (machine.folder / "data/update/staged.image").write_bytes(signed(NEW, key=1))

    install(machine, slots, slot)

    assert machine.told[-1].startswith("the update is not installed: The signature")
    assert machine.starts_next() == OLD
    assert slot.take_committed() is None


def test_a_machine_without_an_update_key_installs_nothing(machine: Machine) -> None:
    slots, _ = machine.start()
    slot = staged(machine, signed(NEW))

    install_committed(slots, slot, machine.told.append, key_file=machine.folder / "no.pem")

    assert machine.told[-1] == "the update is not installed: No such file or directory"
    assert machine.starts_next() == OLD


def test_nothing_but_a_file_is_read_as_an_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", stat.S_IRUSR | stat.S_IWUSR)
    (tmp_path / "link").symlink_to("/dev/zero")

    for name in ("pipe", "link"):
        with pytest.raises(OSError, match=name):
            open_image(tmp_path / name)


def test_what_the_server_left_in_the_way_of_an_update_ends_no_trial(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slots, _ = machine.start()
    list(update(slots))
    machine.start()  # As process 1 does below. It has changed nothing that counts.
    machine.write("BootNext", BootSlot.B.entry.to_bytes(2, "little"))
    (machine.folder / "data/update/committed").mkdir(parents=True)
    monkeypatch.setattr(process, "UPDATES", machine.folder / "data/update")
    monkeypatch.setattr(process.boot, "find_slots", lambda: unbegun(machine))

    found, start = process._begin_slots()  # noqa: SLF001 - process 1 does nothing else before

    assert found is not None
    assert (found.running, start) == (BootSlot.B, Start.TRIAL)
    assert "cannot be dropped" in capsys.readouterr().out


def unbegun(machine: Machine) -> Slots:
    """Return the slots of a machine that has just started, before `begin`."""
    slots, _ = machine.start()
    return slots


def test_a_machine_restarts_if_its_firmware_does_not_take_the_confirmation(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slots = updated(machine)
    machine.variables.rename(machine.folder / "gone")
    monkeypatch.setattr(process.trial, "answers", is_healthy)

    async def end_trial() -> int:
        running = process.Machine(slots, Start.TRIAL)
        await running._end_trial()  # noqa: SLF001 - what `run` starts
        return running._what_now(0)  # noqa: SLF001 - what `run` returns when the server has ended

    assert asyncio.run(end_trial()) == kernel.RESTART
    assert "the slot cannot be confirmed" in capsys.readouterr().out
    (machine.folder / "gone").rename(machine.variables)
    assert machine.starts_next() == OLD


async def is_healthy(*_: object) -> bool:
    return True
