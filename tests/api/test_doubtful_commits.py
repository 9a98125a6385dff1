"""A store that makes a change durable and then fails: what is remembered must not outlive it.

Every row of the table that changes something is tried with each of its commits failing so. When the
HSM is back from Failed, it must answer everything as one does that was started on the same store.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest

from keystead.api.routes import ROUTES
from keystead.errors import StoreUnavailable
from keystead.operations import recovery
from keystead.storage.key_value_store import Change, Check
from tests.algorithms.reference_curves import CURVES
from tests.support.authority import Authority
from tests.support.backups import MULTIPART, PASSPHRASE, Servers, form, make, set_passphrase
from tests.support.core import ADMIN, UNLOCK, Core, Credentials, b64, start_core
from tests.support.memory_store import MemoryStore

NOW = "2024-01-01T00:00:00Z"
ROOT = Authority("Root")
SECRET = {"data": b64(bytes(range(32)))}
GENERIC = {"type": "Generic", "mechanisms": ["AES_Encryption_CBC"], "private": SECRET}
USER = {"realName": "New", "role": "Operator", "passphrase": "passphrase of new"}
OPERATOR = ("op", "passphrase of op")
CALLERS: list[Credentials] = [
    ADMIN,
    OPERATOR,
    ("op", "another passphrase"),
    ("ns~admin", "passphrase of ns~admin"),
    ("new", USER["passphrase"]),
    ("ns2~admin", "passphrase of ns2~admin"),
]
IDS = {
    "key_id": ["k1", "k2", "k3"],
    "user_id": ["op", "ns~admin", "new"],
    "tag": ["t"],
}

POINT = b"\4" + b"".join(number.to_bytes(32) for number in CURVES["EC_P256"].g or ())
DERIVED = {
    "mode": "ECDH",
    "publicKey": b64(POINT),
    "into": {"id": "k3", "mechanisms": ["AES_Encryption_CBC"]},
}
DECAPSULATED = {"ciphertext": b64(bytes(1088)), "into": DERIVED["into"]}

OPERATIONS = re.compile(rb'"operations":[0-9]+')
"""Those that are not written yet are lost by a restart."""

CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "POST /keys": ("/keys", {"json": GENERIC}),
    "POST /keys/generate": (
        "/keys/generate",
        {"json": {"id": "k3", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}},
    ),
    "PUT /keys/{key_id}": ("/keys/k3", {"json": GENERIC}),
    "DELETE /keys/{key_id}": ("/keys/k1", {}),
    "PUT /keys/{key_id}/label": ("/keys/k2/label", {"json": {"label": "a label"}}),
    "DELETE /keys/{key_id}/label": ("/keys/k1/label", {}),
    "POST /keys/{key_id}/derive": ("/keys/k1/derive", {"user": OPERATOR, "json": DERIVED}),
    "POST /keys/{key_id}/decapsulate": (
        "/keys/k4/decapsulate",
        {"user": OPERATOR, "json": DECAPSULATED},
    ),
    "POST /keys/{key_id}/move": ("/keys/k1/move", {"json": {"newId": "k3"}}),
    "PUT /keys/{key_id}/cert": (
        "/keys/k2/cert",
        {"body": b"cert", "headers": {"content-type": "application/octet-stream"}},
    ),
    "DELETE /keys/{key_id}/cert": ("/keys/k1/cert", {}),
    "PUT /keys/{key_id}/policy": ("/keys/k2/policy", {"json": {"enabled": False, "maxUses": 5}}),
    "DELETE /keys/{key_id}/policy": ("/keys/k1/policy", {}),
    "PUT /keys/{key_id}/restrictions/tags/{tag}": ("/keys/k1/restrictions/tags/u", {}),
    "DELETE /keys/{key_id}/restrictions/tags/{tag}": ("/keys/k1/restrictions/tags/t", {}),
    "POST /keys/{key_id}/approvals": (
        "/keys/k5/approvals",
        {"user": OPERATOR, "json": {"reason": "another"}},
    ),
    "POST /approvals/{approval_id}/approve": ("/approvals/{}/approve", {}),
    "POST /approvals/{approval_id}/refuse": ("/approvals/{}/refuse", {}),
    "PUT /namespaces/{namespace_id}": ("/namespaces/ns2", {}),
    "DELETE /namespaces/{namespace_id}": ("/namespaces/ns", {}),
    "PUT /namespaces/{namespace_id}/quota": ("/namespaces/ns/quota", {"json": {"keys": 1}}),
    "POST /users": ("/users", {"json": USER}),
    "PUT /users/{user_id}": ("/users/new", {"json": USER}),
    "POST /users/{user_id}": ("/users/new~", {"json": USER}),
    "DELETE /users/{user_id}": ("/users/op", {}),
    "POST /users/{user_id}/passphrase": (
        "/users/op/passphrase",
        {"json": {"passphrase": "another passphrase"}},
    ),
    "PUT /users/{user_id}/tags/{tag}": ("/users/op/tags/u", {}),
    "DELETE /users/{user_id}/tags/{tag}": ("/users/op/tags/t", {}),
    "PUT /config/unlock-passphrase": (
        "/config/unlock-passphrase",
        {"json": {"newPassphrase": "another to unlock", "currentPassphrase": UNLOCK}},
    ),
    "PUT /config/backup-passphrase": (
        "/config/backup-passphrase",
        {"json": {"newPassphrase": "another to back up", "currentPassphrase": PASSPHRASE}},
    ),
    "PUT /config/unattended-boot": ("/config/unattended-boot", {"json": {"status": "on"}}),
    "PUT /config/time": ("/config/time", {"json": {"time": "2040-01-01T00:00:00Z"}}),
    "PUT /config/network": (
        "/config/network",
        {
            "json": {
                "ipAddress": "192.0.2.7",
                "netmask": "255.255.255.0",
                "gateway": "192.0.2.1",
            }
        },
    ),
    "PUT /config/logging": (
        "/config/logging",
        {"json": {"ipAddress": "192.0.2.9", "port": 514, "logLevel": "error"}},
    ),
    "PUT /config/journal": ("/config/journal", {"json": {"uses": "each"}}),
    "PUT /config/ntp": ("/config/ntp", {"json": {"ntsName": "time.example.com"}}),
    "POST /config/tls/generate": ("/config/tls/generate", {"json": {"type": "EC_P256"}}),
    "PUT /config/tls/cert.pem": ("/config/tls/cert.pem", {"body": "chain"}),
    "PUT /config/tls/cluster-ca.pem": ("/config/tls/cluster-ca.pem", {"body": "authority"}),
    "PUT /system/identity/cert.pem": ("/system/identity/cert.pem", {"body": "identity"}),
    "POST /system/restore": ("/system/restore", {"body": "backup", "headers": MULTIPART}),
    "POST /system/backup": ("/system/backup", {"user": ("backup", "passphrase of backup")}),
}
"""A request of each row that changes the store."""

NO_CHANGE = {
    *(f"POST /{path}" for path in ("provision", "unlock", "lock", "random", "cluster/join")),
    *(f"POST /keys/{{key_id}}/{use}" for use in ("csr.pem", "sign", "decrypt", "encrypt")),
    *(f"POST /keys/{{key_id}}/{use}" for use in ("verify", "encapsulate")),
    "POST /config/tls/csr.pem",
    "POST /system/identity/csr.pem",
    "POST /system/attestation",
    "POST /keys/{key_id}/attestation",
    "DELETE /journal",
    *(f"{method} /cluster/members/{{member_id}}" for method in ("PUT", "DELETE")),
    "POST /cluster/members",
    "POST /cluster/members/{member_id}/promote",
    "POST /cluster/force-new",
    *(f"POST /system/{what}" for what in ("reboot", "factory-reset", "shutdown")),
    *(f"POST /system/{what}" for what in ("update", "commit-update", "cancel-update")),
}
"""Rows that do not write to the store; provisioning has a test of its own."""


class DoubtfulStore(MemoryStore):
    """Raises after the commit that a test chooses, which is made all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        revision = await super().commit(changes, checks=checks)
        self.left -= 1
        if self.left == 0:
            raise StoreUnavailable("The store does not answer.")
        return revision


