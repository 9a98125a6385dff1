"""One of the commonest passphrases is refused wherever a passphrase is chosen."""

from typing import Any

import pytest

from tests.support.core import ADMIN, UNLOCK, Core, start_core

COMMON = "Password123"
REFUSAL = (
    "is one of the commonest passwords, which are guessed first. The operator can allow them: "
    "common_passphrases = true under [compatibility] in the configuration file."
)
USER = {"realName": "x", "role": "Operator", "passphrase": COMMON}
CHOSEN = [
    ("POST", "/users", USER, "passphrase"),
    ("PUT", "/users/someone", USER, "passphrase"),
    ("POST", "/users/admin/passphrase", {"passphrase": COMMON}, "passphrase"),
    (
        "PUT",
        "/config/unlock-passphrase",
        {"newPassphrase": COMMON, "currentPassphrase": UNLOCK},
        "newPassphrase",
    ),
    (
        "PUT",
        "/config/backup-passphrase",
        {"newPassphrase": COMMON, "currentPassphrase": ""},
        "newPassphrase",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "field"), CHOSEN)
async def test_it_is_400_and_changes_nothing(
    core: Core, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    users = (await core.request("GET", "/users", user=ADMIN)).body
    answer = await core.request(method, path, user=ADMIN, json=body)
    assert (answer.status, answer.message) == (400, f"{field} {REFUSAL}")
    assert (await core.request("GET", "/users", user=ADMIN)).body == users


@pytest.mark.parametrize("field", ["unlockPassphrase", "adminPassphrase"])
async def test_an_hsm_is_not_provisioned_with_it(fresh_core: Core, field: str) -> None:
    wanted = {
        "unlockPassphrase": UNLOCK,
        "adminPassphrase": ADMIN[1],
        "systemTime": "2024-01-01T00:00:00Z",
    }
    answer = await fresh_core.request("POST", "/provision", json=wanted | {field: COMMON})
    assert (answer.status, answer.message) == (400, f"{field} {REFUSAL}")
    assert (await fresh_core.request("GET", "/health/state")).json() == {"state": "Unprovisioned"}


async def test_where_the_operator_allows_them_they_are_taken_everywhere() -> None:
    core = await start_core(common_passphrases=True)
    wanted = {
        "unlockPassphrase": "1234567890",
        "adminPassphrase": COMMON,
        "systemTime": "2024-01-01T00:00:00Z",
    }
    short = await core.request(
        "POST", "/provision", json=wanted | {"unlockPassphrase": "123456789"}
    )
    assert (short.status, short.message) == (400, "unlockPassphrase must have 10 to 200 bytes.")
    assert (await core.request("POST", "/provision", json=wanted)).status == 204
    for method, path, body, _ in CHOSEN:
        given = body | {"currentPassphrase": "1234567890"} if "unlock" in path else body
        answer = await core.request(method, path, user=("admin", COMMON), json=given)
        assert answer.status in {200, 201, 204}, (path, answer)
    core.close()
