"""A neighbour of a virtual machine on its network, which tries every TCP and UDP port of it.

It speaks Ethernet, in datagrams that QEMU passes on to a network card. So it sees what answers the
machine's whole address, which QEMU's own forwarding of single ports does not show.
"""

import socket
import struct
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from keystead.processes.machine.network import link_local_address
from tests.appliance.machines import PATIENCE_SECONDS

PORTS: Final = range(1, 65536)
THEIR_HARDWARE: Final = bytes.fromhex("525400000002")
_OUR_HARDWARE: Final = bytes.fromhex("525400000001")
_OUR_IPV4: Final = IPv4Address("169.254.0.0")
_OUR_IPV6: Final = IPv6Address("fe80::")
_OUR_NUMBERS: Final = range(1, 256)
"""The neighbour is so many: Linux says to each about once a second that a port is closed."""
_AT_ONCE: Final = 200
_SILENCE_SECONDS: Final = 0.3
_TRIES: Final = 30
_FROM_PORT: Final = 40000
_ARP, _IPV4, _IPV6 = 0x0806, 0x0800, 0x86DD
_TAG: Final = 0x8100
_HARDWARE_BYTES: Final = 12
_ICMP, _TCP, _UDP, _ICMP6 = 1, 6, 17, 58
_SYN, _SYN_AND_ACK, _RST = 0x02, 0x12, 0x04
_SOLICITATION, _ADVERTISEMENT = 135, 136
_UNREACHABLE: Final = (b"\3\3", b"\1\4")
"""Type and code of the answer that a UDP port is closed, in ICMP and ICMPv6."""
_LAST_SECONDS: Final = 60.0
"""Ports that do not answer for so long are open. A DHCP client listens for some seconds only."""

Address = IPv4Address | IPv6Address
Read = Callable[[bytes, Address], tuple[int, bool] | None]
"""Returns the port that a frame answers for, and whether it is open."""


def addresses() -> tuple[Address, Address]:
    """Return the link-local addresses that the machine takes without a DHCP server."""
    mac = THEIR_HARDWARE
    interface = bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
    return link_local_address(mac).ip, IPv6Address(b"\xfe\x80" + bytes(6) + interface)


class Neighbour:
    """The other end of a cable. The machine has to be started with `options`."""

    def __init__(self, *, is_at_first_card: bool = False) -> None:
        self.vlan = 0
        """The VLAN whose packets it sends and sees; 0 for those without a tag."""
        self._slot = 3 if is_at_first_card else 5
        self._end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._end.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self._theirs = free.getsockname()

    @property
    def options(self) -> Sequence[str]:
        """QEMU's options for another network card at this cable."""
        ours, theirs = self._end.getsockname()[1], self._theirs[1]
        ends = "".join(
            f",{end}.type=inet,{end}.host=127.0.0.1,{end}.port={port}"
            for end, port in (("local", theirs), ("remote", ours))
        )
        mac = THEIR_HARDWARE.hex(":")
        return (
            *("-netdev", f"dgram,id=neighbour{ends}"),
            *("-device", f"virtio-net-pci,netdev=neighbour,mac={mac},addr={self._slot}"),
        )

    def close(self) -> None:
        self._end.close()

    def open_ports(self, address: Address) -> set[int]:
        """Return the TCP ports at which something listens. Every port has to answer."""
        waiting, found = set(PORTS), set()
        end = time.monotonic() + PATIENCE_SECONDS
        while waiting:
            assert time.monotonic() < end, f"{len(waiting)} ports of {address} do not answer"
            tried = sorted(waiting)[:_AT_ONCE]
            for port in tried:
                self._send(_frame(address, _TCP, _syn(address, port)))
            for port, is_open in self._answers(address, tried, _answer):
                waiting.discard(port)
                if is_open:
                    found.add(port)
        return found

    def is_open(self, address: Address, port: int) -> bool:
        """Return whether something listens at a TCP port, and reaches us with its answer."""
        self._forget_answers()
        for _ in range(_TRIES):
            self._send(_frame(address, _TCP, _syn(address, port)))
            for _, is_open in self._answers(address, [port], _answer):
                return is_open
        return False

    def silent_udp_ports(self, address: Address) -> set[int]:
        """Return the UDP ports that do not say that they are closed."""
        waiting, last = set(PORTS), time.monotonic()
        end = last + 3 * PATIENCE_SECONDS
        while waiting and time.monotonic() < last + _LAST_SECONDS:
            assert time.monotonic() < end, f"{len(waiting)} ports of {address} are left"
            tried = sorted(waiting)[: len(_OUR_NUMBERS)]
            for ours, port in zip(_OUR_NUMBERS, tried, strict=False):
                self._send(_frame(address, _UDP, _datagram(address, port, ours), ours))
            for port, _ in self._answers(address, tried, _refusal):
                waiting.discard(port)
                last = time.monotonic()
        return waiting

    def _answers(
        self, address: Address, ports: Collection[int], read: Read
    ) -> Iterator[tuple[int, bool]]:
        left = set(ports)
        self._end.settimeout(_SILENCE_SECONDS)
        while left:
            try:
                frame = self._untagged(self._end.recv(65536))
            except TimeoutError:
                return
            if frame is None:
                continue
            self._introduce(frame)
            answer = read(frame, address)
            if answer is not None:
                left.discard(answer[0])
                yield answer

    def _forget_answers(self) -> None:
        """Drop what has come since the last question, such as repeated answers to it."""
        self._end.setblocking(False)
        with suppress(BlockingIOError):
            while self._end.recv(65536):
                pass

    def _introduce(self, frame: bytes) -> None:
        """Say who has our address, if the frame asks for that."""
        (kind,) = struct.unpack_from("!H", frame, 12)
        if kind == _ARP and frame[20:22] == b"\0\1" and _is_ours(frame[38:42]):
            body = bytes.fromhex("0001080006040002")
            ours, theirs = _OUR_HARDWARE + frame[38:42], frame[22:32]
            self._send(THEIR_HARDWARE + _OUR_HARDWARE + b"\x08\x06" + body + ours + theirs)
        elif kind == _IPV6 and frame[20] == _ICMP6 and frame[54] == _SOLICITATION:
            if not _is_ours(frame[62:78]):
                return
            address, ours = IPv6Address(frame[22:38]), frame[77]
            told = b"\x02\x01" + _OUR_HARDWARE
            body = bytes([_ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0]) + frame[62:78] + told
            self._send(_frame(address, _ICMP6, _summed(address, _ICMP6, body, 2, ours), ours))

    def _send(self, frame: bytes) -> None:
        tag = struct.pack("!HH", _TAG, self.vlan) if self.vlan else b""
        tagged = frame[:_HARDWARE_BYTES] + tag + frame[_HARDWARE_BYTES:]
        self._end.sendto(tagged, self._theirs)

    def _untagged(self, frame: bytes) -> bytes | None:
        """Return a frame of the machine without its tag, or None if it is of another VLAN."""
        kind, tag = struct.unpack_from("!HH", frame, _HARDWARE_BYTES)
        vlan = tag & 0xFFF if kind == _TAG else 0
        if vlan != self.vlan:
            return None
        return frame[:_HARDWARE_BYTES] + frame[_HARDWARE_BYTES + (4 if vlan else 0) :]


