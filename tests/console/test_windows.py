"""Two windows at once, the way back, odd addresses, and answers that come late or not at all."""

from collections.abc import Iterator
from functools import partial

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.console.conftest import Console, console_at, make_key
from tests.support.core import b64
from tests.support.server import Server

LATE = "The HSM has not answered yet."
CHANGED = "Someone has changed it since it was shown here."


@pytest.fixture
def second(browser: Browser, server: Server) -> Iterator[Console]:
    """Another window, as the user `admin`."""
    for console in console_at(browser, server):
        console.sign_in("admin", server.passphrases["admin"])
        console.says("What remains")
        yield console


def show_policy(console: Console, key_id: str = "shared") -> None:
    console.open(f"key/{key_id}")
    console.unfold("Policy")
    expect(console.page.get_by_role("form", name="Set the policy")).to_be_visible()


def use(server: Server, key_id: str) -> None:
    digest = {"mode": "ECDSA", "message": b64(b"x" * 32)}
    answer = server.request("POST", f"/keys/{key_id}/sign", user="operator", json=digest)
    assert answer.status == 200


def set_policy(console: Console, text: str) -> None:
    console.page.get_by_role("form", name="Set the policy").locator("textarea").fill(text)
    console.press("Set the policy", "Set the policy")


def test_of_two_changes_from_the_same_view_one_is_made(
    signed_in: Console, second: Console, server: Server
) -> None:
    for console in (signed_in, second):
        console.expected_errors += ["404", "412"]  # It has no policy at first.
    make_key(server, "shared", by="admin")
    for console in (signed_in, second):
        show_policy(console)
    set_policy(signed_in, '{"maxPerMinute": 1}')
    signed_in.says("The policy is set.")
    set_policy(second, '{"maxPerMinute": 2}')
    second.says(CHANGED)
    policy = second.page.get_by_role("form", name="Set the policy").locator("textarea")
    expect(policy).to_have_value('{"maxPerMinute": 2}')
    set_policy(signed_in, '{"maxPerMinute": 3}')
    signed_in.says("The policy is set.")
    second.unfold("Policy")
    second.unfold("Policy")
    expect(policy).to_have_value('{\n  "maxPerMinute": 3\n}')
    set_policy(second, '{"maxPerMinute": 4}')
    second.says("The policy is set.")
    assert server.request("GET", "/keys/shared/policy", user="admin").json()["maxPerMinute"] == 4


def test_a_policy_that_counts_uses_is_guarded_against_changes_and_not_against_uses(
    signed_in: Console, second: Console, server: Server
) -> None:
    for console in (signed_in, second):
        console.expected_errors += ["404", "412"]
    make_key(server, "counted", by="admin")
    path = "/keys/counted/policy"

    def policy() -> dict:
        return server.request("GET", path, user="admin").json()

    server.request("PUT", path, user="admin", json={"maxUses": 50})
    for console in (signed_in, second):
        show_policy(console, "counted")
    use(server, "counted")
    set_policy(signed_in, '{"maxUses": 60}')
    signed_in.says("The policy is set.")
    use(server, "counted")
    set_policy(second, '{"maxUses": 70}')
    second.says(CHANGED)
    assert policy() == {"maxUses": 60, "usesLeft": 59}
    second.press("Remove the policy", "Remove the policy")
    second.says(CHANGED)
    use(server, "counted")
    signed_in.press("Remove the policy", "Remove the policy")
    signed_in.says("The policy is removed.")
    assert server.request("GET", path, user="admin").status == 404


def test_a_policy_whose_key_is_used_all_the_time_is_left_as_it_is(
    signed_in: Console, server: Server
) -> None:
    signed_in.expected_errors += ["404", "412"]
    make_key(server, "busy", by="admin")
    path = "/keys/busy/policy"
    server.request("PUT", path, user="admin", json={"maxUses": 500})
    show_policy(signed_in, "busy")

    def use_first(route: Route) -> None:
        if route.request.method == "PUT":
            use(server, "busy")
        route.continue_()

    signed_in.page.route(f"**{path}", use_first)
    set_policy(signed_in, '{"maxUses": 60}')
    signed_in.says("The key is being used all the time.")
    signed_in.page.unroute(f"**{path}")
    assert server.request("GET", path, user="admin").json()["maxUses"] == 500


