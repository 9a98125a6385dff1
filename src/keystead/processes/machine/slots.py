"""The boot slots: which one runs, which one starts as a rule, and how an update is installed.

The firmware's boot order names the confirmed slot. An update is written to the other slot, which
the firmware then starts once. Only if the server answers there, the order is changed. So whatever
happens on the way, and after every failed start, the next start is that of the confirmed slot.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final

from keystead.errors import WrongState
from keystead.model.boot_slots import BootSlot
from keystead.platform import durable
from keystead.processes.machine.firmware import Firmware, Partition

_OURS: Final = {slot.entry: slot for slot in BootSlot}


class Start(Enum):
    """How the running slot came to run. The value is what the console says of it."""

    CONFIRMED = "slot {running}"
    TRIAL = "slot {running}, on trial"
    AFTER_FAILED_TRIAL = "slot {running}: the update in slot {other} was not confirmed"
    INSTEAD_OF_CONFIRMED = "slot {running}: slot {other}, which is confirmed, does not start"

    @property
    def is_of_confirmed(self) -> bool:
        """Whether the slot that runs is the confirmed one."""
        return self in (Start.CONFIRMED, Start.AFTER_FAILED_TRIAL)


class Slots:
    """Both slots, seen from the one that runs. Methods raise OSError."""

    def __init__(
        self,
        running: BootSlot,
        firmware: Firmware,
        partitions: Mapping[BootSlot, Partition],
        trial_file: Path,
    ) -> None:
        """`trial_file` has the letter of the slot on trial, if there is one."""
        self.running = running
        self._firmware = firmware
        self._partitions = partitions
        self._trial_file = trial_file

    def begin(self) -> Start:
        """Note that the slot runs, and return how it came to run. Call it once, at the start."""
        for slot, partition in self._partitions.items():
            self._firmware.set_entry(slot.entry, f"Keystead {slot.value}", partition)
        confirmed, on_trial = self._confirmed(), self._on_trial()
        if confirmed is self.running.other and on_trial is self.running:
            return Start.TRIAL
        durable.remove(self._trial_file)
        if confirmed is self.running.other:
            return Start.INSTEAD_OF_CONFIRMED
        if confirmed is None:  # The first start of this disk with this firmware.
            self._choose_running()
        return Start.AFTER_FAILED_TRIAL if on_trial is self.running.other else Start.CONFIRMED

    def confirm(self) -> None:
        """Let the running slot be the one that starts as a rule."""
        self._choose_running()
        durable.remove(self._trial_file)

    def install(self, chunks: Iterable[bytes]) -> Iterator[str]:
        """Write an update to the other slot, to be started once. Yields what was just done.

        What `chunks` raises leaves the running slot as the one that starts next. Raises WrongState
        if the running slot is on trial.
        """
        if self._on_trial() is self.running:
            raise WrongState("The running slot is on trial itself.")
        self._choose_running()
        yield "the running slot is chosen"
        other = self.running.other
        with self._partitions[other].device.open("r+b", buffering=0) as device:
            for chunk in chunks:
                _write(device, chunk)
                yield "a chunk is written"
            os.fsync(device.fileno())
        durable.create(self._trial_file, other.value.encode())
        yield "the trial is noted"
        self._firmware.set_next(other.entry)
        yield "the next start is chosen"

    def _confirmed(self) -> BootSlot | None:
        found = (_OURS[number] for number in self._firmware.order() if number in _OURS)
        return next(found, None)

    def _choose_running(self) -> None:
        others = [number for number in self._firmware.order() if number not in _OURS]
        self._firmware.set_order([self.running.entry, *others])

    def _on_trial(self) -> BootSlot | None:
        with suppress(FileNotFoundError, ValueError):
            return BootSlot(self._trial_file.read_text())
        return None


def running_slot(firmware: Firmware) -> BootSlot | None:
    """Return the slot that this machine was started from, None if that is no slot."""
    started_from = firmware.started_from()
    return next((slot for slot in BootSlot if slot.partition_id == started_from), None)


def _write(device: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[device.write(view) :]
