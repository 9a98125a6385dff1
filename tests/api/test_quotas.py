"""/namespaces/{id}/quota: what a namespace may hold."""

import asyncio

import pytest

from tests.support.backups import furnished, make, restore
from tests.support.core import ADMIN, Answer, Core, b64

PATH = "/namespaces/ns/quota"
BYTES = {"content-type": "application/octet-stream"}
OPERATOR = {"realName": "x", "role": "Operator", "passphrase": "a long passphrase"}
GENERATED = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
IMPORTED = {
    "type": "Generic",
    "mechanisms": ["AES_Encryption_CBC"],
    "private": {"data": b64(bytes(32))},
}


async def set_quota(core: Core, **quota: object) -> None:
    answer = await core.request("PUT", PATH, user=ADMIN, json=quota)
    assert answer.status == 204, answer


def refused(answer: Answer, reason: str) -> bool:
    return answer.status == 409 and reason in answer.message


async def test_it_is_without_limits_until_they_are_set(core: Core) -> None:
    await core.add_namespace("ns")
    assert (await core.request("GET", PATH, user=ADMIN)).json() == {}
    await set_quota(core, keys=5, keyBytes=10000)
    shown = await core.request("GET", PATH, user=ADMIN)
    assert shown.json() == {"keys": 5, "keyBytes": 10000}
    stale = {"if-match": '"another"'}
    answer = await core.request("PUT", PATH, user=ADMIN, json={}, headers=stale)
    assert answer.status == 412
    tag = {"if-match": shown.headers["ETag"]}
    assert (await core.request("PUT", PATH, user=ADMIN, json={}, headers=tag)).status == 204
    assert (await core.request("GET", PATH, user=ADMIN)).json() == {}


@pytest.mark.parametrize("quota", [{"keys": -1}, {"users": 1.5}, {"bytes": 1}, {"keys": 2**53}, []])
async def test_what_is_no_quota_is_400(core: Core, quota: object) -> None:
    await core.request("PUT", "/namespaces/ns", user=ADMIN)
    assert (await core.request("PUT", PATH, user=ADMIN, json=quota)).status == 400


async def test_a_namespace_that_is_not_there_has_none(core: Core) -> None:
    for method in ("GET", "PUT"):
        answer = await core.request(method, "/namespaces/nowhere/quota", user=ADMIN, json={})
        assert answer.status == 404


async def test_a_full_namespace_is_refused_everything_that_adds_and_the_root_nothing(
    fresh_core: Core,
) -> None:
    core = fresh_core
    await core.provision()
    by = await core.add_namespace("ns")
    await core.generate("key", "EC_P256", "ECDSA_Signature", by=by)
    await set_quota(core, keys=1, users=1, keyBytes=1)
    keys = [
        await core.request("POST", "/keys/generate", user=by, json=GENERATED),
        await core.request("POST", "/keys", user=by, json=IMPORTED),
        await core.request("PUT", "/keys/new", user=by, json=IMPORTED),
    ]
    assert all(refused(answer, "may hold 1 key,") for answer in keys)
    longer = [
        await core.request("PUT", "/keys/key/cert", user=by, body=b"x", headers=BYTES),
        await core.request("PUT", "/keys/key/label", user=by, json={"label": "x"}),
        await core.request("PUT", "/keys/key/restrictions/tags/x", user=by),
    ]
    assert all(refused(answer, "may hold 1 byte of keys,") for answer in longer)
    user = await core.request("POST", "/users", user=by, json=OPERATOR)
    assert refused(user, "may hold 1 user,")
    assert (await core.request("POST", "/keys/generate", user=ADMIN, json=GENERATED)).status == 201
    assert (await core.request("DELETE", "/keys/key", user=by)).status == 204


async def test_two_at_once_do_not_both_get_the_last_place(fresh_core: Core) -> None:
    core = fresh_core
    await core.provision()
    by = await core.add_namespace("ns")
    await set_quota(core, keys=1, users=2)
    for path, wanted in (("/keys/generate", GENERATED), ("/users", OPERATOR)):
        both = [core.request("POST", path, user=by, json=wanted) for _ in range(2)]
        assert sorted(answer.status for answer in await asyncio.gather(*both)) == [201, 409]


async def test_a_restore_brings_its_own_quota_and_is_not_held_to_the_present_one() -> None:
    core, backup, _ = await furnished()
    by = ("ns~admin", "passphrase of ns~admin")
    await set_quota(core, keys=1)
    file = await make(core, backup)
    await set_quota(core, keys=0)
    assert (await restore(core, file, user=ADMIN)).status == 204
    assert (await core.request("GET", PATH, user=ADMIN)).json() == {"keys": 1}
    assert (await core.request("GET", "/keys/theirs", user=by)).status == 200
    refusal = await core.request("POST", "/keys/generate", user=by, json=GENERATED)
    assert refused(refusal, "may hold 1 key,")
