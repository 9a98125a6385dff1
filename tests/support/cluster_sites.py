"""The devices of a cluster in one process: an etcd of its own for each, and a core that crashes."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from keystead.errors import KeysteadError
from keystead.etcd.client import EtcdClient
from keystead.operations.use_counters import flush_counters_forever
from tests.support.cluster_faults import PEM
from tests.support.core import ADMIN, UNLOCK
from tests.support.etcd import WAIT_SECONDS
from tests.support.member_cores import Device, core_of
from tests.support.unreliable_socket import UnreliableSocket

FRESH_SECONDS = 1.0
REQUEST_SECONDS = 30.0
"""A request that takes longer is given up, as by a client. Its outcome is not known."""


class Servers:
    """Take every TLS identity that they should serve clients with."""

    async def try_out(self, identity):
        pass

    async def serve(self, identity):
        pass


class PeerFile:
    """The file with the TLS identity of an etcd, which reads it at each handshake."""

    def __init__(self, path):
        self._path = path

    def serve(self, identity, _authority):
        self._path.write_bytes(identity.key.reveal() + b"\n" + identity.chain)


@dataclass
class Site:
    """One device: its etcd, the connection to that, and its core while it runs."""

    device: Device
    member: object
    link: UnreliableSocket
    disk: Path | None
    clock_is_off_by: int = 0
    core: object = None
    crashed: asyncio.Event = field(default_factory=asyncio.Event)
    lines: list = field(default_factory=list)
    _stack: contextlib.AsyncExitStack = None

    def set_clock(self, seconds):
        """Set the clock of the core forward or back, and that of its etcd if it has one."""
        self.clock_is_off_by = seconds
        if self.member.clock:
            self.member.clock.set(seconds)

    async def start(self):
        """Start the core, as soon as a majority can be reached, and unlock it if it can be."""
        while self.core is None:
            self._stack = contextlib.AsyncExitStack()
            try:
                await self._begin()
            except KeysteadError:
                await self._stack.aclose()

    async def _begin(self):
        client = EtcdClient(self.link.path)
        core = await self._stack.enter_async_context(
            core_of(
                self.device,
                client,
                seconds=FRESH_SECONDS,
                clock=time.monotonic,
                wall_clock=lambda: time.time() + self.clock_is_off_by,
            )
        )
        for forever in (
            core.hsm.audit.run_forever(core.hsm.recovery.store_lost),
            flush_counters_forever(core.hsm),
        ):
            self._stack.callback(asyncio.create_task(forever).cancel)
        core.hsm.tls.servers, core.hsm.tls.peers = Servers(), PeerFile(self.member.identity)
        self.crashed.clear()
        self.core = core

    async def unlock(self):
        while (state := self.core.hsm.state.value) != "Operational":
            assert state in {"Locked", "Failed"}, state
            await self.core.request("POST", "/unlock", json={"passphrase": UNLOCK})
            await asyncio.sleep(0.1)

    async def crash(self):
        """End the core in the middle of what it does."""
        if self.core is not None:
            self.lines += self.core.log_lines
            self.core = None
            self.crashed.set()
            await self._stack.aclose()

    async def ask(self, *arguments, **request):
        """Return the answer, or None if it is not known what came of the request."""
        if self.core is None:
            return None
        asked = asyncio.create_task(self.core.request(*arguments, **request))
        crash = asyncio.create_task(self.crashed.wait())
        await asyncio.wait(
            {asked, crash}, timeout=REQUEST_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        crash.cancel()
        asked.cancel()
        (answer,) = await asyncio.gather(asked, return_exceptions=True)
        return None if isinstance(answer, BaseException) else answer


async def trust(site, faults):
    """Have a device know the authority of the cluster, and be known by it."""
    end = time.monotonic() + WAIT_SECONDS
    while (answer := await faults.certificate(site)) is None or answer.status != 201:
        assert time.monotonic() < end, answer
        await asyncio.sleep(0.1)
    pem = faults.cluster.authority.pem
    path = "/config/tls/cluster-ca.pem"
    answer = await site.ask("PUT", path, user=ADMIN, body=pem, headers=PEM)
    assert answer.status == 201, answer
