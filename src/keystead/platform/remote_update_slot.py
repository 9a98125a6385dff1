"""The update slot in another process: the client in the core, and the server in the platform."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, assert_never

from keystead.errors import Overloaded, StartRefused, StoreUnavailable, WrongState
from keystead.platform.update_slot import UpdateSlot
from keystead.wire.connection import ConnectionEnded
from keystead.wire.platform_messages import SlotAnswer, SlotPart, SlotStep, SlotStepName


class AsksSlot(Protocol):
    """What RemoteUpdateSlot needs of `keystead.wire.connection.Exchanges`."""

    def next_id(self) -> int:
        """Return the id of the next question."""
        ...

    def ask(self, message: SlotStep | SlotPart, /) -> Awaitable[SlotAnswer]:
        """Send `message` and return the reply to it.

        Raises ConnectionEnded if the other process is gone.
        """
        ...


class RemoteUpdateSlot:
    """An UpdateSlot at the other end of a connection.

    Every method raises what UpdateSlot's does, Overloaded for what its disk refuses, and
    StoreUnavailable when the other process is gone.
    """

    def __init__(self, exchanges: AsksSlot) -> None:
        self._exchanges = exchanges

    async def begin(self, size: int) -> None:
        """Make ready for an image of at most `size` bytes."""
        await self._step("begin", size)

    async def write(self, data: bytes) -> None:
        """Append a verified piece; at most as long as a frame."""
        await self._ask(SlotPart(self._exchanges.next_id(), data))

    async def keep(self) -> None:
        """Stage what arrived."""
        await self._step("keep")

    async def abandon(self) -> None:
        """Drop what arrived."""
        await self._step("abandon")

    async def cancel(self) -> None:
        """Remove the staged image. Raises WrongState if there is none."""
        await self._step("cancel")

    async def commit(self) -> None:
        """Install the staged image. Raises WrongState if that is not possible."""
        await self._step("commit")

    async def _step(self, step: SlotStepName, size: int = 0) -> None:
        await self._ask(SlotStep(self._exchanges.next_id(), step, size))

    async def _ask(self, question: SlotStep | SlotPart) -> None:
        try:
            answer = await self._exchanges.ask(question)
        except ConnectionEnded as error:
            raise StoreUnavailable("The update slot is out of reach.") from error
        if answer.refusal == "state":
            raise WrongState(answer.message)
        if answer.refusal == "disk":
            raise Overloaded(answer.message)


class UpdateSlotService:
    """Serves a slot on a thread of its own, so that its disk access does not delay the store."""

    def __init__(self, slot: UpdateSlot) -> None:
        """Start the thread, and clean the slot. Raises StartRefused when that cannot be."""
        self._slot = slot
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="update slot")
        try:
            self._thread.submit(slot.clean).result()
        except OSError as error:
            raise StartRefused(f"The update images: {error.strerror}.") from error

    async def answer(self, question: SlotStep | SlotPart) -> SlotAnswer:
        """Return the reply to one question. Errors become a reply too."""
        work = self._work(question)
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except WrongState as error:
            return SlotAnswer(question.id, "state", error.message)
        except Overloaded as error:
            return SlotAnswer(question.id, "disk", error.message)
        except OSError as error:
            message = f"The update image cannot be kept: {error.strerror}."
            return SlotAnswer(question.id, "disk", message)
        return SlotAnswer(question.id)

    def close(self) -> None:
        """Drop what was arriving, and end the thread."""
        self._thread.submit(self._slot.abandon)
        self._thread.shutdown()

    def _work(self, question: SlotStep | SlotPart) -> Callable[[], None]:
        if isinstance(question, SlotPart):
            return lambda: self._slot.write(question.data)
        match question.step:
            case "begin":
                return lambda: self._slot.begin(question.size)
            case "keep":
                return self._slot.keep
            case "abandon":
                return self._slot.abandon
            case "cancel":
                return self._slot.cancel
            case "commit":
                return self._slot.commit
            case _:
                assert_never(question.step)