def _source(address: Address, number: int) -> bytes:
    """Return our address of this number, of the kind of `address`."""
    return ((_OUR_IPV4 if isinstance(address, IPv4Address) else _OUR_IPV6) + number).packed


def _is_ours(address: bytes) -> bool:
    start = _OUR_IPV4.packed if len(address) == len(_OUR_IPV4.packed) else _OUR_IPV6.packed
    return address[:-1] == start[:-1] and address[-1] in _OUR_NUMBERS


def _frame(address: Address, protocol: int, body: bytes, ours: int = 1) -> bytes:
    if isinstance(address, IPv4Address):
        kind = _IPV4
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0)
        head += _source(address, ours) + address.packed
        head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    else:
        kind = _IPV6
        head = struct.pack("!IHBB", 6 << 28, len(body), protocol, 255)
        head += _source(address, ours) + address.packed
    return THEIR_HARDWARE + _OUR_HARDWARE + struct.pack("!H", kind) + head + body


def _syn(address: Address, port: int) -> bytes:
    body = struct.pack("!HHIIBBHHH", _FROM_PORT, port, 1, 0, 5 << 4, _SYN, 1024, 0, 0)
    return _summed(address, _TCP, body, 16)


def _datagram(address: Address, port: int, ours: int) -> bytes:
    body = struct.pack("!HHHH8x", _FROM_PORT, port, 16, 0)
    return _summed(address, _UDP, body, 6, ours)


def _summed(address: Address, protocol: int, body: bytes, place: int, ours: int = 1) -> bytes:
    """Return the body with its checksum at `place`."""
    source = _source(address, ours)
    pseudo = source + address.packed + struct.pack("!II", len(body), protocol)
    summed = struct.pack("!H", _checksum(pseudo + body))
    return body[:place] + summed + body[place + 2 :]


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF or 0xFFFF  # In UDP, 0 stands for no checksum.


def _answer(frame: bytes, address: Address) -> tuple[int, bool] | None:
    """Return the port that a frame answers for, and whether it is open."""
    (kind,) = struct.unpack_from("!H", frame, 12)
    if kind == _IPV4 and frame[23] == _TCP and frame[26:30] == address.packed:
        segment = frame[14 + (frame[14] & 15) * 4 :]
    elif kind == _IPV6 and frame[20] == _TCP and frame[22:38] == address.packed:
        segment = frame[54:]
    else:
        return None
    port, flags = struct.unpack_from("!H", segment)[0], segment[13]
    if flags & _RST:
        return port, False
    return (port, True) if flags == _SYN_AND_ACK else None


def _refusal(frame: bytes, address: Address) -> tuple[int, bool] | None:
    """Return the UDP port that a frame says is closed, and False."""
    (kind,) = struct.unpack_from("!H", frame, 12)
    if kind == _IPV4 and frame[23] == _ICMP and frame[26:30] == address.packed:
        message, asked, protocol = frame[34:], 20, 9
    elif kind == _IPV6 and frame[20] == _ICMP6 and frame[22:38] == address.packed:
        message, asked, protocol = frame[54:], 40, 6
    else:
        return None
    question = message[8:]
    is_refusal = message[:2] in _UNREACHABLE and question[protocol] == _UDP
    return (struct.unpack_from("!H", question, asked + 2)[0], False) if is_refusal else None
