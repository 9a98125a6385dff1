"""/keys/{id}/policy: who sets it, and which uses it refuses."""

import asyncio
import contextlib

import pytest

from keystead.model.keys import KeyPath
from keystead.storage.key_value_store import Change
from tests.api.test_put_back import contents
from tests.support.backups import PASSPHRASE, make, restore, set_passphrase, started, unlock
from tests.support.core import ADMIN, UNLOCK, Answer, Core, Credentials, b64, start_core
from tests.support.memory_store import MemoryStore
from tests.support.stores import Crash, WatchedStore

DIGEST = b64(bytes(32))
NEVER = {"enabled": False}


async def put(core: Core, key: str, policy: object, *, user: Credentials = ADMIN) -> Answer:
    return await core.request("PUT", f"/keys/{key}/policy", user=user, json=policy)


async def set_policy(core: Core, key: str, **policy: object) -> None:
    answer = await put(core, key, policy)
    assert answer.status == 204, answer


async def shown(core: Core, key: str) -> dict:
    return (await core.request("GET", f"/keys/{key}/policy", user=ADMIN)).json()


async def sign(core: Core, key: str, user: Credentials, **more: object) -> Answer:
    wanted = {"mode": "ECDSA", "message": DIGEST} | more
    wanted = {name: value for name, value in wanted.items() if value is not None}
    return await core.request("POST", f"/keys/{key}/sign", user=user, json=wanted)


async def sign_many(core: Core, key: str, user: Credentials, count: int) -> Answer:
    return await sign(core, key, user, message=None, messages=[DIGEST] * count)


def forbidden(answer: Answer, rule: str) -> bool:
    return answer.status == 403 and rule in answer.message


async def new_key(core: Core, *mechanisms: str, kind: str = "EC_P256") -> str:
    names = mechanisms or ("ECDSA_Signature",)
    wanted = {"type": kind, "mechanisms": names} | ({"length": 256} if kind == "Generic" else {})
    answer = await core.request("POST", "/keys/generate", user=ADMIN, json=wanted)
    assert answer.status == 201, answer
    return answer.json()["id"]


async def test_a_policy_is_set_shown_and_removed(core: Core, operator: Credentials) -> None:
    key = await new_key(core)
    path = f"/keys/{key}/policy"
    assert (await core.request("GET", path, user=ADMIN)).status == 404
    assert (await core.request("DELETE", path, user=ADMIN)).status == 404
    policy = {"clients": ["192.0.2.0/24"], "modes": ["ECDSA"], "maxUses": 7}
    assert (await put(core, key, policy, user=operator)).status == 403
    await set_policy(core, key, **policy)
    answer = await core.request("GET", path, user=operator)
    assert answer.json() == policy | {"usesLeft": 7}
    assert (await core.request("DELETE", path, user=ADMIN)).status == 204
    assert (await core.request("GET", path, user=ADMIN)).status == 404
    assert (await core.request("GET", "/keys/none/policy", user=ADMIN)).status == 404
    assert (await put(core, "none", {"surprise": 1})).status == 404


async def test_a_change_can_depend_on_the_policy_that_was_read(core: Core) -> None:
    key = await new_key(core)
    path = f"/keys/{key}/policy"
    only_new = {"if-none-match": "*"}
    for expected in (204, 412):
        answer = await core.request("PUT", path, user=ADMIN, json=NEVER, headers=only_new)
        assert answer.status == expected
    tag = (await core.request("GET", path, user=ADMIN)).headers["ETag"]
    await set_policy(core, key, maxPerMinute=1)
    stale = {"if-match": tag}
    assert (await core.request("DELETE", path, user=ADMIN, headers=stale)).status == 412
    tag = (await core.request("GET", path, user=ADMIN)).headers["ETag"]
    fresh = {"if-match": tag}
    assert (await core.request("DELETE", path, user=ADMIN, headers=fresh)).status == 204


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"surprise": 1}, "surprise"),
        ({"maxUses": 0}, "maxUses"),
        ({"notBefore": "2026-01-02T00:00:00Z", "notAfter": "2026-01-01T00:00:00Z"}, "later"),
        ({"clients": ["192.0.2.1/8"]}, "clients"),
        ({"modes": ["EdDSA"]}, "EdDSA"),
        ({"modes": ["PKCS1"]}, "PKCS1"),
        ({"enabled": None}, "enabled"),
        ([], "object"),
    ],
)
async def test_a_policy_that_does_not_fit_is_400_with_the_reason(
    core: Core, policy: object, reason: str
) -> None:
    key = await new_key(core)
    answer = await put(core, key, policy)
    assert (answer.status, reason in answer.message) == (400, True), answer
    assert (await core.request("GET", f"/keys/{key}/policy", user=ADMIN)).status == 404