def test_every_row_that_can_change_something_is_tried():
    rows = {f"{row.method} {row.path}" for row in ROUTES if row.method != "GET"}
    assert rows == CHANGES.keys() | NO_CHANGE, (
        "a new row belongs in CHANGES or in NO_CHANGE of this file"
    )


async def furnished(store: MemoryStore) -> Core:
    core = await start_core(store=store)
    core.hsm.tls.servers = Servers()
    await core.provision()
    await core.add_user("op", "Operator")
    await core.add_user("backup", "Backup")
    await core.request("PUT", "/users/op/tags/t", user=ADMIN)
    await core.add_user("ns2~admin", "Administrator")
    namespaced = await core.add_namespace("ns")
    for key_id, by in (("k1", ADMIN), ("k2", ADMIN), ("k1", namespaced)):
        await core.generate(key_id, "EC_P256", "ECDSA_Signature", "ECDH_Derivation", by=by)
    await core.generate("k4", "ML_KEM_768", "ML_KEM_Decapsulation")
    await core.request("PUT", "/keys/k1/label", user=ADMIN, json={"label": "first"})
    await core.request("PUT", "/keys/k1/restrictions/tags/t", user=ADMIN)
    await core.generate("k5", "EC_P256", "ECDSA_Signature")
    rule = {"required": 1, "approvers": ["admin"], "validSeconds": 86400, "uses": 1}
    await core.request("PUT", "/keys/k5/policy", user=ADMIN, json={"approvals": rule})
    wanted = {"reason": "the first"}
    await core.request("POST", "/keys/k5/approvals", user=OPERATOR, json=wanted)
    await core.request("PUT", "/keys/k1/policy", user=ADMIN, json={"maxPerMinute": 9999})
    octets = {"content-type": "application/octet-stream"}
    await core.request("PUT", "/keys/k1/cert", user=ADMIN, body=b"first", headers=octets)
    assert await set_passphrase(core, PASSPHRASE) == 204
    return core


