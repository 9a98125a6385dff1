"""Every operation in every state by every caller, on a member of a cluster of three."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from keystead.api.http.route import Route
from keystead.api.routes import ROUTES
from keystead.model.lifecycle import State
from tests.api.test_access_matrix import (
    CALLERS,
    Matrix,
    callers_of,
    expected_status,
)
from tests.api.test_cluster_on_etcd import cores_on, until
from tests.support.core import ADMIN
from tests.support.etcd import Cluster, needs_etcd

pytestmark = needs_etcd


async def second_of_two(cluster: Cluster, stack: contextlib.AsyncExitStack):
    """Return a core that has made nothing itself, and the callers that another member has made."""
    (first, second), _ = await cores_on(cluster.members[:2], stack)
    callers = await callers_of(first)
    await until(lambda: second.request("GET", "/namespaces", user=ADMIN), 200, second.log_lines)
    await until(
        lambda: second.request(
            "GET", "/users/other~Administrator", user=callers["other~Administrator"]
        ),
        200,
    )
    second.hsm.freshness.everywhere = at_once
    return second, callers


async def at_once():
    """Stand in for the wait of revocations, which takes 20 s here and has tests of its own."""


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    with Cluster(3) as cluster, asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        core, callers = runner.run(second_of_two(cluster, stack))
        yield Matrix(runner, core, callers)
        runner.run(stack.aclose())


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_member_answers_every_caller_in_every_state_as_the_row_promises(
    matrix: Matrix, route: Route
) -> None:
    for state in State:
        answers = {caller: matrix.answer(route, state, caller) for caller in CALLERS}
        assert answers == {caller: expected_status(route, state, caller) for caller in CALLERS}, (
            state
        )
