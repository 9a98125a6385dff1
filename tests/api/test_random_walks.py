"""Hundreds of random requests in a row leave what NetHSM's rules say, and answer as they say.

Other tests look at one request. Here a user is deleted and made again, a namespace comes back, a
key is moved onto the name of a deleted one, an old backup is restored, and the HSM is locked or
restarted in between. `tests/support/plain_hsm.py` says what each answer has to be.
"""

import json
from collections.abc import Callable
from contextlib import aclosing
from random import Random
from typing import Any, NamedTuple

from tests.support.backups import MULTIPART, form, started
from tests.support.core import Answer, Core, Credentials
from tests.support.plain_hsm import Expected, Mode, PlainHsm, Records, RefusedError

WALKS = 12
REQUESTS = 600
"""In a walk, which takes less than a second."""

USERS = ("admin", "u1", "u2", "ns1~a", "ns1~u", "ns2~a", "ns2~u")
NAMESPACES = ("ns1", "ns2")
KEYS = ("k1", "k2", "k3")
TAGS = ("t1", "t2")
ROLES = ("Administrator", "Operator", "Operator", "Operator", "Backup", "Backup", "Metrics")
PASSPHRASES = ("a passphrase", "another passphrase")
BACKUP_PASSPHRASES = ("", "backup passphrase", "other backup passphrase")
MESSAGE = "A" * 43 + "="

By = Credentials | None
Expect = Callable[[PlainHsm, By], Expected]


class Step(NamedTuple):
    """A request, and what the rules say of it."""

    method: str
    path: str
    expect: Expect
    json: Any = None
    body: bytes | None = None
    headers: dict[str, str] | None = None


def _provision(random: Random) -> Step:
    unlock, admin = random.choice(PASSPHRASES), random.choice(PASSPHRASES)
    sent = {
        "unlockPassphrase": unlock,
        "adminPassphrase": admin,
        "systemTime": "2024-01-01T00:00:00Z",
    }
    return Step("POST", "/provision", lambda hsm, _: hsm.provision(unlock, admin), sent)


def _lock(_: Random) -> Step:
    return Step("POST", "/lock", PlainHsm.lock)


def _unlock(random: Random) -> Step:
    passphrase = random.choice(PASSPHRASES)
    return Step(
        "POST", "/unlock", lambda hsm, _: hsm.unlock(passphrase), {"passphrase": passphrase}
    )


def _unlock_passphrase(random: Random) -> Step:
    present, new = random.choice(PASSPHRASES), random.choice(PASSPHRASES)
    return Step(
        "PUT",
        "/config/unlock-passphrase",
        lambda hsm, by: hsm.change_unlock_passphrase(by, present, new),
        {"currentPassphrase": present, "newPassphrase": new},
    )


def _backup_passphrase(random: Random) -> Step:
    present, new = random.choice(BACKUP_PASSPHRASES), random.choice(BACKUP_PASSPHRASES[1:])
    return Step(
        "PUT",
        "/config/backup-passphrase",
        lambda hsm, by: hsm.change_backup_passphrase(by, present, new),
        {"currentPassphrase": present, "newPassphrase": new},
    )


def _users(_: Random) -> Step:
    return Step("GET", "/users", PlainHsm.users)


def _add_user(random: Random) -> Step:
    user_id, role, passphrase = (random.choice(some) for some in (USERS, ROLES, PASSPHRASES))
    return Step(
        "PUT",
        f"/users/{user_id}",
        lambda hsm, by: hsm.add_user(by, user_id, role, passphrase),
        {"realName": f"name of {user_id}", "role": role, "passphrase": passphrase},
    )


def _user(random: Random) -> Step:
    user_id = random.choice(USERS)
    return Step("GET", f"/users/{user_id}", lambda hsm, by: hsm.user(by, user_id))


def _delete_user(random: Random) -> Step:
    user_id = random.choice(USERS)
    return Step("DELETE", f"/users/{user_id}", lambda hsm, by: hsm.delete_user(by, user_id))


def _passphrase(random: Random) -> Step:
    user_id, passphrase = random.choice(USERS), random.choice(PASSPHRASES)
    return Step(
        "POST",
        f"/users/{user_id}/passphrase",
        lambda hsm, by: hsm.set_passphrase(by, user_id, passphrase),
        {"passphrase": passphrase},
    )


def _user_tags(random: Random) -> Step:
    user_id = random.choice(USERS)
    return Step("GET", f"/users/{user_id}/tags", lambda hsm, by: hsm.user_tags(by, user_id))


def _tag_user(random: Random) -> Step:
    user_id, tag = random.choice(USERS), random.choice(TAGS)
    path = f"/users/{user_id}/tags/{tag}"
    return Step("PUT", path, lambda hsm, by: hsm.tag_user(by, user_id, tag))


def _untag_user(random: Random) -> Step:
    user_id, tag = random.choice(USERS), random.choice(TAGS)
    path = f"/users/{user_id}/tags/{tag}"
    return Step("DELETE", path, lambda hsm, by: hsm.untag_user(by, user_id, tag))


