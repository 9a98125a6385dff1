"""POST /keys/{id}/move."""

import pytest

from tests.support.core import ADMIN, UNLOCK, Answer, Core, Credentials, b64


async def move(core: Core, key_id: str, new_id: object, user: Credentials = ADMIN) -> Answer:
    return await core.request("POST", f"/keys/{key_id}/move", user=user, json={"newId": new_id})


async def test_a_moved_key_is_the_same_under_its_new_id_only(
    core: Core, operator: Credentials
) -> None:
    await core.generate("old", "EC_P256", "ECDSA_Signature", label="mine")
    await core.request(
        "PUT",
        "/keys/old/cert",
        user=ADMIN,
        body=b"certificate",
        headers={"content-type": "application/octet-stream"},
    )
    wanted = {"mode": "ECDSA", "message": b64(bytes(32))}
    for _ in range(3):
        await core.request("POST", "/keys/old/sign", user=operator, json=wanted)
    before = (await core.request("GET", "/keys/old", user=ADMIN)).json()
    assert before["operations"] == 3

    answer = await move(core, "old", "new")
    assert answer.status == 200
    assert answer.json() == {"id": "new"}

    assert (await core.request("GET", "/keys/new", user=ADMIN)).json() == before
    assert (await core.request("GET", "/keys/new/cert", user=ADMIN)).body == b"certificate"
    assert (await core.request("GET", "/keys/old", user=ADMIN)).status == 404
    used = await core.request("POST", "/keys/old/sign", user=operator, json=wanted)
    assert used.status == 404
    used = await core.request("POST", "/keys/new/sign", user=operator, json=wanted)
    assert used.status == 200
    after = (await core.request("GET", "/keys/new", user=ADMIN)).json()
    assert after["operations"] == 4


async def test_the_old_id_can_be_used_again(core: Core) -> None:
    await core.generate("place", "EC_P256", "ECDSA_Signature")
    await move(core, "place", "elsewhere")
    await core.generate("place", "EC_P384", "ECDSA_Signature")
    types = [
        (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).json()["type"]
        for key_id in ("place", "elsewhere")
    ]
    assert types == ["EC_P384", "EC_P256"]


async def test_a_taken_id_is_409_and_both_keys_stay(core: Core) -> None:
    await core.generate("one", "EC_P256", "ECDSA_Signature")
    await core.generate("two", "EC_P384", "ECDSA_Signature")
    for new_id in ("two", "one"):
        answer = await move(core, "one", new_id)
        assert answer.status == 409
        assert new_id in answer.message
    types = [
        (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).json()["type"]
        for key_id in ("one", "two")
    ]
    assert types == ["EC_P256", "EC_P384"]


@pytest.mark.parametrize("new_id", ["", "-", "a/b", "a~b", "x" * 129, 1, None, ["x"]])
async def test_a_malformed_new_id_is_400(core: Core, new_id: object) -> None:
    await core.request("DELETE", "/keys/still", user=ADMIN)
    await core.generate("still", "EC_P256", "ECDSA_Signature")
    answer = await move(core, "still", new_id)
    assert answer.status == 400
    assert answer.message
    assert (await core.request("GET", "/keys/still", user=ADMIN)).status == 200


async def test_a_key_that_is_not_there_is_404_before_the_body(core: Core) -> None:
    assert (await move(core, "nothing", "")).status == 404


async def test_an_operator_moves_nothing(core: Core, operator: Credentials) -> None:
    assert (await move(core, "any", "other", operator)).status == 403


async def test_a_move_lasts(core: Core) -> None:
    await core.generate("moving", "EC_P256", "ECDSA_Signature")
    await move(core, "moving", "moved")
    restarted = await core.restarted()
    await restarted.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert (await restarted.request("GET", "/keys/moved", user=ADMIN)).status == 200
    assert (await restarted.request("GET", "/keys/moving", user=ADMIN)).status == 404


async def test_a_move_stays_in_the_namespace(core: Core) -> None:
    branch = await core.add_namespace("branch")
    await core.generate("shared", "EC_P256", "ECDSA_Signature")
    await core.generate("shared", "EC_P384", "ECDSA_Signature", by=branch)
    assert (await move(core, "shared", "moved-there", branch)).status == 200
    assert (await core.request("GET", "/keys/shared", user=ADMIN)).status == 200
    assert (await core.request("GET", "/keys/moved-there", user=ADMIN)).status == 404
