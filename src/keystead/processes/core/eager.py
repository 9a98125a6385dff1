"""Coroutines that begin at once: most requests are answered without ever waiting for anything.

ADR 28 says why, and when this module can go.
"""

import asyncio
import sys
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any, Final

_ENDED: Final = object()


def begin(coroutine: Coroutine[Any, Any, None], context: Context) -> asyncio.Task[None] | None:
    """Run `coroutine` until it first waits. Return the task for the rest, or None if it has ended.

    It runs in `context`, which must be its own. An error that it raises before goes to the event
    loop's exception handler, as for a task. On Python 3.11, which has no eager tasks, it must not
    ask for the current task before it waits.
    """
    if sys.version_info >= (3, 12):
        loop = asyncio.get_running_loop()
        task = asyncio.Task(coroutine, loop=loop, eager_start=True, context=context)
        if not task.done():
            return task
        if not task.cancelled() and (failure := task.exception()) is not None:
            _report(failure)
        return None
    try:
        # Unlike send(), next() with a default raises no exception at the end, which takes long.
        awaited = context.run(next, coroutine.__await__(), _ENDED)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the loop's to report
        _report(error)
        return None
    if awaited is _ENDED:
        return None
    loop = asyncio.get_running_loop()
    return loop.create_task(_Begun(coroutine, awaited), context=context)


def _report(failure: BaseException) -> None:
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "a coroutine failed", "exception": failure})


class _Begun(Coroutine[Any, Any, None]):
    """A begun coroutine as a new one, whose first step is to wait for `awaited`."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], awaited: Any) -> None:  # noqa: ANN401 - what coroutines yield
        self._coroutine = coroutine
        self._awaited: list[Any] = [awaited]

    def send(self, value: object) -> object:
        return self._awaited.pop() if self._awaited else self._coroutine.send(value)

    def throw(self, *error: Any) -> object:  # noqa: ANN401 - in the forms that coroutines take
        if self._awaited and (awaited := self._awaited.pop()) is not None:
            awaited.cancel()  # As a task does with what it waits for.
        try:
            return self._coroutine.throw(*error)
        finally:
            # The error has this frame in its traceback. Together they would keep all that the
            # coroutine had, such as a long answer, until the garbage collector comes by.
            del error

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, None]:
        raise TypeError("It is for a task, not to be awaited.")
