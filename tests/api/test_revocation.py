"""What a request is allowed when its head comes, it must still be when it does something.

Every row of the table is asked before its caller loses what the row asks for, and goes on after
that: its body comes, it commits, it gives what it has read, or it streams.
"""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from keystead.api.dispatch import Dispatcher
from keystead.api.http.route import (
    Call,
    Handler,
    Reach,
    Reply,
    ResponseCut,
    Route,
    StreamedResponse,
)
from keystead.api.routes import ROUTES
from keystead.model.lifecycle import State
from keystead.operations.shares import Party
from keystead.storage.key_value_store import Change
from keystead.wire.edge_messages import Request
from tests.support.core import ADMIN, Core, WholeBody, b64, basic, start_core, to_json

REACHED = 299
"""What the handlers of this test answer when nothing has stopped them."""
CUT = 298
"""Stands for a response that ends in the middle."""
PROBE = "/config/probe-"
"""Where the handlers of this test write."""

TYPES = {
    "/keys": "application/json",
    "/keys/{key_id}": "application/json",
    "/keys/{key_id}/cert": "application/octet-stream",
    "/system/restore": "multipart/form-data",
}


class Gate:
    """Where requests wait until a test lets them go on."""

    def __init__(self) -> None:
        self._is_open = asyncio.Event()
        self._arrived = asyncio.Semaphore(0)

    async def wait(self) -> None:
        self._arrived.release()
        await self._is_open.wait()

    async def until_waiting(self, requests: int) -> None:
        async with asyncio.timeout(30):
            for _ in range(requests):
                await self._arrived.acquire()

    def open(self) -> None:
        self._is_open.set()


class HeldBody(WholeBody):
    """A request's body that comes when a test says so."""

    def __init__(self, comes: Gate, content: bytes = b"late") -> None:
        super().__init__(content)
        self._body, self.whole = content, None
        self._comes = comes

    async def read(self, _: int) -> bytes:
        await self._comes.wait()
        return self._body

    async def parts(self, _: int) -> AsyncIterator[bytes]:
        await self._comes.wait()
        yield self._body

    def belongs_to(self, party: Party) -> None:
        pass


# --- what handlers do when they go on ------------------------------------------------------------


def takes_body(_: Gate) -> Handler:
    async def handler(call: Call) -> Reply:
        await call.unread_body.read(100)
        return Reply(REACHED)

    return handler


def takes_parts(_: Gate) -> Handler:
    async def handler(call: Call) -> Reply:
        async for part in call.unread_body.parts(100):
            if part:
                return Reply(REACHED)
        return Reply(500)

    return handler


def commits(goes_on: Gate) -> Handler:
    async def handler(call: Call) -> Reply:
        await goes_on.wait()
        path = f"{PROBE}{call.route.method}{call.route.path}"
        await call.hsm.store.commit([Change(path, b"written")])
        return Reply(REACHED)

    return handler


def gives(goes_on: Gate) -> Handler:
    async def handler(_: Call) -> Reply:
        await goes_on.wait()
        return Reply(REACHED)

    return handler


def streams(goes_on: Gate) -> Handler:
    async def parts() -> AsyncIterator[bytes]:
        yield b"before"
        await goes_on.wait()
        yield b"after"

    async def handler(_: Call) -> Reply:
        return Reply(200, parts=parts())

    return handler


ways = [takes_body, takes_parts, commits, gives, streams]
Way = Callable[[Gate], Handler]


# --- what a caller may lose ----------------------------------------------------------------------


async def nothing(_: Core) -> None:
    pass


async def users_deleted(core: Core) -> None:
    for user_id, by in await _callers(core):
        assert (await core.request("DELETE", f"/users/{user_id}", user=by)).status == 204


async def users_made_anew(core: Core) -> None:
    """They have the same names and passphrases, and another role."""
    for user_id, by in await _callers(core):
        assert (await core.request("DELETE", f"/users/{user_id}", user=by)).status == 204
        role = "Metrics" if "Operator" in user_id else "Operator"
        await core.add_user(user_id, role, by=by)


async def passphrases_changed(core: Core) -> None:
    for user_id, by in await _callers(core):
        changed = await core.request(
            "POST", f"/users/{user_id}/passphrase", user=by, json={"passphrase": "another one"}
        )
        assert changed.status == 204


async def namespace_deleted(core: Core) -> None:
    assert (await core.request("DELETE", "/namespaces/ns", user=ADMIN)).status == 204


async def hsm_locked(core: Core) -> None:
    await core.hsm.session.end(seconds=0)


