"""The journal is checked and searched line by line, and what is wrong with it is named."""

import pytest
from playwright.sync_api import Route, expect

from tests.console.conftest import Console
from tests.support.server import Server


@pytest.fixture(scope="module")
def shortened(server: Server) -> Server:
    """The module's server, whose journal has lost its first entries."""
    server.add_user("auditor", "Auditor")
    assert server.request("GET", "/journal/head", user="auditor").status == 200
    assert server.request("DELETE", "/journal?upto=2", user="auditor").status == 204
    return server


@pytest.fixture
def journal(shortened: Server, signed_in: Console) -> Console:
    """The page of the journal."""
    assert shortened.request("GET", "/journal/head", user="admin").status == 200
    signed_in.open("journal")
    return signed_in


def change(console: Console, before: bytes, after: bytes) -> None:
    """Have the first appearance of some bytes changed in the export."""

    def answer(route: Route) -> None:
        body = route.fetch().body()
        assert before in body
        route.fulfill(body=body.replace(before, after, 1), content_type="application/x-ndjson")

    console.page.route("**/api/v1/journal", answer)


def test_a_journal_that_begins_later_is_whole(journal: Console) -> None:
    journal.press("Verify", "Verify the journal here")
    journal.says("lines are whole, and signed up to number")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"target":"operator"', b'"target":"0perator"'),
        (b'"signature":"', b'"signature":"AAAA'),
        (b'"action":"checkpoint"', b'"action":"checkpOint"'),
        (b'{"n":', b'{"n":1'),
        (b"\n", b"\n{}\n"),
    ],
)
def test_an_entry_that_was_changed_is_named(journal: Console, before: bytes, after: bytes) -> None:
    change(journal, before, after)
    journal.press("Verify", "Verify the journal here")
    journal.says("is not what the chain says.")


def test_a_search_through_the_journal_is_stopped_and_works_again(journal: Console) -> None:
    journal.expected_errors += ["Failed to load resource"]
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    journal.page.route("**/api/v1/journal", hold)
    journal.fill("Entries", text="operator")
    journal.press("Entries", "Show")
    form = journal.page.get_by_role("form", name="Entries")
    form.get_by_role("button", name="Cancel").click()
    expect(form.get_by_role("alert")).to_have_text("It was stopped.")
    journal.page.unroute("**/api/v1/journal")
    journal.press("Entries", "Show")
    expect(form.locator("tbody tr")).to_have_count(1)
    expect(form).to_contain_text("PUT /users/{user_id}")


def test_a_search_ends_with_its_page(journal: Console) -> None:
    journal.expected_errors += ["Failed to load resource"]
    journal.page.route("**/api/v1/journal", lambda _: None)
    journal.fill("Entries", text="operator")
    with journal.page.expect_event("requestfailed"):
        journal.press("Entries", "Show")
        journal.open("users")
