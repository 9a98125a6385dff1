"""The platform's end of the connection to the core: it answers questions and sends syslog."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from keystead.model.secret import Secret
from keystead.platform.syslog import Syslog
from keystead.wire.cluster_messages import ConfirmNow
from keystead.wire.connection import Connection, ConnectionEnded
from keystead.wire.frames import STORE_FRAME_BYTES
from keystead.wire.platform_messages import (
    AimSyslog,
    CoreSettings,
    CoreToPlatform,
    Hello,
    PlatformToCore,
    Question,
    SyslogLine,
)

MAX_UNANSWERED: Final = 4096
"""The most open questions. Then no more are read. The core has one or two for each request."""


class StoreService:
    """Serves a store, an update slot and a way to syslog to the core at the other end."""

    def __init__(
        self, answer: Callable[[Question], Awaitable[PlatformToCore]], syslog: Syslog
    ) -> None:
        """`answer` gives the reply to one question and raises nothing."""
        self._answer = answer
        self._syslog = syslog
        self.confirm_now: Callable[[], None] = _ignore
        """Called when the core asks whether it knows all changes of the cluster."""
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_reading = True
        self._ended = asyncio.Event()
        self.connection: Final = Connection[CoreToPlatform, PlatformToCore](
            CoreToPlatform,
            max_bytes=STORE_FRAME_BYTES,
            on_message=self._received,
            on_lost=lambda _reason: self._ended.set(),
        )

    def hand_over(
        self, device_key: Secret, unattended_key: bytes | None, settings: CoreSettings
    ) -> None:
        """Give the core its keys, which the caller forgets after this, and its settings."""
        self.connection.send(Hello(device_key.reveal(), settings, unattended_key))

    async def run(self) -> None:
        """Serve until the core is gone and all of its questions are done."""
        await self._ended.wait()
        if self._under_way:
            await asyncio.wait(self._under_way)

    def _received(self, message: CoreToPlatform) -> None:
        match message:
            case AimSyslog():
                self._syslog.aim(message.address, message.port)
            case SyslogLine():
                self._syslog.send(message.severity, message.text)
            case ConfirmNow():
                self.confirm_now()
            case _:
                self._asked(message)

    def _asked(self, question: Question) -> None:
        task = asyncio.get_running_loop().create_task(self._reply(question))
        self._under_way.add(task)
        task.add_done_callback(self._done)
        if len(self._under_way) >= MAX_UNANSWERED and self._is_reading:
            self._is_reading = False
            self.connection.pause_reading()

    async def _reply(self, question: Question) -> None:
        reply = await self._answer(question)
        try:
            await self.connection.drain()
            self.connection.send(reply)
        except ConnectionEnded:
            return  # The core is gone. Its commits stay.

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        task.result()
        if not self._is_reading and len(self._under_way) < MAX_UNANSWERED // 2:
            self._is_reading = True
            self.connection.resume_reading()


def _ignore() -> None:
    """Do nothing: there is no cluster."""