def test_a_setting_that_another_window_has_changed_is_not_overwritten(
    signed_in: Console, second: Console, server: Server
) -> None:
    second.expected_errors += ["412"]
    for console in (signed_in, second):
        console.open("settings")
        console.unfold("Logging")
        console.fill("Logging", port="5515")
    signed_in.press("Logging", "Set")
    signed_in.says("Logging is set.")
    second.fill("Logging", port="5516")
    second.press("Logging", "Set")
    second.says(CHANGED)
    assert server.request("GET", "/config/logging", user="admin").json()["port"] == 5515


def test_a_sign_out_in_one_window_leaves_the_other(signed_in: Console, second: Console) -> None:
    signed_in.page.get_by_role("button", name="Sign out").click()
    signed_in.heading("Sign in")
    second.open("users")
    second.says("admin")


def test_the_way_back_shows_the_page_before_and_nothing_after_a_sign_out(
    signed_in: Console, server: Server
) -> None:
    make_key(server, "behind", by="admin")
    signed_in.open("keys")
    signed_in.open("key/behind")
    signed_in.page.go_back()
    signed_in.heading("Keys")
    signed_in.page.go_forward()
    signed_in.heading("Key behind")
    signed_in.page.get_by_role("button", name="Sign out").click()
    signed_in.heading("Sign in")
    signed_in.page.go_back()
    signed_in.heading("Sign in")
    signed_in.page.go_forward()
    signed_in.heading("Sign in")
    expect(signed_in.page.locator("main")).not_to_contain_text("behind")


def test_a_question_goes_with_the_page_that_asked_it(signed_in: Console, server: Server) -> None:
    make_key(server, "asked-about", by="admin")
    signed_in.open("keys")
    signed_in.open("key/asked-about")
    signed_in.unfold("Change")
    signed_in.press("Delete", "Delete the key")
    expect(signed_in.page.get_by_role("dialog")).to_be_visible()
    signed_in.page.go_back()
    signed_in.heading("Keys")
    expect(signed_in.page.get_by_role("dialog")).to_have_count(0)
    assert server.request("GET", "/keys/asked-about", user="admin").status == 200


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("key/%", "no such key"),
        ("key/%2e%2e", "There is nothing with the name .."),
        ("key/.", "There is nothing with the name ."),
        ("key", "no such key"),
        ("no-such-page", "What remains"),
        ("constructor", "What remains"),
    ],
)
def test_an_odd_address_is_shown_as_what_it_is(signed_in: Console, address: str, said: str) -> None:
    signed_in.expected_errors += ["400", "404"]
    asked = []
    signed_in.page.on("request", lambda request: asked.append(request.url))
    signed_in.page.evaluate("(hash) => { location.hash = hash }", f"#/{address}")
    body = signed_in.page.locator("main")
    if said == "no such key":
        expect(body.get_by_role("alert")).to_be_visible()
    else:
        expect(body).to_contain_text(said)
    assert not any(url.endswith("/api/v1/") for url in asked)


