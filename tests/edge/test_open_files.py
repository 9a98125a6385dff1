"""An edge that may open no more files: it neither ends nor spins, and goes on when it may again."""

import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.edge import RawClient, running_edge
from tests.support.server import trusting_anyone, wait_until

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
MORE = 5


@contextlib.contextmanager
def only_open(more: int) -> Iterator[None]:
    """Let this process, which the edge is a thread of, open so many files more."""
    highest = max(int(one.name) for one in Path("/proc/self/fd").iterdir())
    fillers = [os.dup(0)]
    while fillers[-1] <= highest:  # The limit is on the number, not on how many there are.
        fillers.append(os.dup(0))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1 + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for one in fillers:
            os.close(one)


def test_without_files_an_edge_waits_and_goes_on_when_there_are_some():
    with running_edge() as edge, contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(20)]
        with only_open(MORE):
            for one in sockets:
                one.settimeout(10)
                one.connect(("127.0.0.1", edge.port))
            wait_until(lambda: edge.refusals["open_files"] > 0, seconds=10)
            began = time.process_time()
            time.sleep(2)
            assert time.process_time() - began < 1, "it spins"
            shaken = [RawClient(trusting_anyone().wrap_socket(one)) for one in sockets[:MORE]]
            shaken[0].send(GET)
            assert shaken[0].read_answer().status == 200, "who is in is served"
            for client in shaken:
                client.close()
            late = RawClient(trusting_anyone().wrap_socket(sockets[MORE]))
            late.send(GET)
            assert late.read_answer().status == 200, "who waited is served once there are files"
            late.close()
        assert edge.ask(GET).status == 200