async def answers(core: Core) -> dict[str, Any]:
    """Return what the HSM answers to every row that shows something, to each caller."""
    paths = [row.path for row in ROUTES if row.method == "GET" and "{" not in row.path]
    paths = [path for path in paths if not path.startswith("/journal")]  # It grows as we ask.
    paths += [
        row.path.replace(f"{{{name}}}", value).rstrip("*")
        for row in ROUTES
        for name, values in IDS.items()
        for value in values
        if row.method == "GET" and f"{{{name}}}" in row.path
    ]
    found: dict[str, Any] = {}
    for user in CALLERS:
        for path in sorted(set(paths) - {"/metrics", "/health/lockouts", "/openapi.json"}):
            core.clock.advance(2)
            answer = await core.request("GET", path, user=user)
            body = b"" if path == "/config/time" else OPERATIONS.sub(b"", answer.body)
            found[f"{user} {path}"] = (answer.status, body)
        for key_id in IDS["key_id"]:
            wanted = {"mode": "ECDSA", "message": b64(bytes(32))}
            answer = await core.request("POST", f"/keys/{key_id}/sign", user=user, json=wanted)
            found[f"{user} signs with {key_id}"] = answer.status
    found["time"] = core.hsm.time.now() - core.clock()
    found["log"] = core.hsm.log.threshold
    found["TLS"] = core.hsm.tls.identity.chain
    return found


