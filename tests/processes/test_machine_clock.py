"""The clock of the appliance: what a time server says, and what is made of it."""

import asyncio
import os
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.processes.machine import clock, ntp
from keystead.processes.machine.clock import Clock

NONCE = b"12345678"
SECONDS_TO_1970 = 2_208_988_800


def stamp(unix_seconds: float) -> bytes:
    return int((unix_seconds + SECONDS_TO_1970) * 2**32 % 2**64).to_bytes(8)


def answer(
    received: float,
    sent: float,
    *,
    mode: int = 4,
    leap: int = 0,
    stratum: int = 2,
    nonce: bytes = NONCE,
) -> bytes:
    head = struct.pack("!BBBb12x8x", leap << 6 | 4 << 3 | mode, stratum, 6, -20)
    return head + nonce + stamp(received) + stamp(sent)


def error_of(message: bytes, *, asked: float = 1000.0, answered: float = 1000.2) -> float | None:
    return ntp.clock_error(message, NONCE, asked=asked, answered=answered)


def test_the_error_is_reckoned_without_the_way_of_the_messages() -> None:
    assert error_of(answer(1030.1, 1030.1)) == pytest.approx(30)
    assert error_of(answer(970.05, 970.15)) == pytest.approx(-30)


def test_the_seconds_of_2036_and_later_are_understood() -> None:
    later = 2_090_000_000.0  # 2036-03-24
    found = error_of(answer(later + 5, later + 5), asked=later, answered=later)
    assert found == pytest.approx(5)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="empty"),
        pytest.param(answer(1000, 1000)[:-1], id="cut short"),
        pytest.param(answer(1000, 1000, nonce=b"87654321"), id="to another question"),
        pytest.param(answer(1000, 1000, mode=3), id="a question"),
        pytest.param(answer(1000, 1000, leap=3), id="of a server that has no time"),
        pytest.param(answer(1000, 1000, stratum=0), id="a refusal"),
        pytest.param(answer(1000, 1000, stratum=16), id="of a server without a source"),
        pytest.param(answer(1000, -SECONDS_TO_1970), id="without the time"),
        pytest.param(answer(1000, 1010), id="sent after it has arrived"),
        pytest.param(answer(1000, 990), id="slower than the limit"),
    ],
)
def test_an_answer_that_says_no_time_is_ignored(message: bytes) -> None:
    assert error_of(message) is None


@given(st.binary(min_size=48, max_size=60))
def test_no_answer_does_harm(message: bytes) -> None:
    error_of(message)


class Hands:
    """What was done to the clock."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.done: list[tuple[str, float]] = []
        self.refusal = ""
        self.clock = Clock(self.told.append, slew=self._slew, step=self._step)

    def _slew(self, error: float) -> None:
        self.done.append(("slew", error))

    def _step(self, error: float) -> None:
        if self.refusal:
            raise OSError(22, self.refusal)
        self.done.append(("step", error))


@pytest.fixture
def hands() -> Iterator[Hands]:
    return Hands()


def test_a_small_error_is_taken_away_slowly(hands: Hands) -> None:
    assert hands.clock.learned(-0.4) == clock.PAUSE_SECONDS
    assert hands.done == [("slew", -0.4)]


def test_the_first_answer_may_set_the_clock_by_years(hands: Hands) -> None:
    hands.clock.learned(1e8)
    assert hands.done == [("step", 1e8)]
    assert "is set" in hands.told[0]


def test_later_answers_may_not(hands: Hands) -> None:
    hands.clock.learned(0.1)
    hands.clock.learned(1001)
    hands.clock.learned(999)
    assert hands.done == [("slew", 0.1), ("step", 999)]
    assert "ignored" in hands.told[0]


def test_a_time_that_the_kernel_refuses_does_not_end_the_questions(hands: Hands) -> None:
    hands.refusal = "Invalid argument"
    assert hands.clock.learned(-1e10) == clock.PAUSE_SECONDS
    hands.refusal = ""
    hands.clock.learned(1e8)

    assert hands.told[0] == "the time server's time cannot be used: Invalid argument"
    assert hands.done == [("step", 1e8)], "the first usable answer may set the clock by years"


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel refuses it to others anyway")
def test_the_kernel_refuses_a_time_before_1970() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        clock.step(-1e10)


def test_a_silent_server_is_told_once_and_asked_soon(hands: Hands) -> None:
    assert [hands.clock.learned(None) for _ in range(3)] == [clock.SHORT_PAUSE_SECONDS] * 3
    assert hands.told == ["the time server gives no usable answer"]


class TimeServer(asyncio.DatagramProtocol):
    """A time server that is half a minute ahead of 1970."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        assert data[0] == 4 << 3 | 3
        assert not any(data[1:40]), "the question says nothing about this machine"
        self._transport.sendto(answer(30, 30, nonce=data[40:]), sender)


async def test_a_time_server_is_asked() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(TimeServer, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]

    error = await ntp.ask("127.0.0.1", port)

    transport.close()
    assert error is not None
    assert error < -1_700_000_000


async def test_a_server_that_is_not_there_has_no_time() -> None:
    assert await ntp.ask("127.0.0.1", 9) is None


async def test_the_clock_is_corrected_by_what_the_server_says() -> None:
    told: list[str] = []
    asked = asyncio.Event()

    async def ask() -> None:
        asked.set()

    keeping = asyncio.get_running_loop().create_task(clock.keep_time(ask, told.append))
    await asyncio.wait_for(asked.wait(), 60)
    keeping.cancel()
    await asyncio.wait([keeping])
    assert told == ["the time server gives no usable answer"]
