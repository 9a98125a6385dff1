"""How each key came into the HSM, and when: recorded with the key, and it stays with the key."""

from keystead.model.ids import KeyId
from keystead.model.keys import KeyPath, KeyRecord, Origin
from tests.support.backups import furnished, make, restore, started, unlock
from tests.support.core import ADMIN, Core, b64


async def record(core: Core, key_id: str) -> KeyRecord:
    key = await core.hsm.session.keys.get(KeyPath(None, KeyId(key_id)))
    assert key is not None
    return key.record


async def add_one_of_each_origin(core: Core) -> None:
    await core.generate("generated", "EC_P256", "ECDSA_Signature")
    wanted = {"type": "Generic", "mechanisms": ["HKDF_SHA256"], "private": {"data": b64(bytes(32))}}
    assert (await core.request("PUT", "/keys/imported", user=ADMIN, json=wanted)).status == 204
    operator = await core.add_user("deriver", "Operator")
    into = {"id": "derived", "mechanisms": ["HMAC_SHA256"]}
    wanted = {"mode": "HKDF_SHA256", "length": 32, "into": into}
    answer = await core.request("POST", "/keys/imported/derive", user=operator, json=wanted)
    assert answer.status == 201, answer


async def test_a_record_says_where_its_key_is_from_and_since_when(core: Core) -> None:
    await add_one_of_each_origin(core)
    for name in ("generated", "imported", "derived"):
        found = await record(core, name)
        assert found.origin is Origin(name)
        assert found.created == int(core.hsm.time.now())
    wanted = {"type": "Generic", "mechanisms": ["HKDF_SHA256"], "private": {"data": b64(bytes(32))}}
    answer = await core.request("POST", "/keys", user=ADMIN, json=wanted)
    assert (await record(core, answer.json()["id"])).origin is Origin.IMPORTED


async def test_no_answer_that_nethsm_has_shows_the_origin(core: Core) -> None:
    await core.generate("silent", "EC_P256", "ECDSA_Signature")
    shown = (await core.request("GET", "/keys/silent", user=ADMIN)).json()
    assert not {"origin", "created"} & shown.keys()


async def test_the_origin_moves_with_its_key_and_stays_when_the_key_is_changed(core: Core) -> None:
    await core.generate("first", "EC_P256", "ECDSA_Signature")
    before = await record(core, "first")
    core.clock.advance(100)
    await core.request("POST", "/keys/first/move", user=ADMIN, json={"newId": "second"})
    await core.request("PUT", "/keys/second/label", user=ADMIN, json={"label": "renamed"})
    after = await record(core, "second")
    assert (after.origin, after.created) == (before.origin, before.created)


async def test_the_origin_is_restored_with_its_key() -> None:
    core, backup, _ = await furnished()
    before = await record(core, "mine")
    assert before.origin is Origin.GENERATED
    file = await make(core, backup)
    other = await started()
    other.clock.advance(1000)
    assert (await restore(other, file)).status == 204
    assert await unlock(other) == 204
    after = await record(other, "mine")
    assert (after.origin, after.created) == (before.origin, before.created)
    core.close()
    other.close()
