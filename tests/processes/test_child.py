"""What the supervisor makes of a child's end."""

import asyncio
import socket
import subprocess
import sys

import msgspec

from keystead.processes.supervisor.child import Child
from keystead.processes.supervisor.log_pipe import LogPipe
from keystead.wire import control


class Word(msgspec.Struct):
    text: str


def test_the_end_of_a_child_is_noted_though_another_process_holds_its_socket_open():
    async def scenario():
        heard: list[Word] = []
        ours, theirs = control.pair()
        held = socket.socket(fileno=socket.dup(theirs.fileno()))
        with held:
            with theirs, LogPipe() as log:
                control.send(theirs, Word("last"))
                process = subprocess.Popen([sys.executable, "-c", ""])  # noqa: ASYNC220
                child = Child("edge", process, ours, log, says=Word, on_message=heard.append)
            assert await asyncio.wait_for(child.ended, 20) == 0
        assert heard == [Word("last")]

    asyncio.run(scenario())
