"""Every operation in every state by every caller; and the route table against the description."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from keystead.api.dispatch import Dispatcher
from keystead.api.http.route import Authentication, Call, Reach, Reply, Route
from keystead.api.routes import ROUTES
from keystead.model.lifecycle import State
from keystead.model.users import Role
from keystead.wire.edge_messages import Request
from tests.support import beyond_nethsm, nethsm_api
from tests.support.core import ADMIN, Core, Credentials, WholeBody, basic, start_core

REACHED = 299
"""What the handlers of this test answer: every check let the request through."""

CALLERS = (
    "nobody",
    "stranger",
    "Administrator",
    "Operator",
    "Metrics",
    "Backup",
    "Auditor",
    "ns~Administrator",
    "ns~Operator",
    "ns~Metrics",
    "ns~Backup",
    "ns~Auditor",
    "other~Administrator",
    "uncreated~Administrator",
)
TARGET = "ns~Operator"
"""The user that the rows about users are about."""

TYPES = {
    "/keys": "application/json",
    "/keys/{key_id}": "application/json",
    "/keys/{key_id}/cert": "application/octet-stream",
    "/system/restore": "multipart/form-data",
}


async def reached(_: Call) -> Reply:
    return Reply(REACHED)


async def callers_of(core: Core) -> dict[str, Credentials | None]:
    """Make the users that call, and their namespaces. Return their credentials."""
    callers: dict[str, Credentials | None] = {
        "nobody": None,
        "stranger": ("nobody-knows-me", "a long passphrase"),
        "Administrator": ADMIN,
    }
    for name in CALLERS[3:]:
        namespace, _, role = name.rpartition("~")
        user = f"{namespace}~{role}" if namespace else role
        callers[name] = await core.add_user(user, role)
    for namespace in ("ns", "other"):
        answer = await core.request("PUT", f"/namespaces/{namespace}", user=ADMIN)
        assert answer.status == 204, answer
    return callers


async def _core_with_callers() -> tuple[Core, dict[str, Credentials | None]]:
    core = await start_core()
    await core.provision()
    return core, await callers_of(core)


class Matrix:
    """One core whose handlers only say that they were reached, and how it answers."""

    def __init__(
        self, runner: asyncio.Runner, core: Core, callers: dict[str, Credentials | None]
    ) -> None:
        self._runner = runner
        self.core, self._callers = core, callers
        rows = [replace(route, handler=reached) for route in ROUTES]
        self._dispatcher = Dispatcher(self.core.hsm, rows)

    def answer(self, route: Route, state: State, caller: str) -> int:
        """Return the status that `caller` gets from `route` in `state`."""
        self.core.hsm.state = state
        self.core.clock.advance(2)  # nobody is braked for the attempt before
        headers = {"content-type": TYPES.get(route.path, "application/json")}
        if credentials := self._callers[caller]:
            headers["authorization"] = basic(credentials)
        path = re.sub(r"\{user_id\}", TARGET, route.path)
        path = "/api/v1" + re.sub(r"\{\w+\}", "thing", path)
        request = Request(1, route.method, path, "", headers, "192.0.2.1", b"")
        session = self.core.hsm.session
        if state in {State.LOCKED, State.UNPROVISIONED}:
            self.core.hsm.session = None
        try:
            return self._runner.run(self._dispatcher.answer(request, WholeBody(b""))).status
        finally:
            self.core.hsm.session = session


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    with asyncio.Runner() as runner:
        matrix = Matrix(runner, *runner.run(_core_with_callers()))
        yield matrix
        matrix.core.close()


BY_STATE = {Authentication.ROLE_WHEN_OPERATIONAL, Authentication.ROLE_OR_UNLOCK_PASSPHRASE}


def expected_status(route: Route, state: State, caller: str) -> int:  # noqa: C901, PLR0911 - the rules
    """Return what the row promises, read off its fields alone."""
    if state not in route.states:
        return 412
    provisioned = state in {State.LOCKED, State.FAILED}
    match route.authentication:
        case Authentication.UNLOCK_PASSPHRASE:
            return 401
        case Authentication.ROLE_OR_UNLOCK_PASSPHRASE if provisioned:
            return 401
    is_open = route.authentication in BY_STATE and state is not State.OPERATIONAL
    if not route.roles or is_open:
        return REACHED
    if caller in {"nobody", "stranger"}:
        return 401
    namespace, _, role = caller.rpartition("~")
    if Role(role) not in route.roles or namespace == "uncreated":
        return 403
    if route.reach is Reach.ROOT_ONLY and namespace:
        return 403
    if route.guard is not None and not _may_touch_target(route, namespace, caller):
        return 403
    return REACHED


def _may_touch_target(route: Route, namespace: str, caller: str) -> bool:
    """Who reaches the user `ns~Operator`: itself, its Administrators, and the root to look."""
    if caller == TARGET:
        return True
    if Role.ADMINISTRATOR.value not in caller:
        return False
    return namespace == "ns" or (not namespace and route.method == "GET")


@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_caller_gets_what_the_row_promises(
    matrix: Matrix, route: Route, state: State
) -> None:
    answers = {caller: matrix.answer(route, state, caller) for caller in CALLERS}
    assert answers == {caller: expected_status(route, state, caller) for caller in CALLERS}


# --- the table against the description -----------------------------------------------------------


def _operation(method: str, path: str) -> str:
    return f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}"


CALLERS_NAMESPACES = {"PUT /config/tls/cert.pem": {"Root"}, "GET /health/diagnose": {"Root"}}
"""Where NetHSM does something else than the description says, or the description is silent."""
OFFERED = {_operation(route.method, route.path): route for route in ROUTES}
EXPECTED = nethsm_api.OPERATIONS | beyond_nethsm.OPERATIONS


def test_the_table_has_every_operation_of_nethsm_and_ours_and_no_other() -> None:
    assert set(OFFERED) == set(EXPECTED), (
        "a new operation belongs in OPERATIONS of tests/support/beyond_nethsm.py"
    )
    assert not set(nethsm_api.OPERATIONS) & set(beyond_nethsm.OPERATIONS)


RESTORE = "POST /system/restore"
"""Annotated as public: that is in state Unprovisioned; else it takes a root Administrator."""


@pytest.mark.parametrize("operation", sorted(set(OFFERED) & set(EXPECTED)))
def test_a_row_is_open_to_the_callers_that_are_listed_for_it(operation: str) -> None:
    route, described = OFFERED[operation], EXPECTED[operation]
    assert {state.value for state in route.states} == set(described["states"])
    is_for_unlocker = route.authentication is Authentication.UNLOCK_PASSPHRASE
    open_to = {"FailedUnlock"} if is_for_unlocker else {"Public"}
    roles = {role.value for role in route.roles} or open_to
    if route.authentication in BY_STATE:
        roles.add("Public")
    if operation == RESTORE:
        assert roles == {"Administrator", *described["roles"]}
        assert route.reach is Reach.ROOT_ONLY
        return
    assert roles == set(described["roles"])
    namespaces = {"Root"} if route.reach is Reach.ROOT_ONLY else {"Root", "Namespaced"}
    assert namespaces == CALLERS_NAMESPACES.get(operation, set(described["caller_namespace"]))


@pytest.mark.parametrize(
    "operation",
    sorted(
        operation
        for operation, described in nethsm_api.OPERATIONS.items()
        if described["target_namespace"]
    ),
)
def test_a_row_about_users_of_some_namespaces_has_a_guard(operation: str) -> None:
    assert OFFERED[operation].guard is not None