async def _callers(core: Core) -> list[tuple[str, tuple[str, str]]]:
    """Return the callers of this test, each with an Administrator of its namespace."""
    listed = (await core.request("GET", "/users", user=ADMIN)).json()
    keepers = {"": ADMIN, "ns": ("ns~admin", "passphrase of ns~admin")}
    ids = [one["user"] for one in listed if not one["user"].endswith("admin")]
    return [(user_id, keepers["ns" if user_id.startswith("ns~") else ""]) for user_id in ids]


@dataclass(frozen=True)
class Loss:
    happens: Callable[[Core], Awaitable[None]]
    status: int
    """What the caller gets then."""
    of_root_too: bool = True


LOSSES = [
    Loss(nothing, REACHED),
    Loss(users_deleted, 401),
    Loss(users_made_anew, 401),
    Loss(passphrases_changed, 401),
    Loss(namespace_deleted, 403, of_root_too=False),
    Loss(hsm_locked, 412),
]

ROWS = [row for row in ROUTES if row.roles and State.OPERATIONAL in row.states]


def _caller_of(row: Route) -> str:
    role = min(role.value for role in row.roles)
    return role if row.reach is Reach.ROOT_ONLY else f"ns~{role}"


def _goes(row: Route, way: Way) -> bool:
    if way is gives:
        return row.method == "GET"
    return way is not streams or not row.has_tag


async def _status(core: Core, row: Route, goes_on: Gate, *, late: bool) -> int:
    path = re.sub(r"\{user_id\}", "ns~Operator", row.path)
    path = "/api/v1" + re.sub(r"\{\w+\}", "thing", path)
    name = _caller_of(row)
    headers = {
        "content-type": TYPES.get(row.path, "application/json"),
        "authorization": basic((name, f"passphrase of {name}")),
    }
    request = Request(1, row.method, path, "", headers, "192.0.2.1", b"", more=late)
    body = HeldBody(goes_on) if late else WholeBody(b"")
    response = await Dispatcher(core.hsm, [row]).answer(request, body)
    if not isinstance(response, StreamedResponse):
        return response.status
    try:
        async for _ in response.parts:
            pass
    except ResponseCut:
        return CUT
    return REACHED


async def _core_with_callers() -> Core:
    core = await start_core()
    await core.provision()
    await core.add_namespace("ns")
    keeper = ("ns~admin", "passphrase of ns~admin")
    for name in {_caller_of(row) for row in ROWS} | {"ns~Operator"}:
        await core.add_user(name, name.rpartition("~")[2], by=keeper if "~" in name else ADMIN)
    return core


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.happens.__name__)
@pytest.mark.parametrize("way", ways, ids=lambda way: way.__name__)
async def test_no_request_outlives_what_allowed_it(way: Way, loss: Loss) -> None:
    core = await _core_with_callers()
    goes_on = Gate()
    rows = [row for row in ROWS if _goes(row, way)]
    late = way in (takes_body, takes_parts)
    under_way = [
        asyncio.create_task(_status(core, replace(row, handler=way(goes_on)), goes_on, late=late))
        for row in rows
    ]
    await goes_on.until_waiting(len(rows))
    await loss.happens(core)
    goes_on.open()
    statuses = await asyncio.gather(*under_way)
    stopped = CUT if way is streams and loss.status != REACHED else loss.status
    expected = [
        stopped if loss.of_root_too or row.reach is not Reach.ROOT_ONLY else REACHED for row in rows
    ]
    named = [f"{row.method} {row.path}" for row in rows]
    assert dict(zip(named, statuses, strict=True)) == dict(zip(named, expected, strict=True))
    written = await core.store.list("/0" + PROBE, "/0" + PROBE + "~", limit=1000)
    assert len(written) == (expected.count(REACHED) if way is commits else 0)
    core.close()


# --- with the real handlers ----------------------------------------------------------------------


async def _held(
    core: Core, method: str, path: str, user: tuple[str, str], content: object
) -> tuple[Gate, asyncio.Task[int]]:
    """Begin a request whose body does not come yet; return what lets it come, and the status."""
    comes = Gate()
    headers = {"authorization": basic(user), "content-type": "application/json"}
    request = Request(1, method, "/api/v1" + path, "", headers, "192.0.2.1", b"", more=True)
    body = HeldBody(comes, to_json(content))

    async def status() -> int:
        return (await core.dispatcher.answer(request, body)).status

    task = asyncio.create_task(status())
    await comes.until_waiting(1)
    return comes, task


async def test_a_deleted_administrator_makes_no_other_one(core: Core) -> None:
    leaver = await core.add_user("leaver", "Administrator")
    wanted = {"realName": "x", "role": "Administrator", "passphrase": "0123456789"}
    comes, status = await _held(core, "PUT", "/users/backdoor", leaver, wanted)
    assert (await core.request("DELETE", "/users/leaver", user=ADMIN)).status == 204
    comes.open()
    assert await status == 401
    assert (await core.request("GET", "/users/backdoor", user=ADMIN)).status == 404


