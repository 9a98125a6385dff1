"""One of the commonest passphrases is refused wherever a passphrase is chosen."""

from typing import Any

import pytest

from tests.support.core import ADMIN, UNLOCK, Core

COMMON = "Password123"
REFUSAL = "is one of the commonest passwords, which are guessed first."
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
