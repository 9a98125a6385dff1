"""The whole core as Request → Response: the memory store, real crypto, a clock that tests move."""

import base64
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keystead.api.dispatch import Dispatcher
from keystead.api.http.route import StreamedResponse
from keystead.errors import TooLarge, WriteRefused
from keystead.journal.log import Log
from keystead.model.secret import Secret
from keystead.operations.attest_machine import QuotesMachine
from keystead.operations.freshness import Freshness
from keystead.operations.hsm import Hsm
from keystead.operations.session import CoreContext
from keystead.operations.shares import Party
from keystead.operations.update_slot import KeepsUpdateImages
from keystead.operations.work_pool import WorkPool
from keystead.sealing.update_image import UpdateKey
from keystead.storage.key_value_store import KeyValueStore
from keystead.wire.control_messages import MachineSetting
from keystead.wire.edge_messages import Request, Response
from keystead.wire.platform_messages import DEFAULT_KEY_CACHE
from tests.support.described import undescribed
from tests.support.memory_store import MemoryStore
from tests.support.update_images import MemorySlot

UNLOCK = "unlockPassphrase"
ADMIN = ("admin", "adminPassphrase")
PART_BYTES = 1000
"""Of a request's body that is read as it arrives."""
EPOCH = 1_700_000_000.0


@dataclass
class Clock:
    """Wall clock and monotonic clock in one; only tests move it."""

    seconds: float = EPOCH

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


class WholeBody:
    """A request's body that has arrived already."""

    def __init__(self, body: bytes) -> None:
        self.whole = body

    async def read(self, limit: int) -> bytes:
        if len(self.whole) > limit:
            raise TooLarge(f"The body is over {limit} bytes.")
        return self.whole

    async def parts(self, limit: int) -> AsyncIterator[bytes]:
        body = await self.read(limit)
        for start in range(0, len(body), PART_BYTES):
            yield body[start : start + PART_BYTES]

    def belongs_to(self, party: Party) -> None:
        pass

    def end_with_client(self) -> None:
        pass


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return self.json()["message"]


Credentials = tuple[str, str]


def headers_of(response: Response) -> dict[str, str]:
    lines = response.header_lines.decode("latin-1").split("\r\n")
    assert lines.pop() == ""
    headers = [tuple(line.split(": ", 1)) for line in lines]
    assert len(dict(headers)) == len(headers), "a header comes twice"
    return dict(headers)


async def _whole(response: Response | StreamedResponse) -> Answer:
    if isinstance(response, StreamedResponse):
        body = b"".join([part async for part in response.parts])
        return Answer(response.head.status, headers_of(response.head), body)
    return Answer(response.status, headers_of(response), response.body)


class MemoryUnattendedKey:
    """The file of the unattended key, in memory; None: there is none."""

    def __init__(self, content: bytes | None = None) -> None:
        self.content = content
        self.is_full = False

    async def keep(self, content: bytes) -> None:
        if self.is_full:
            raise WriteRefused("The unattended key cannot be written: the disk is full.")
        self.content = content


