"""The store for the core: every question is answered, and none is lost at the end."""

import asyncio
import socket

from keystead.model.secret import Secret
from keystead.platform import service
from keystead.platform.service import StoreService
from keystead.platform.syslog import UdpSyslog
from keystead.wire.connection import Connection
from keystead.wire.frames import STORE_FRAME_BYTES
from keystead.wire.platform_messages import (
    Committed,
    CoreSettings,
    Found,
    Get,
    Hello,
    PlatformToCore,
)


class Core:
    """The other end: what the platform said."""

    def __init__(self) -> None:
        self.heard = asyncio.Queue()
        self.connection = Connection(
            PlatformToCore,
            max_bytes=STORE_FRAME_BYTES,
            on_message=self.heard.put_nowait,
            on_lost=lambda _: None,
        )

    async def hear(self):
        return await asyncio.wait_for(self.heard.get(), 5)


async def started(answer) -> tuple[Core, StoreService]:
    core = Core()
    syslog = UdpSyslog(host_name="h", clock=lambda: 0.0)
    serving = StoreService(answer, syslog)
    for protocol, end in zip(
        (core.connection, serving.connection), socket.socketpair(), strict=True
    ):
        end.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda protocol=protocol: protocol, sock=end)
    return core, serving


async def found(question):
    return Found(question.id, question.path.encode(), 1)


def test_the_device_key_comes_first_and_questions_are_answered():
    async def test():
        core, serving = await started(found)
        settings = CoreSettings(b"a public key", pkcs1_padding_errors=True)
        serving.hand_over(Secret(b"k" * 32), b"u" * 32, settings)
        assert await core.hear() == Hello(b"k" * 32, settings, b"u" * 32)
        for number in range(3):
            core.connection.send(Get(number, f"/key/{number}"))
        answers = [await core.hear() for _ in range(3)]
        assert answers == [Found(n, f"/key/{n}".encode(), 1) for n in range(3)]
        core.connection.close()
        await serving.run()

    asyncio.run(test())


def test_a_slow_answer_does_not_hold_up_the_others():
    async def test():
        slow = asyncio.Event()

        async def answer(question):
            if question.id == 1:
                await slow.wait()
            return Found(question.id, None, 0)

        core, serving = await started(answer)
        for number in (1, 2):
            core.connection.send(Get(number, "/x"))
        assert (await core.hear()).id == 2
        slow.set()
        assert (await core.hear()).id == 1
        core.connection.close()
        await serving.run()

    asyncio.run(test())


def test_what_was_begun_is_finished_when_the_core_dies():
    async def test():
        began, may_end, ended = asyncio.Event(), asyncio.Event(), []

        async def answer(question):
            began.set()
            await may_end.wait()
            ended.append(question.id)
            return Committed(question.id, 1)

        core, serving = await started(answer)
        core.connection.send(Get(1, "/x"))
        await began.wait()
        core.connection.close()
        running = asyncio.ensure_future(serving.run())
        await asyncio.sleep(0.05)
        assert not running.done()
        may_end.set()
        await running
        assert ended == [1]

    asyncio.run(test())


def test_no_more_questions_are_read_than_can_be_under_way(monkeypatch):
    monkeypatch.setattr(service, "MAX_UNANSWERED", 4)

    async def test():
        may_end, asked = asyncio.Event(), []

        async def answer(question):
            asked.append(question.id)
            await may_end.wait()
            return Found(question.id, None, 0)

        core, serving = await started(answer)
        for number in range(20):
            core.connection.send(Get(number, "/x"))
            await asyncio.sleep(0.002)
        assert len(asked) == 4
        may_end.set()
        assert [(await core.hear()).id for _ in range(20)] == list(range(20))
        core.connection.close()
        await serving.run()

    asyncio.run(test())
