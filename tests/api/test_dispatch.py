"""What happens to a request whose handler fails in a way that nobody foresaw."""

import asyncio
import json

import pytest

from keystead.api.dispatch import Dispatcher
from keystead.api.http.route import ALL_STATES, Authentication, Call, Reply, Route
from keystead.errors import CorruptRecord, DecryptionFailed, KeysteadError, NotFound
from keystead.model.users import Role
from keystead.operations.shares import Party
from keystead.wire.edge_messages import Request, Response
from tests.support.core import ADMIN, Core, WholeBody, basic

SECRET = "the secret that the failure holds"


async def ask(core: Core, failure: Exception) -> Response:
    async def handler(_: Call) -> Reply:
        raise failure

    route = Route("GET", "/broken", handler, ALL_STATES, authentication=Authentication.NONE)
    dispatcher = Dispatcher(core.hsm, [route])
    request = Request(7, "GET", "/api/v1/broken", "", {}, "192.0.2.1", b"")
    response = await dispatcher.answer(request, WholeBody(b""))
    assert isinstance(response, Response)
    assert response.id == 7
    return response


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError(SECRET),
        AssertionError(SECRET),
        KeyError(SECRET),
        RecursionError(SECRET),
        MemoryError(SECRET),
        UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
        CorruptRecord(SECRET),
        KeysteadError(SECRET),
    ],
)
async def test_a_bug_is_a_bare_500_and_is_logged(core: Core, failure: Exception) -> None:
    core.log_lines.clear()
    response = await ask(core, failure)
    assert response.status == 500
    assert json.loads(response.body) == {"message": "Internal error."}
    assert SECRET.encode() not in response.body
    (line,) = core.log_lines
    assert "request failed" in line
    assert type(failure).__name__ in line
    assert (await core.request("GET", "/health/state")).status == 200


@pytest.mark.parametrize(
    ("failure", "status"), [(NotFound("no"), 404), (DecryptionFailed("no"), 400)]
)
async def test_a_foreseen_failure_is_no_bug(core: Core, failure: Exception, status: int) -> None:
    core.log_lines.clear()
    response = await ask(core, failure)
    assert (response.status, json.loads(response.body)) == (status, {"message": "no"})
    assert core.log_lines == []


async def test_a_request_that_is_called_off_is_not_answered(core: Core) -> None:
    with pytest.raises(asyncio.CancelledError):
        await ask(core, asyncio.CancelledError())  # type: ignore[arg-type]


def test_a_row_with_roles_that_asks_for_none_is_no_row():
    async def handler(_: Call[None]) -> Reply[None]:
        return Reply(204)

    roles = frozenset({Role.BACKUP})
    for authentication in (Authentication.NONE, Authentication.UNLOCK_PASSPHRASE):
        with pytest.raises(ValueError, match="GET /broken has roles"):
            Route("GET", "/broken", handler, roles=roles, authentication=authentication)


@pytest.mark.parametrize(("length", "owners"), [(1000, []), (200_000, [Party(None, "admin")])])
async def test_the_memory_of_a_long_answer_is_its_users(
    core: Core, length: int, owners: list[Party]
) -> None:
    class Owned(WholeBody):
        def belongs_to(self, party: Party) -> None:
            found.append(party)

    async def handler(_: Call) -> Reply:
        return Reply(200, bytes(length))

    found = list[Party]()
    dispatcher = Dispatcher(core.hsm, [Route("GET", "/long", handler, roles={Role.ADMINISTRATOR})])
    headers = {"authorization": basic(ADMIN)}
    request = Request(7, "GET", "/api/v1/long", "", headers, "192.0.2.1", b"")
    response = await dispatcher.answer(request, Owned(b""))
    assert (response.status, found) == (200, owners)