@dataclass
class Core:
    """A core and the client that talks to it."""

    hsm: Hsm
    store: KeyValueStore
    clock: Clock
    device_key: Secret
    pools: tuple[WorkPool, WorkPool]
    log_lines: list[str]
    unattended_key: MemoryUnattendedKey
    dispatcher: Dispatcher = field(init=False)

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(self.hsm)

    async def request(  # noqa: PLR0913
        self,
        method: str,
        path: str,
        *,
        user: Credentials | None = None,
        json: Any = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        client: str = "192.0.2.1",
    ) -> Answer:
        path, _, query = path.partition("?")
        sent = b"" if body is None else body
        forwarded: dict[str, str] = {}
        if json is not None:
            sent = to_json(json)
            forwarded["content-type"] = "application/json"
        if user is not None:
            forwarded["authorization"] = basic(user)
        forwarded |= headers or {}
        request = Request(
            1, method, "/api/v1" + path, query, forwarded, client, sent, content_length=len(sent)
        )
        response = await self.dispatcher.answer(request, WholeBody(sent))
        answer = await _whole(response)
        missing = undescribed(method, request.path, answer.status, answer.headers, answer.body)
        assert missing is None, missing
        return answer

    async def provision(self) -> None:
        answer = await self.request(
            "POST",
            "/provision",
            json={
                "unlockPassphrase": UNLOCK,
                "adminPassphrase": ADMIN[1],
                "systemTime": "2024-01-01T00:00:00Z",
            },
        )
        assert answer.status == 204, answer

    async def add_user(self, name: str, role: str, *, by: Credentials = ADMIN) -> Credentials:
        passphrase = f"passphrase of {name}"
        answer = await self.request(
            "PUT",
            f"/users/{name}",
            user=by,
            json={"realName": name, "role": role, "passphrase": passphrase},
        )
        assert answer.status == 201, answer
        return name, passphrase

    async def add_namespace(self, name: str) -> Credentials:
        """Create a namespace and its first Administrator; return the latter's credentials."""
        administrator = await self.add_user(f"{name}~admin", "Administrator")
        answer = await self.request("PUT", f"/namespaces/{name}", user=ADMIN)
        assert answer.status == 204, answer
        return administrator

    async def generate(
        self, key_id: str, key_type: str, *mechanisms: str, by: Credentials = ADMIN, **more: Any
    ) -> None:
        wanted = {"id": key_id, "type": key_type, "mechanisms": mechanisms, **more}
        answer = await self.request("POST", "/keys/generate", user=by, json=wanted)
        assert answer.status == 201, answer

    async def restarted(self) -> "Core":
        """Return a core started anew on the same store, as after a crash."""
        return await start_core(
            store=self.store,
            device_key=self.device_key,
            clock=self.clock,
            pools=self.pools,
            unattended_key=self.unattended_key,
        )

    def close(self) -> None:
        for pool in self.pools:
            pool.close()


FREE_BYTES = 5 * 2**30


async def _free_bytes() -> int:
    return FREE_BYTES


async def start_core(  # noqa: PLR0913
    *,
    store: KeyValueStore | None = None,
    device_key: Secret | None = None,
    clock: Clock | None = None,
    wall_clock: Callable[[], float] | None = None,
    pools: tuple[WorkPool, WorkPool] | None = None,
    unattended_key: MemoryUnattendedKey | None = None,
    update_slot: KeepsUpdateImages | None = None,
    update_key: UpdateKey | None = None,
    key_cache: int = DEFAULT_KEY_CACHE,
    open_shutdown: bool = False,
    common_passphrases: bool = False,
    self_test_failure: str | None = None,
    freshness: Freshness | None = None,
    keeps_head: bool = False,
    keeps_count: bool = False,
    set_machine: Callable[[MachineSetting], None] | None = None,
    measurements: Mapping[str, str] | None = None,
    quotes: QuotesMachine | None = None,
    device_key_provider: str = "file",
) -> Core:
    """Return a core on `store`, or on an empty one."""
    clock = clock or Clock()
    store = store or MemoryStore()
    device_key = device_key or Secret(os.urandom(32))
    unattended_key = unattended_key or MemoryUnattendedKey()
    crypto, kdf = pools = pools or (
        WorkPool(name="crypto", threads=2, queue_limit=64),
        WorkPool(name="kdf", threads=2, queue_limit=64),
    )
    lines: list[str] = []
    wall_clock = wall_clock or clock
    log = Log("core", clock=wall_clock, write=lines.append)
    hsm = await Hsm.start(
        CoreContext(
            store=store,
            device_key=device_key,
            wall_clock=wall_clock,
            monotonic=clock,
            crypto_pool=crypto,
            keygen_pool=crypto,
            kdf_pool=kdf,
            unlock_pool=kdf,
            log=log,
            aim_syslog=lambda _: None,
            unattended_key=unattended_key,
            update_slot=update_slot or MemorySlot(),
            free_bytes=_free_bytes,
            update_key=update_key,
            key_cache=key_cache,
            open_shutdown=open_shutdown,
            common_passphrases=common_passphrases,
            self_test_failure=self_test_failure,
            freshness=freshness,
            keeps_head=keeps_head,
            keeps_count=keeps_count,
            set_machine=set_machine,
            measurements=measurements or {},
            quotes=quotes,
            device_key_provider=device_key_provider,
        )
    )
    return Core(hsm, store, clock, device_key, pools, lines, unattended_key)


def to_json(content: Any) -> bytes:
    return json.dumps(content).encode()


def basic(credentials: Credentials) -> str:
    return "Basic " + base64.b64encode(":".join(credentials).encode()).decode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