@pytest.mark.parametrize(("tags", "status"), [({"vip"}, 403), ({"spare"}, 200)])
async def test_a_signature_whose_message_comes_late_goes_by_the_tags_of_then(
    core: Core, tags: set[str], status: int
) -> None:
    operator = await core.add_user(f"late-{status}", "Operator")
    for tag in ("vip", "spare"):
        await core.request("PUT", f"/users/{operator[0]}/tags/{tag}", user=ADMIN, body=b"")
    key = f"tagged-{status}"
    await core.generate(key, "EC_P256", "ECDSA_Signature", restrictions={"tags": ["vip"]})
    wanted = {"mode": "ECDSA", "message": b64(bytes(32))}
    comes, answered = await _held(core, "POST", f"/keys/{key}/sign", operator, wanted)
    for tag in tags:
        gone = await core.request("DELETE", f"/users/{operator[0]}/tags/{tag}", user=ADMIN)
        assert gone.status == 204
    comes.open()
    assert await answered == status


@pytest.mark.parametrize("loss", ["user", "tag", "key"])
async def test_a_signature_that_waited_for_a_thread_does_not_leave_after_that(
    core: Core, loss: str
) -> None:
    name, key = f"waiting-{loss}", f"slow-{loss}"
    operator = await core.add_user(name, "Operator")
    await core.request("PUT", f"/users/{name}/tags/vip", user=ADMIN, body=b"")
    await core.generate(
        key, "RSA", "RSA_Signature_PKCS1", length=2048, restrictions={"tags": ["vip"]}
    )
    wanted = {"mode": "PKCS1", "message": b64(b"message")}
    assert (
        await core.request("POST", f"/keys/{key}/sign", user=operator, json=wanted)
    ).status == 200
    free, taken = threading.Event(), threading.Semaphore(0)

    def take_thread() -> None:
        taken.release()
        free.wait()

    pool = core.hsm.session.crypto_pool
    blocking = [asyncio.create_task(pool.run(take_thread)) for _ in range(2)]
    for _ in blocking:
        assert await asyncio.to_thread(taken.acquire)
    signing = asyncio.create_task(
        core.request("POST", f"/keys/{key}/sign", user=operator, json=wanted)
    )
    await asyncio.sleep(0.05)
    path = {"user": f"/users/{name}", "tag": f"/users/{name}/tags/vip", "key": f"/keys/{key}"}
    assert (await core.request("DELETE", path[loss], user=ADMIN)).status == 204
    free.set()
    await asyncio.gather(*blocking)
    assert (await signing).status == {"user": 401, "tag": 403, "key": 404}[loss]


async def test_a_new_tag_stops_nothing_that_is_under_way(core: Core) -> None:
    operator = await core.add_user("promoted", "Operator")
    await core.generate("open", "EC_P256", "ECDSA_Signature")
    wanted = {"mode": "ECDSA", "message": b64(bytes(32))}
    comes, answered = await _held(core, "POST", "/keys/open/sign", operator, wanted)
    assert (
        await core.request("PUT", "/users/promoted/tags/more", user=ADMIN, body=b"")
    ).status == 204
    comes.open()
    assert await answered == 200


async def test_the_root_has_no_say_in_a_namespace_that_came_to_be_meanwhile(core: Core) -> None:
    await core.add_user("young~first", "Administrator")
    wanted = {"passphrase": "chosen by the root"}
    comes, answered = await _held(core, "POST", "/users/young~first/passphrase", ADMIN, wanted)
    assert (await core.request("PUT", "/namespaces/young", user=ADMIN)).status == 204
    comes.open()
    assert await answered == 403


async def test_who_changes_its_own_passphrase_is_told_so(core: Core) -> None:
    operator = await core.add_user("careful", "Operator")
    changed = await core.request(
        "POST", "/users/careful/passphrase", user=operator, json={"passphrase": "a better one"}
    )
    assert changed.status == 204


async def test_a_restore_that_was_begun_when_anyone_could_ends_with_the_provisioning() -> None:
    core = await start_core()
    gate = Gate()
    headers = {"content-type": "multipart/form-data; boundary=b"}
    request = Request(1, "POST", "/api/v1/system/restore", "", headers, "192.0.2.1", b"", more=True)
    answering = asyncio.create_task(core.dispatcher.answer(request, HeldBody(gate)))
    await gate.until_waiting(1)
    await core.provision()
    gate.open()
    assert (await answering).status == 412
    core.close()
