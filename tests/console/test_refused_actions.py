"""Each action of each role: it says why it is refused, keeps what was typed, and then works.

`make console-walk` has all actions; else it is those of SHORT.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Locator, Response, Route, expect

from tests.console.conftest import IS_WALK, Console, console_at
from tests.support.server import Server

SHORT = {"Generate a key", "Sign a file", "Make a backup", "Verify", "Restore", "New user"}
SAID = {
    401: "Refused by a test. Sign in again.",
    403: "Refused by a test.",
    412: "Refused by a test.",
    429: "Refused by a test. Try again in 7 s.",
    503: "Refused by a test. Try again in 7 s.",
    0: "The HSM cannot be reached.",
}
"""What the form says by the status of the answer; 0: there is none."""
NEW = "a new passphrase"


class Action(NamedTuple):
    """A form that a user sends, and the request that it makes."""

    user: str
    page: str
    unfold: str
    """The part of the page that is opened first, or ""."""
    form: str
    button: str
    request: str
    """The method and the end of the path, a regular expression."""
    values: Mapping[str, str] = {}
    """What is typed, by the names of inputs."""
    file: str = ""
    """The name of the input that gets a file."""
    has_dialog: bool = False
    is_allowed: bool = True
    """Whether it is sent in the end, and the HSM does it."""


ADMIN = (
    Action("admin", "new-key", "", "Generate a key", "Generate", "POST /keys/generate"),
    Action("admin", "key/acted", "Change", "Label", "Set the label", "PUT /label", {"label": "l"}),
    Action("admin", "key/acted", "Change", "Add a tag", "Add the tag", "PUT /tags/t", {"tag": "t"}),
    Action(
        *("admin", "key/acted", "Policy", "Set the policy", "Set the policy", "PUT /policy"),
        {"text": '{"maxUses": 900}'},
    ),
    Action(
        *("admin", "key/acted", "Policy", "Remove the policy", "Remove the policy"),
        "DELETE /policy",
    ),
    Action(
        *("admin", "key/acted", "Attestation", "Attestation", "Have the HSM attest this key"),
        "POST /attestation",
    ),
    Action(
        *("admin", "key/acted", "Certificate signing request", "Certificate signing request"),
        *("Make the request", "POST /csr.pem", {"commonName": "a.example"}),
    ),
    Action(
        *("admin", "key/acted", "Certificate", "Store a certificate", "Store", "PUT /cert"),
        file="file",
    ),
    Action("admin", "key/moving", "Change", "Move", "Move the key", "POST /move", {"newId": "m"}),
    Action(
        *("admin", "users", "New user", "New user", "Add", "PUT /users/added"),
        {"id": "added", "realName": "Added", "passphrase": NEW, "again": NEW},
    ),
    Action(
        *("admin", "users", "operator", "Passphrase of operator", "Set the passphrase"),
        *("POST /passphrase", {"passphrase": NEW, "again": NEW}),
        is_allowed=False,
    ),
    Action(
        *("admin", "users", "operator", "Add a tag to operator", "Add the tag", "PUT /tags/t"),
        {"tag": "t"},
    ),
    Action(
        *("admin", "namespaces", "", "New namespace", "Create", "PUT /namespaces/n", {"id": "n"})
    ),
    Action(
        *("admin", "namespaces", "tenant", "Limits of tenant", "Set the limits", "PUT /quota"),
        {"keys": "90"},
    ),
    Action(
        *("admin", "settings", "Backup passphrase", "Backup passphrase", "Change"),
        *("PUT /backup-passphrase", {"newPassphrase": NEW, "again": NEW}),
    ),
    Action(
        *("admin", "settings", "Unattended boot", "Unattended boot", "Set"),
        "PUT /unattended-boot",
    ),
    Action("admin", "settings", "Logging", "Logging", "Set", "PUT /logging", {"port": "515"}),
    Action("admin", "settings", "Network", "/config/network", "Set", "PUT /network"),
    Action("admin", "settings", "Time servers", "/config/ntp", "Set", "PUT /ntp"),
    Action("admin", "settings", "Journal", "/config/journal", "Set", "PUT /journal"),
    Action(
        *("admin", "settings", "Time", "Time", "Set it to this browser's time", "PUT /time"),
    ),
    Action(
        *("admin", "settings", "TLS certificate", "TLS signing request"),
        *("Make a signing request", "POST /csr.pem", {"commonName": "hsm"}),
    ),
    Action(
        *("admin", "backup", "", "Restore", "Restore", "POST /restore", {"passphrase": NEW}),
        file="file",
        is_allowed=False,
    ),
    Action(
        *("admin", "system", "Update", "Update", "Upload", "POST /update"),
        file="file",
        is_allowed=False,
    ),
    *(
        Action("admin", "system", "", name, name, f"POST {path}", has_dialog=True, is_allowed=False)
        for name, path in (("Lock", "/lock"), ("Reboot", "/reboot"), ("Shut down", "/shutdown"))
    ),
    Action("admin", "journal", "", "Verify", "Verify the journal here", "GET /journal"),
)
OTHERS = (
    Action("operator", "key/used", "", "Sign a file", "Sign", "POST /sign", file="file"),
    Action("operator", "key/used", "", "Verify a file", "Verify", "POST /verify", file="file"),
    Action(
        *("operator", "approvals", "", "Ask for an approval", "Ask", "POST /approvals"),
        {"key": "used", "reason": "why"},
        is_allowed=False,
    ),
    Action(
        *("operator", "key/used", "Certificate signing request", "Certificate signing request"),
        *("Make the request", "POST /csr.pem", {"commonName": "a.example"}),
    ),
    Action(
        *("backup", "backup", "", "Make a backup", "Make and save a backup"),
        "POST /system/backup",
    ),
    Action("auditor", "journal", "", "Verify", "Verify the journal here", "GET /journal"),
    Action("tenant~boss", "new-key", "", "Generate a key", "Generate", "POST /keys/generate"),
    Action(
        *("tenant~boss", "users", "New user", "New user", "Add", "PUT /users/tenant~new"),
        {"id": "tenant~new", "realName": "New", "passphrase": NEW, "again": NEW},
    ),
    Action("tenant~olga", "key/own", "", "Sign a file", "Sign", "POST /sign", file="file"),
)
ACTIONS = [one for one in (*ADMIN, *OTHERS) if IS_WALK or one.form in SHORT]
"""Those of a user follow each other; what one of them changes does not disturb the next."""


@pytest.fixture(scope="module")
def ready(filled: Server) -> Server:
    """The filled server with what the actions need."""
    for key_id in ("acted", "moving", "used"):
        key = {"id": key_id, "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
        assert filled.request("POST", "/keys/generate", user="admin", json=key).status == 201
    return filled


@pytest.mark.parametrize("user", dict.fromkeys(one.user for one in ACTIONS))
def test_each_action_says_why_it_is_refused_and_works_again(
    browser: Browser, ready: Server, user: str
) -> None:
    if user == "backup":
        body = {"newPassphrase": NEW, "currentPassphrase": ""}
        ready.request("PUT", "/config/backup-passphrase", user="admin", json=body)
    for console in console_at(browser, ready):
        console.expected_errors += ["40", "412", "429", "503", "Failed to load resource"]
        console.sign_in(user, ready.passphrases[user])
        expect(console.page.locator("header .who")).to_contain_text(user)
        for action in ACTIONS:
            if action.user == user:
                try_out(console, action)


def try_out(console: Console, action: Action) -> None:
    console.open("api")
    console.open(action.page)
    if action.unfold:
        console.unfold(action.unfold)
    form = console.page.get_by_role("form", name=action.form, exact=True)
    expect(form).to_be_visible()
    for status in SAID:
        fill(form, action)
        refuse(console, form, action, status)
    if action.is_allowed:
        fill(form, action)
        with console.page.expect_response(lambda answer: is_its(action, answer)) as done:
            send(console, form, action)
        assert done.value.ok, (action, done.value.status)
        # The form may go to another page when it has read the answer: not after the next `open`.
        expect(form.locator("[type=submit]:disabled")).to_have_count(0)


def fill(form: Locator, action: Action) -> None:
    for name, value in action.values.items():
        form.locator(f"[name={name}]").fill(value)
    if action.file:
        file = {"name": "a", "mimeType": "application/octet-stream", "buffer": b"a file"}
        for one in form.locator("[type=file]").all():
            one.set_input_files([file])


def send(console: Console, form: Locator, action: Action) -> None:
    form.get_by_role("button", name=action.button, exact=True).click()
    if action.has_dialog:
        dialog = console.page.get_by_role("dialog")
        dialog.get_by_role("button", name=action.button, exact=True).click()


def refuse(console: Console, form: Locator, action: Action, status: int) -> None:
    """Send the form while its request is refused: the form says why and stays as it is."""

    def answer(route: Route) -> None:
        if route.request.method != action.request.split()[0]:
            route.fallback()
        elif status:
            headers = {"Retry-After": "7"} if status in {429, 503} else {}
            refusal = {"message": "Refused by a test."}
            route.fulfill(status=status, json=refusal, headers=headers)
        else:
            route.abort()

    address = address_of(action)
    console.page.route(address, answer)
    send(console, form, action)
    expect(form.get_by_role("alert")).to_have_text(SAID[status])
    console.page.unroute(address, answer)
    expect(form.locator("button[type=submit]").first).to_be_enabled()
    for name, value in action.values.items():
        if form.locator(f"[name={name}][type=password]").count() == 0:
            expect(form.locator(f"[name={name}]")).to_have_value(value)


def address_of(action: Action) -> re.Pattern[str]:
    path = action.request.split()[1].replace(".", r"\.")
    return re.compile(rf"/api/v1\S*{path}(\?.*)?$")


def is_its(action: Action, answer: Response) -> bool:
    is_method = answer.request.method == action.request.split()[0]
    return is_method and bool(address_of(action).search(answer.url))