def _namespaces(_: Random) -> Step:
    return Step("GET", "/namespaces", PlainHsm.namespaces)


def _add_namespace(random: Random) -> Step:
    namespace = random.choice(NAMESPACES)
    path = f"/namespaces/{namespace}"
    return Step("PUT", path, lambda hsm, by: hsm.add_namespace(by, namespace))


def _delete_namespace(random: Random) -> Step:
    namespace = random.choice(NAMESPACES)
    path = f"/namespaces/{namespace}"
    return Step("DELETE", path, lambda hsm, by: hsm.delete_namespace(by, namespace))


def _keys(random: Random) -> Step:
    usable = random.random() < 0.5
    path = "/keys?filter=" if usable else "/keys"
    return Step("GET", path, lambda hsm, by: hsm.keys(by, usable=usable))


def _generate(random: Random) -> Step:
    key_id, tags = random.choice(KEYS), random.sample(TAGS, random.choice((0, 0, 1)))
    wanted = {"id": key_id, "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    return Step(
        "POST",
        "/keys/generate",
        lambda hsm, by: hsm.generate(by, key_id, tags),
        wanted | {"restrictions": {"tags": tags}},
    )


def _key(random: Random) -> Step:
    key_id = random.choice(KEYS)
    return Step("GET", f"/keys/{key_id}", lambda hsm, by: hsm.key(by, key_id))


def _delete_key(random: Random) -> Step:
    key_id = random.choice(KEYS)
    return Step("DELETE", f"/keys/{key_id}", lambda hsm, by: hsm.delete_key(by, key_id))


def _move_key(random: Random) -> Step:
    key_id, new_id = random.choice(KEYS), random.choice(KEYS)
    path = f"/keys/{key_id}/move"
    return Step("POST", path, lambda hsm, by: hsm.move_key(by, key_id, new_id), {"newId": new_id})


def _sign(random: Random) -> Step:
    key_id = random.choice(KEYS)
    wanted = {"mode": "ECDSA", "message": MESSAGE}
    return Step("POST", f"/keys/{key_id}/sign", lambda hsm, by: hsm.sign(by, key_id), wanted)


def _label(random: Random) -> Step:
    key_id, label = random.choice(KEYS), random.choice(("", "one", "two"))
    path = f"/keys/{key_id}/label"
    return Step("PUT", path, lambda hsm, by: hsm.set_label(by, key_id, label), {"label": label})


def _tag_key(random: Random) -> Step:
    key_id, tag = random.choice(KEYS), random.choice(TAGS)
    path = f"/keys/{key_id}/restrictions/tags/{tag}"
    return Step("PUT", path, lambda hsm, by: hsm.tag_key(by, key_id, tag))


def _untag_key(random: Random) -> Step:
    key_id, tag = random.choice(KEYS), random.choice(TAGS)
    path = f"/keys/{key_id}/restrictions/tags/{tag}"
    return Step("DELETE", path, lambda hsm, by: hsm.untag_key(by, key_id, tag))


def _certificate(random: Random) -> Step:
    key_id = random.choice(KEYS)
    return Step("GET", f"/keys/{key_id}/cert", lambda hsm, by: hsm.certificate(by, key_id))


def _set_certificate(random: Random) -> Step:
    key_id, content = random.choice(KEYS), random.randbytes(5)
    return Step(
        "PUT",
        f"/keys/{key_id}/cert",
        lambda hsm, by: hsm.set_certificate(by, key_id, content),
        body=content,
        headers={"content-type": "application/octet-stream"},
    )


def _delete_certificate(random: Random) -> Step:
    key_id = random.choice(KEYS)
    path = f"/keys/{key_id}/cert"
    return Step("DELETE", path, lambda hsm, by: hsm.delete_certificate(by, key_id))


STEPS: dict[Callable[[Random], Step], int] = {
    _provision: 6,
    _lock: 1,
    _unlock: 5,
    _unlock_passphrase: 2,
    _backup_passphrase: 8,
    _users: 2,
    _add_user: 12,
    _user: 6,
    _delete_user: 3,
    _passphrase: 3,
    _user_tags: 3,
    _tag_user: 12,
    _untag_user: 10,
    _namespaces: 2,
    _add_namespace: 4,
    _delete_namespace: 2,
    _keys: 6,
    _generate: 10,
    _key: 8,
    _delete_key: 3,
    _move_key: 3,
    _sign: 14,
    _label: 3,
    _tag_key: 4,
    _untag_key: 2,
    _certificate: 3,
    _set_certificate: 4,
    _delete_certificate: 2,
}
"""The requests of a walk, and how often each of them comes."""


