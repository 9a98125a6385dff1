"""The overview of a member of a real cluster: who leads, who is lost and comes back."""

import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Route, expect

from tests.console.conftest import IS_WALK, Console, console_at
from tests.console.test_accessibility import complaints
from tests.processes.conftest import place
from tests.processes.test_members import (
    added,
    declared,
    founded,
    peer_url,
    provisioned,
    trust,
)
from tests.support.authority import Authority
from tests.support.etcd import needs_etcd
from tests.support.server import Server, wait_until

__all__ = ["place"]
pytestmark = needs_etcd


@pytest.fixture
def apart(place: Path, tmp_path: Path) -> Path:
    """A directory of one test, as `place` is."""
    directory = place / tmp_path.name
    directory.mkdir(mode=0o755)
    for program in ("etcd", "etcdutl"):
        (directory / program).hardlink_to(place / program)
    return directory


def overview(console: Console, server: Server) -> Locator:
    """Sign in, and return the rows of the table of members."""
    console.sign_in("admin", server.passphrases["admin"])
    console.says("As this HSM sees it.")
    return console.page.get_by_role("region", name="Members").locator("tbody tr")


def row(rows: Locator, server: Server) -> Locator:
    """Return the row of a server."""
    info = server.request("GET", "/system/info", user="admin").json()
    return rows.filter(has_text=f"keystead-{info['deviceId'].lower()}")


def test_a_member_that_is_declared_and_not_there_is_shown(browser: Browser, apart: Path) -> None:
    with ExitStack() as stack:
        server = founded(apart, stack)
        trust(server, Authority("cluster"))
        _ = declared(server, peer_url())
        for console in console_at(browser, server):
            rows = overview(console, server)
            expect(row(rows, server)).to_contain_text("leader")
            expect(row(rows, server)).to_contain_text("this HSM, up to date")
            new = rows.filter(has_text="has not started yet")
            expect(new).to_contain_text("learner")
            expect(new).to_contain_text("not reachable")
            assert complaints(console) == []
            console.page.route("**/health/diagnose*", answer_without_a_leader)
            console.says("No member leads")
            assert complaints(console) == []
            expect(row(rows, server)).to_contain_text("follower")


def answer_without_a_leader(route: Route) -> None:
    answer = route.fetch()
    states = [{**one, "leader": False} for one in answer.json()["clusterMembers"]]
    route.fulfill(response=answer, json={**answer.json(), "clusterMembers": states})


@pytest.mark.skipif(not IS_WALK, reason="three servers that join take a minute")
def test_a_member_that_is_lost_is_said_while_it_is_lost(browser: Browser, apart: Path) -> None:
    authority = Authority("cluster")
    with ExitStack() as stack:
        one = founded(apart, stack)
        trust(one, authority)
        others = [provisioned(apart, name, stack) for name in ("two", "three")]
        for server in others:
            trust(server, authority)
            added(one, server)
        watcher, lost = others
        wait_until(lambda: watcher.request("GET", "/users", user="admin").status == 200, seconds=60)
        for console in console_at(browser, watcher):
            console.expected_errors += ["412", "503", "Failed to load resource"]
            rows = overview(console, watcher)
            leader = re.compile("leader")
            expect(rows).to_have_count(3)
            expect(rows.filter(has_text=leader)).to_have_count(1)
            expect(row(rows, watcher)).to_contain_text("this HSM, up to date")
            gone = row(rows, lost)
            expect(gone).to_contain_text("connected")
            assert complaints(console) == []
            lost.kill_all()
            expect(gone).to_contain_text("not reachable: it is behind until it is back")
            expect(rows.filter(has_text=leader)).to_have_count(1)
            assert watcher.state() == "Operational"
