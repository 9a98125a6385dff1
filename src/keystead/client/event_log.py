"""The firmware's log of what it measured into a TPM, replayed.

Source: TCG PC Client Platform Firmware Profile 1.05, section 10 (TCG_PCR_EVENT2, in which all
numbers are little-endian).
"""

import hashlib
from dataclasses import dataclass
from struct import Struct
from typing import Final

from keystead.client.attestations import AttestationInvalid

ALGORITHMS: Final = {0x0004: "sha1", 0x000B: "sha256", 0x000C: "sha384", 0x000D: "sha512"}
"""The banks, by the TCG's numbers."""
_OTHER_DIGESTS: Final = {0x0012: 32}
"""SM3_256, which Python does not compute."""
_SIZES: Final = {
    number: hashlib.new(name).digest_size for number, name in ALGORITHMS.items()
} | _OTHER_DIGESTS
_NO_ACTION: Final = 3
"""EV_NO_ACTION: it is not measured."""
_HEADER: Final = b"Spec ID Event03\0"
_LOCALITY: Final = b"StartupLocality\0"
_SHA1_BYTES: Final = 20
_U16: Final = Struct("<H")
_U32: Final = Struct("<I")


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a log leads to, in one bank."""

    registers: dict[int, bytes]
    """The values of those registers into which something was measured."""
    events: int


def replay(log: bytes, bank: str) -> Replayed:
    """Return the registers' values after all events of `log`.

    What an event says beside its digest is not proven by the values, and is not returned. Raises
    AttestationInvalid if the log is malformed or an event has no digest of `bank`.
    """
    reader = Reader(log)
    _read_header(reader)
    registers: dict[int, bytes] = {}
    events = 0
    while not reader.is_at_end:
        register, kind = reader.number(_U32), reader.number(_U32)
        digests = dict(_digest(reader) for _ in range(reader.number(_U32)))
        data = reader.take(reader.number(_U32))
        events += 1
        start = registers.get(register, bytes(hashlib.new(bank).digest_size))
        if kind == _NO_ACTION:
            if register == 0 and not registers.get(0) and data.startswith(_LOCALITY):
                registers[0] = start[:-1] + data[len(_LOCALITY) :][:1]
            continue
        if bank not in digests:
            raise AttestationInvalid(f"The event log has an event without a digest of {bank}.")
        registers[register] = hashlib.new(bank, start + digests[bank]).digest()
    return Replayed(registers, events)


class Reader:
    """Bytes that are read from the front. Raises AttestationInvalid at their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all is read."""
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        end = self._at + size
        if end > len(self._data):
            raise AttestationInvalid("The quote or its event log ends too early.")
        found = self._data[self._at : end]
        self._at = end
        return found

    def number(self, kind: Struct) -> int:
        """Return the next number."""
        found: int = kind.unpack(self.take(kind.size))[0]
        return found


def _read_header(reader: Reader) -> None:
    """Skip the first event, which says that the others are of the format of TPM 2.0."""
    reader.take(2 * _U32.size + _SHA1_BYTES)
    if not reader.take(reader.number(_U32)).startswith(_HEADER):
        raise AttestationInvalid("The event log is not one of a TPM 2.0.")


def _digest(reader: Reader) -> tuple[str, bytes]:
    number = reader.number(_U16)
    if number not in _SIZES:
        raise AttestationInvalid(f"The event log has digests of an unknown kind, {number:#06x}.")
    return ALGORITHMS.get(number, hex(number)), reader.take(_SIZES[number])