class Walk:
    """A core and the plain rules on the same way."""

    def __init__(self, core: Core, seed: int) -> None:
        self.core = core
        self.plain = PlainHsm()
        self.random = Random(seed)  # noqa: S311 - a failing walk can be taken again
        self.backups: list[tuple[bytes, Records]] = []
        self.done: list[str] = []
        """Every request with its status, for whoever reads a failure."""
        self.succeeded: set[str] = set()
        """The kinds of requests that were answered with 2xx."""

    async def aclose(self) -> None:
        await self.core.hsm.stop()
        self.core.close()

    async def go(self, requests: int) -> None:
        for _ in range(requests):
            chance = self.random.random()
            if chance < 0.01:
                await self.restart()
            elif chance < 0.05:
                await self.back_up()
            elif chance < 0.08:
                await self.restore()
            elif chance < 0.09 and self.backups:
                await self.reset()
            else:
                (kind,) = self.random.choices([*STEPS], [*STEPS.values()])
                role = "Operator" if kind is _sign else "Administrator"
                await self.take(kind(self.random), self.caller(role), kind.__name__)

    def caller(self, role: str = "Administrator") -> By:
        """Return mostly somebody who exists, and most often with this role."""
        users = self.plain.records.users
        chance = self.random.random()
        if chance < 0.03 or not users:
            return None
        if chance < 0.1:
            return self.random.choice(USERS), self.random.choice(PASSPHRASES)
        some = [one for one in users if users[one].role == role]
        user_id = self.random.choice(some if some and chance < 0.7 else [*users])
        return user_id, users[user_id].passphrase

    async def take(self, step: Step, by: By, kind: str) -> Answer:
        self.core.clock.advance(1.5)  # So that no failed login counts any more.
        answer = await self.core.request(
            *(step.method, step.path),
            user=by,
            json=step.json,
            body=step.body,
            headers=step.headers,
        )
        try:
            expected = step.expect(self.plain, by)
        except RefusedError as error:
            expected = Expected(error.status)
        self.done.append(f"{step.method} {step.path} by {by}: {answer.status}")
        assert answer.status == expected.status, self.done[-20:]
        if answer.status < 300:
            self.succeeded.add(kind)
        assert _shows(answer, expected.content), (expected, answer, self.done[-20:])
        assert self.core.hsm.state.name == self.plain.mode.name, self.done[-20:]
        return answer

    async def restart(self) -> None:
        self.done.append("restart")
        await self.aclose()
        core = self.core
        self.core = await started(store=core.store, device_key=core.device_key, clock=core.clock)
        self.plain.restarted()

    async def reset(self) -> None:
        step = Step("POST", "/system/factory-reset", PlainHsm.factory_reset)
        answer = await self.take(step, self.caller(), "reset")
        if answer.status == 204:
            # The platform deletes the store, and the server starts anew.
            await self.aclose()
            self.core, self.plain = await started(clock=self.core.clock), PlainHsm()
            await self.restore()

    async def back_up(self) -> None:
        kept: list[Records] = []

        def expect(plain: PlainHsm, by: By) -> Expected:
            expected, records = plain.backup(by)
            kept.append(records)
            return expected

        by = self.caller("Backup")
        answer = await self.take(Step("POST", "/system/backup", expect), by, "backup")
        if kept:
            self.backups = [*self.backups[-3:], (answer.body, kept[0])]

    async def restore(self) -> None:
        """Restore an old backup. What unlocks the HSM then says whether it is Locked."""
        if not self.backups:
            return
        file, backup = self.random.choice(self.backups)
        passphrase = self.random.choice((backup.backup, backup.backup, "a wrong passphrase"))
        by = self.caller()
        mode, unlock = self.plain.mode, self.core.hsm.local
        wrapped = await unlock.locked_domain_key() if mode is Mode.OPERATIONAL else b""

        def expect(plain: PlainHsm, by: By) -> Expected:
            expected = plain.restore(by, backup, passphrase)
            if self.core.hsm.state.name == "LOCKED":
                plain.mode = Mode.LOCKED
            return expected

        body = form(file, {"backupPassphrase": passphrase})
        step = Step("POST", "/system/restore", expect, body=body, headers=MULTIPART)
        answer = await self.take(step, by, f"restore {mode.name}")
        if answer.status == 204:
            same = mode is Mode.OPERATIONAL and wrapped == await unlock.locked_domain_key()
            assert self.plain.mode is (Mode.OPERATIONAL if same else Mode.LOCKED)


def _shows(answer: Answer, content: Any) -> bool:
    """Whether the answer has the content: an object may have more fields."""
    if content is None:
        return True
    if isinstance(content, bytes):
        return answer.body == content
    shown = json.loads(answer.body)
    if isinstance(content, dict):
        return {name: shown.get(name) for name in content} == content
    return bool(shown == content)


async def test_random_walks_agree_with_the_plain_rules() -> None:
    succeeded: set[str] = set()
    for seed in range(WALKS):
        async with aclosing(Walk(await started(), seed)) as walk:
            await walk.go(REQUESTS)
        succeeded |= walk.succeeded
    wanted = {kind.__name__ for kind in STEPS}
    wanted |= {"backup", "reset", "restore UNPROVISIONED", "restore OPERATIONAL"}
    assert succeeded == wanted