async def test_a_frozen_policy_stays_until_the_key_is_deleted(core: Core) -> None:
    key = await new_key(core)
    await set_policy(core, key, frozen=True, maxUses=5)
    assert (await put(core, key, {})).status == 409
    assert (await core.request("DELETE", f"/keys/{key}/policy", user=ADMIN)).status == 409
    move = await core.request("POST", f"/keys/{key}/move", user=ADMIN, json={"newId": f"{key}-x"})
    assert move.status == 200
    assert await shown(core, f"{key}-x") == {"frozen": True, "maxUses": 5, "usesLeft": 5}
    assert (await core.request("DELETE", f"/keys/{key}-x", user=ADMIN)).status == 204


USES = [
    ("EC_P256", "ECDSA_Signature", "sign", {"mode": "ECDSA", "message": DIGEST}),
    ("EC_P256", "ECDSA_Signature", "sign", {"mode": "ECDSA", "messages": [DIGEST]}),
    ("Generic", "HMAC_SHA256", "sign", {"mode": "HMAC_SHA256", "message": DIGEST}),
    (
        "Generic",
        "HMAC_SHA256",
        "verify",
        {"mode": "HMAC_SHA256", "message": DIGEST, "signature": DIGEST},
    ),
    ("Generic", "AES_Encryption_GCM", "encrypt", {"mode": "AES_GCM", "message": DIGEST}),
    (
        "Generic",
        "AES_Decryption_GCM",
        "decrypt",
        {"mode": "AES_GCM", "encrypted": DIGEST, "iv": b64(bytes(12)), "tag": b64(bytes(16))},
    ),
    ("Generic", "HKDF_SHA256", "derive", {"mode": "HKDF_SHA256", "length": 32}),
    (
        "Generic",
        "HKDF_SHA256",
        "derive",
        {"mode": "HKDF_SHA256", "length": 32, "into": {"mechanisms": ["HMAC_SHA256"]}},
    ),
    ("ML_KEM_768", "ML_KEM_Decapsulation", "decapsulate", {"ciphertext": b64(bytes(1088))}),
    ("ML_KEM_768", "ML_KEM_Decapsulation", "encapsulate", {}),
    ("EC_P256", "ECDSA_Signature", "csr.pem", {"commonName": "x"}),
]


@pytest.mark.parametrize(("kind", "mechanism", "verb", "wanted"), USES)
async def test_a_key_that_is_not_enabled_does_nothing(
    core: Core, operator: Credentials, kind: str, mechanism: str, verb: str, wanted: object
) -> None:
    key = await new_key(core, mechanism, kind=kind)
    path = f"/keys/{key}/{verb}"
    before = await core.request("POST", path, user=operator, json=wanted)
    assert before.status in {200, 201, 400}
    await set_policy(core, key, **NEVER)
    assert forbidden(await core.request("POST", path, user=operator, json=wanted), "enabled")
    assert (await core.request("GET", f"/keys/{key}", user=operator)).status == 200


async def test_a_signature_is_checked_with_the_public_half_under_any_policy(
    core: Core, operator: Credentials
) -> None:
    key = await new_key(core)
    signature = (await sign(core, key, operator)).json()["signature"]
    await set_policy(core, key, **NEVER)
    wanted = {"mode": "ECDSA", "message": DIGEST, "signature": signature}
    answer = await core.request("POST", f"/keys/{key}/verify", user=operator, json=wanted)
    assert answer.json() == {"valid": True}