async def arranged(core: Core, row: str) -> tuple[str, dict[str, Any]]:
    """Return a row's request, with what only this HSM can give in it."""
    path, given = CHANGES[row]
    request = {"user": ADMIN} | given
    body = request.get("body")
    pem = {"content-type": "application/x-pem-file"}
    if path.startswith("/approvals/"):
        (asked,) = (await core.request("GET", "/approvals", user=ADMIN)).json()
        path = path.format(asked["id"])
    if body in ("chain", "authority", "identity"):
        wanted = {"commonName": "keystead"}
        where = "/system/identity" if body == "identity" else "/config/tls"
        csr = await core.request("POST", f"{where}/csr.pem", user=ADMIN, json=wanted)
        request |= {"body": ROOT.sign(csr.body), "headers": pem}
    if body == "authority":
        signed = await core.request("PUT", "/config/tls/cert.pem", **request)
        assert signed.status == 201, signed
        request["body"] = ROOT.pem
    if body == "backup":
        file = await make(core, ("backup", "passphrase of backup"))
        assert (await core.request("DELETE", "/keys/k2", user=ADMIN)).status == 204
        request["body"] = form(file, {"backupPassphrase": PASSPHRASE})
    return path, request


async def settled(core: Core) -> None:
    async with asyncio.timeout(5):
        while core.hsm.state.value == "Failed":  # noqa: ASYNC110  only asking tells
            await asyncio.sleep(0.005)


async def compare(core: Core, *, passphrases: Sequence[str] = (UNLOCK, "another to unlock")):
    """Raise unless the HSM answers as one does that was started on its store just now."""
    again = await core.restarted()
    for passphrase in passphrases:
        core.clock.advance(2)
        await again.request("POST", "/unlock", json={"passphrase": passphrase})
    assert core.hsm.state is again.hsm.state
    assert await answers(core) == await answers(again)


TRACED = 8
"""So many of the rows are traced. The others reach the same lines, and take half as long so."""
ROWS = [
    pytest.param(row, marks=pytest.mark.no_cover if number >= TRACED else ())
    for number, row in enumerate(CHANGES)
]


@pytest.mark.parametrize("row", ROWS)
async def test_after_a_commit_in_doubt_an_hsm_answers_as_a_restarted_one(row, monkeypatch):
    monkeypatch.setattr(recovery, "STORE_RETRY_SECONDS", 0.005)
    for commit in range(1, 10):
        store = DoubtfulStore()
        core = await furnished(store)
        path, request = await arranged(core, row)
        await answers(core)  # Now everything is remembered that can be.
        store.left = commit
        method = row.partition(" ")[0]
        answer = await core.request(method, path, **request)
        was_in_doubt = store.left <= 0
        store.left = 0
        await settled(core)
        if core.hsm.state.value == "Operational":
            await compare(core)
        core.close()
        if not was_in_doubt:
            assert commit > 1, f"`furnished` has to make what the request needs: {answer}"
            return
    raise AssertionError("more commits than were expected")


@pytest.mark.parametrize("way", ["provision", "restore"])
async def test_an_hsm_that_was_provisioned_in_doubt_is_provisioned(way, monkeypatch):
    monkeypatch.setattr(recovery, "STORE_RETRY_SECONDS", 0.005)
    source = await furnished(DoubtfulStore())
    file = await make(source, ("backup", "passphrase of backup"))
    wanted = {"unlockPassphrase": UNLOCK, "adminPassphrase": ADMIN[1], "systemTime": NOW}
    states = set()
    for commit in range(1, 20):
        store = DoubtfulStore()
        core = await start_core(store=store)
        core.hsm.tls.servers = Servers()
        store.left = commit
        if way == "provision":
            answer = await core.request("POST", "/provision", json=wanted)
        else:
            body = form(file, {"backupPassphrase": PASSPHRASE})
            answer = await core.request("POST", "/system/restore", body=body, headers=MULTIPART)
        store.left = 0
        await settled(core)
        again = await core.restarted()
        if answer.status != 204:
            assert (answer.status, core.hsm.state) == (503, again.hsm.state)
        states.add((answer.status, core.hsm.state.value))
        core.close()
        if answer.status == 204:
            break
    assert (503, "Locked") in states
    source.close()