def held_back(console: Console, address: str) -> list[Route]:
    """Have requests gathered in this list; a test sends them on."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    console.page.route(address, hold)
    return held


def test_what_was_shown_is_not_taken_for_what_is_not_here_yet(
    signed_in: Console, server: Server
) -> None:
    for key_id in ("first", "late"):
        make_key(server, key_id, by="admin")
    signed_in.open("key/first")
    held = held_back(signed_in, "**/keys/late")
    signed_in.page.evaluate("location.hash = '#/key/late'")
    signed_in.says(LATE)
    expect(signed_in.page.locator("main")).not_to_contain_text("first")
    signed_in.wait_until(partial(len, held))
    held.pop().continue_()
    signed_in.heading("Key late")


def test_a_page_that_is_left_before_its_answer_is_not_shown(
    signed_in: Console, server: Server
) -> None:
    make_key(server, "left", by="admin")
    held = held_back(signed_in, "**/keys/left")
    signed_in.page.evaluate("location.hash = '#/key/left'")
    signed_in.says(LATE)
    signed_in.open("users")
    signed_in.wait_until(partial(len, held))
    with signed_in.page.expect_response("**/keys/left/public.pem"):
        held.pop().continue_()
    signed_in.heading("Users")


def test_figures_are_not_asked_for_with_a_passphrase_that_is_no_longer_taken(
    console: Console, server: Server
) -> None:
    console.expected_errors += ["401", "403"]
    server.add_user("figures", "Metrics")
    console.sign_in("figures", server.passphrases["figures"])
    expect(console.page.locator("figure").first).to_be_visible()
    refused = []

    def note(status: int) -> None:
        if status == 401:
            refused.append(status)

    console.page.on("response", lambda response: note(response.status))
    changed = {"passphrase": "another passphrase"}
    answer = server.request("POST", "/users/figures/passphrase", user="admin", json=changed)
    assert answer.status == 204
    console.says("Sign in again.")
    looks = []
    console.page.on("request", lambda request: looks.append("/health/state" in request.url))
    console.wait_until(lambda: looks.count(True) >= 3)  # Three looks take longer than two samples.
    assert len(refused) == 1
    console.page.get_by_role("button", name="Sign out").click()
    console.sign_in("figures", changed["passphrase"])
    expect(console.page.locator("figure").first).to_be_visible()


def test_a_slow_hsm_is_asked_for_figures_once_at_a_time(console: Console, server: Server) -> None:
    console.expected_errors += ["403"]
    console.sign_in("metrics", server.passphrases["metrics"])
    expect(console.page.locator("figure").first).to_be_visible()
    held = held_back(console, "**/metrics")
    console.wait_until(partial(len, held))
    looks = []
    console.page.on("request", lambda request: looks.append("/health/state" in request.url))
    console.wait_until(lambda: looks.count(True) >= 3)  # Three looks take longer than two samples.
    assert len(held) == 1
    held.pop().continue_()
    console.wait_until(partial(len, held))


def test_members_are_not_asked_for_with_a_passphrase_that_is_no_longer_taken(
    signed_in: Console,
) -> None:
    signed_in.expected_errors += ["401"]
    page = signed_in.page
    members = [{"id": name, "name": name, "urls": [], "learner": False} for name in ("a", "b")]
    page.route("**/cluster/members", lambda route: route.fulfill(json=members))
    signed_in.open("api")
    signed_in.open("")
    expect(page.get_by_role("region", name="Members").locator("tbody tr")).to_have_count(2)
    refused, looks = [], []

    def refuse(route: Route) -> None:
        refused.append(route)
        route.fulfill(status=401, json={"message": "The user or the passphrase is wrong."})

    page.route("**/health/diagnose*", refuse)
    signed_in.says("Sign in again.")
    page.on("request", lambda request: looks.append("/health/state" in request.url))
    signed_in.wait_until(lambda: looks.count(True) >= 3)
    assert len(refused) == 1


def test_a_name_that_leads_up_the_path_is_not_sent(signed_in: Console) -> None:
    asked = []
    signed_in.open("api")
    signed_in.page.on("request", lambda request: asked.append(request.url))
    signed_in.page.locator("summary", has_text="GET /keys/{key_id}/policy").click()
    form = signed_in.page.get_by_role("form", name="Try GET /keys/{key_id}/policy", exact=True)
    form.locator("[name=path-key_id]").fill("..")
    form.get_by_role("button", name="GET it").click()
    expect(form.get_by_role("alert")).to_have_text("There is nothing with the name ..")
    assert not any(url.endswith("/api/v1/policy") for url in asked)