async def test_a_certificate_request_is_of_the_mode_that_signs_certificates(
    core: Core, operator: Credentials
) -> None:
    wanted = ("RSA_Signature_PSS_SHA256", "RSA_Signature_PKCS1")
    answer = await core.request(
        "POST",
        "/keys/generate",
        user=ADMIN,
        json={"type": "RSA", "length": 2048, "mechanisms": wanted},
    )
    key = answer.json()["id"]
    for modes, expected in ((["PSS_SHA256"], 403), (["PKCS1"], 200)):
        await set_policy(core, key, modes=modes)
        for user in (ADMIN, operator):
            path = f"/keys/{key}/csr.pem"
            answer = await core.request("POST", path, user=user, json={"commonName": "x"})
            assert answer.status == expected


async def test_times_are_those_of_the_hsm_and_say_when_to_come_back(
    core: Core, operator: Credentials
) -> None:
    key = await new_key(core)
    await set_policy(core, key, notBefore="2100-01-01T00:00:00Z")
    answer = await sign(core, key, operator)
    assert forbidden(answer, "notBefore")
    assert int(answer.headers["Retry-After"]) > 0
    await set_policy(core, key, notAfter="2001-01-01T00:00:00Z")
    answer = await sign(core, key, operator)
    assert forbidden(answer, "notAfter")
    assert "Retry-After" not in answer.headers


async def test_a_clock_that_is_set_gives_no_use_and_no_minute_back(
    core: Core, operator: Credentials
) -> None:
    key = await new_key(core)
    times = {"notBefore": "2024-01-01T00:00:00Z", "notAfter": "2024-01-01T12:00:00Z"}
    await set_policy(core, key, maxUses=3, maxPerMinute=2, **times)
    answers = []
    for day in ("2024-01-01", "2023-12-31", "2024-01-02", "2024-01-01", "2024-01-01"):
        wanted = {"time": f"{day}T06:00:00Z"}
        assert (await core.request("PUT", "/config/time", user=ADMIN, json=wanted)).status == 204
        answers.append(await sign(core, key, operator))
    assert [answer.status for answer in answers] == [200, 403, 403, 200, 403]
    for answer, rule in zip(answers[1::3], ("notBefore", "maxPerMinute"), strict=True):
        assert forbidden(answer, rule)
        assert int(answer.headers["Retry-After"]) > 0
    assert forbidden(answers[2], "notAfter")
    assert (await shown(core, key))["usesLeft"] == 1


async def test_only_the_named_networks_and_modes_are_served(
    core: Core, operator: Credentials
) -> None:
    key = await new_key(core)
    await set_policy(core, key, clients=["192.0.2.0/24"])
    assert (await sign(core, key, operator)).status == 200
    wanted = {"mode": "ECDSA", "message": DIGEST}
    path = f"/keys/{key}/sign"
    elsewhere = await core.request("POST", path, user=operator, json=wanted, client="198.51.100.1")
    assert forbidden(elsewhere, "clients")
    await set_policy(core, key, modes=[])
    assert forbidden(await sign(core, key, operator), "modes")


