"""GET /health/lockouts: who failed to log in or unlock, from where; and the log of it."""

import json

from keystead.journal.log import Level
from tests.support.core import ADMIN, UNLOCK, Core

ELSEWHERE = "2001:db8::7"


async def fail(core: Core, name: str, *, client: str = "192.0.2.1") -> int:
    user = (name, "wrong passphrase")
    return (await core.request("GET", "/keys", user=user, client=client)).status


def events(core: Core, name: str) -> list[dict]:
    found = [json.loads(line) for line in core.log_lines]
    return [event for event in found if event["event"] == name]


async def test_an_administrator_sees_who_is_locked_out_and_who_was(fresh_core: Core) -> None:
    core = fresh_core
    await core.provision()
    assert await fail(core, "nobody", client=ELSEWHERE) == 401
    core.clock.advance(5)
    assert await fail(core, "admin", client=ELSEWHERE) == 401
    assert await fail(core, "admin", client=ELSEWHERE) == 429
    answer = await core.request("GET", "/health/lockouts", user=ADMIN)
    assert answer.status == 200
    admin, unknown = answer.json()
    assert unknown.pop("user").startswith("/unknown-")
    assert [admin, unknown] == [
        {
            "user": "admin",
            "address": ELSEWHERE,
            "lockedOut": True,
            "failed": 1,
            "refused": 1,
            "firstFailure": "2024-01-01T00:00:05Z",
            "lastFailure": "2024-01-01T00:00:05Z",
        },
        {
            "address": ELSEWHERE,
            "lockedOut": False,
            "failed": 1,
            "refused": 0,
            "firstFailure": "2024-01-01T00:00:00Z",
            "lastFailure": "2024-01-01T00:00:00Z",
        },
    ]
    core.clock.advance(900)
    assert (await core.request("GET", "/health/lockouts", user=ADMIN)).json() == []


async def test_attempts_to_unlock_are_there_once_it_is_unlocked(fresh_core: Core) -> None:
    core = fresh_core
    await core.provision()
    await core.request("POST", "/lock", user=ADMIN)
    for passphrase, status in (("wrong passphrase", 403), (UNLOCK, 429)):
        answer = await core.request("POST", "/unlock", json={"passphrase": passphrase})
        assert answer.status == status
    core.clock.advance(1)
    assert (await core.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 204
    (pair,) = (await core.request("GET", "/health/lockouts", user=ADMIN)).json()
    assert (pair["user"], pair["failed"], pair["refused"]) == ("/unlock", 1, 1)
    assert [event["user"] for event in events(core, "authentication failed")] == ["/unlock"]


async def test_a_lock_does_not_let_in_who_has_to_wait(fresh_core: Core) -> None:
    core = fresh_core
    await core.provision()
    await fail(core, "admin")
    await core.request("POST", "/lock", user=ADMIN, client=ELSEWHERE)
    assert (await core.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 204
    assert (await core.request("GET", "/keys", user=ADMIN)).status == 429


async def test_who_logged_in_from_where_is_logged_once_a_failure_each_time(
    fresh_core: Core,
) -> None:
    core = fresh_core
    await core.provision()
    for _ in range(3):
        await core.request("GET", "/keys", user=ADMIN, client=ELSEWHERE)
    for _ in range(2):
        await fail(core, "admin")
        core.clock.advance(1)
    assert [(e["user"], e["address"]) for e in events(core, "logged in")] == [("admin", ELSEWHERE)]
    failures = events(core, "authentication failed")
    assert [(e["user"], e["address"], e["failed"]) for e in failures] == [
        ("admin", "192.0.2.1", 1),
        ("admin", "192.0.2.1", 2),
    ]
    assert "wrong passphrase" not in "".join(core.log_lines)


async def test_a_passphrase_in_the_place_of_the_name_is_shown_nowhere(fresh_core: Core) -> None:
    core = fresh_core
    await core.provision()
    core.hsm.log.threshold = Level.DEBUG
    typed = "correct-horse.battery_staple9"
    assert await fail(core, typed) == 401
    core.clock.advance(1)
    for path in (f"/users/{typed}", f"/keys/{typed}/sign", f"/{typed}", f"/keys?label={typed}"):
        for method in ("GET", "POST", typed):
            await core.request(method, path, user=ADMIN)
    shown = (await core.request("GET", "/health/lockouts", user=ADMIN)).body.decode()
    assert "/unknown-" in shown
    assert typed not in shown + "".join(core.log_lines)