@pytest.mark.parametrize("limit", [5, 2000])
async def test_max_uses_counts_exactly_also_when_all_come_at_once(
    core: Core, operator: Credentials, limit: int
) -> None:
    key = await new_key(core)
    await set_policy(core, key, maxUses=limit)
    some = limit // 5
    assert (await sign_many(core, key, operator, some)).status == 200
    assert (await shown(core, key))["usesLeft"] == limit - some
    answers = await asyncio.gather(*(sign_many(core, key, operator, some) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] * 4 + [403] * 4
    assert forbidden(await sign(core, key, operator), "maxUses")
    assert (await shown(core, key))["usesLeft"] == 0
    await set_policy(core, key, maxUses=limit)
    assert (await sign(core, key, operator)).status == 200


async def test_a_batch_over_what_is_left_is_refused_whole(
    core: Core, operator: Credentials
) -> None:
    key = await new_key(core)
    await set_policy(core, key, maxUses=3)
    assert forbidden(await sign_many(core, key, operator, 4), "maxUses")
    assert (await sign_many(core, key, operator, 3)).status == 200


async def test_what_was_not_used_is_not_counted(core: Core, operator: Credentials) -> None:
    key = await new_key(core)
    await set_policy(core, key, maxUses=2, maxPerMinute=2)
    for _ in range(3):
        bad = await sign(core, key, operator, message=None, messages=[DIGEST, b64(b"short")])
        assert bad.status == 400
        assert (await sign(core, key, operator, message=b64(b"short"))).status == 400
        assert (await sign(core, key, operator, context="")).status == 400
    assert (await sign_many(core, key, operator, 2)).status == 200
    assert (await sign(core, key, operator)).status == 403


async def test_a_refused_caller_leases_nothing(core: Core, operator: Credentials) -> None:
    key = await new_key(core)
    await set_policy(core, key, maxUses=5, clients=[])
    revision = (await core.hsm.session.keys.get(KeyPath(None, key))).revision
    assert forbidden(await sign(core, key, operator), "clients")
    assert (await core.hsm.session.keys.get(KeyPath(None, key))).revision == revision


async def test_max_per_minute_holds_in_any_minute(core: Core, operator: Credentials) -> None:
    key = await new_key(core)
    await set_policy(core, key, maxPerMinute=3)
    assert (await sign_many(core, key, operator, 2)).status == 200
    core.clock.advance(30)
    assert (await sign(core, key, operator)).status == 200
    answer = await sign(core, key, operator)
    assert forbidden(answer, "maxPerMinute")
    wait = int(answer.headers["Retry-After"])
    assert 30 <= wait <= 31
    never = await sign_many(core, key, operator, 4)
    assert forbidden(never, "more uses than")
    assert "Retry-After" not in never.headers
    core.clock.advance(wait)
    assert (await sign_many(core, key, operator, 2)).status == 200
    assert (await sign(core, key, operator)).status == 403
    await core.hsm.session.flush_counters()  # It forgets only what is over.
    assert (await sign(core, key, operator)).status == 403


@pytest.mark.parametrize(("limit", "lost"), [(10, 0), (5000, 500)])
async def test_a_crash_loses_at_most_a_lease_and_a_lock_nothing(limit: int, lost: int) -> None:
    store = MemoryStore()
    core = await start_core(store=store)
    await core.provision()
    operator = await core.add_user("op", "Operator")
    key = await new_key(core)
    await set_policy(core, key, maxUses=limit)
    for _ in range(3):
        assert (await sign(core, key, operator)).status == 200
    crashed = await start_core(store=store, device_key=core.device_key)
    unlock = {"passphrase": "unlockPassphrase"}
    assert (await crashed.request("POST", "/unlock", json=unlock)).status == 204
    left = (await shown(crashed, key))["usesLeft"]
    assert left == limit - max(3, lost)
    assert (await sign(crashed, key, operator)).status == 200
    assert (await crashed.request("POST", "/lock", user=ADMIN)).status == 204
    assert (await crashed.request("POST", "/unlock", json=unlock)).status == 204
    assert (await shown(crashed, key))["usesLeft"] == left - 1


# --- restore ---


async def restored(core: Core, file: bytes, **arguments: str) -> None:
    answer = await restore(core, file, ADMIN, backupPassphrase=PASSPHRASE, **arguments)
    assert answer.status == 204, answer
    if core.hsm.state.value == "Locked":
        assert await unlock(core) == 204


@pytest.mark.parametrize("unlock_then", [UNLOCK, "another to unlock"])
async def test_a_restore_never_gives_uses_back_to_a_key_that_is_there(unlock_then: str) -> None:
    core = await started()
    await core.provision()
    backup, operator = await core.add_user("b", "Backup"), await core.add_user("op", "Operator")
    assert await set_passphrase(core, PASSPHRASE) == 204
    used, limited, frozen, deleted, gone = [await new_key(core) for _ in range(5)]
    for key in (used, deleted):
        await set_policy(core, key, maxUses=5)
    file = await make(core, backup)
    assert (await sign_many(core, used, operator, 4)).status == 200
    await set_policy(core, limited, maxUses=3)
    await set_policy(core, frozen, frozen=True, enabled=False)
    await set_policy(core, gone, enabled=False)
    assert (await core.request("DELETE", f"/keys/{deleted}", user=ADMIN)).status == 204
    if unlock_then != UNLOCK:
        change = {"newPassphrase": unlock_then, "currentPassphrase": UNLOCK}
        path = "/config/unlock-passphrase"
        assert (await core.request("PUT", path, user=ADMIN, json=change)).status == 204
    await restored(core, file)
    assert await shown(core, used) == {"maxUses": 5, "usesLeft": 1}
    assert await shown(core, limited) == {"maxUses": 3, "usesLeft": 3}
    assert await shown(core, frozen) == {"frozen": True, "enabled": False}
    assert await shown(core, deleted) == {"maxUses": 5, "usesLeft": 5}
    assert (await core.request("GET", f"/keys/{gone}/policy", user=ADMIN)).status == 404
    assert await core.store.list("/1/kept", "/1/kepu", limit=9) == []


async def with_one_use_left(core: Core) -> tuple[str, bytes]:
    """Provision a core. Return a key with one use left, and a backup with more of them."""
    await core.provision()
    backup, operator = await core.add_user("b", "Backup"), await core.add_user("op", "Operator")
    assert await set_passphrase(core, PASSPHRASE) == 204
    key = await new_key(core)
    await set_policy(core, key, maxUses=5)
    file = await make(core, backup)
    assert (await sign_many(core, key, operator, 4)).status == 200
    return key, file


async def locked_after_a_restore() -> tuple[Core, str]:
    """Return a core after a restore that must not give uses back, and a key with one left."""
    core = await started()
    key, file = await with_one_use_left(core)
    change = {"newPassphrase": "another to unlock", "currentPassphrase": UNLOCK}
    path = "/config/unlock-passphrase"
    assert (await core.request("PUT", path, user=ADMIN, json=change)).status == 204
    assert (await restore(core, file, ADMIN, backupPassphrase=PASSPHRASE)).status == 204
    assert core.hsm.state.value == "Locked"
    return core, key


@pytest.mark.parametrize("pattern", ["/1/kept-policy/", "/1/kept-policy-pages", "/1/kept"])
async def test_what_a_restore_keeps_cannot_be_removed_from_the_store(pattern: str) -> None:
    core, key = await locked_after_a_restore()
    paths = await core.store.list(pattern, pattern + "\U0010ffff", limit=9)
    assert paths
    removed = [Change(path, None) for path in paths]
    kept = [Change(path, (await core.store.get(path)).value) for path in paths]
    await core.store.commit(removed)
    assert await unlock(core) == 500
    assert (await core.request("GET", "/health/state")).json() == {"state": "Locked"}
    assert any("is not the one that was written last" in line for line in core.log_lines)
    await core.store.commit(kept)
    assert await unlock(core) == 204
    assert await shown(core, key) == {"maxUses": 5, "usesLeft": 1}
    core.close()


async def test_a_crash_at_any_commit_of_the_unlock_after_a_restore_gives_no_use_back() -> None:
    core, key = await locked_after_a_restore()
    records = await contents(core.store)
    status, made = 0, 0
    while status != 204:
        store = WatchedStore()
        await store.commit([Change(path, value) for path, value in records.items()])
        other = await start_core(store=store, device_key=core.device_key, pools=core.pools)
        store.crash_after(made)
        with contextlib.suppress(Crash):
            status = await unlock(other)
        store.before_commit = lambda: None
        again = await other.restarted()
        assert await unlock(again) == 204
        assert await shown(again, key) == {"maxUses": 5, "usesLeft": 1}
        assert await store.kept.list("/1/kept", "/1/kepu", limit=9) == []
        made += 1
    assert made > 3
    core.close()
