"""Tags: on keys, on Operators, and what they allow."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from keystead.model.ids import Tag, UserId
from keystead.model.users import User
from tests.support.core import ADMIN, UNLOCK, Answer, Core, Credentials, b64

USES = {
    "sign": ("ec", {"mode": "ECDSA", "message": b64(bytes(32))}),
    "encrypt": ("aes", {"mode": "AES_CBC", "message": b64(bytes(16))}),
    "decrypt": ("aes", {"mode": "AES_CBC", "encrypted": b64(bytes(16)), "iv": b64(bytes(16))}),
}


@pytest.fixture(scope="module", autouse=True)
def keys(runner, core: Core) -> None:
    runner.run(core.generate("ec", "EC_P256", "ECDSA_Signature"))
    mechanisms = ("AES_Encryption_CBC", "AES_Decryption_CBC")
    runner.run(core.generate("aes", "Generic", *mechanisms, length=256))


@pytest.fixture(autouse=True)
def no_tags(runner, core: Core) -> None:
    """Every test begins without tags."""
    for path in ("/keys/ec", "/keys/aes"):
        shown = runner.run(core.request("GET", path, user=ADMIN)).json()
        for tag in shown["restrictions"].get("tags", []):
            runner.run(core.request("DELETE", f"{path}/restrictions/tags/{tag}", user=ADMIN))
    tags = runner.run(core.request("GET", "/users/operator/tags", user=ADMIN))
    for tag in tags.json() if tags.status == 200 else []:
        runner.run(core.request("DELETE", f"/users/operator/tags/{tag}", user=ADMIN))


async def tag_key(core: Core, key_id: str, tag: str, method: str = "PUT") -> Answer:
    return await core.request(method, f"/keys/{key_id}/restrictions/tags/{tag}", user=ADMIN)


async def tag_user(core: Core, user_id: str, tag: str, method: str = "PUT") -> Answer:
    return await core.request(method, f"/users/{user_id}/tags/{tag}", user=ADMIN)


async def tags_of(core: Core, key_id: str) -> dict:
    return (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).json()["restrictions"]


async def use(core: Core, how: str, user: Credentials) -> int:
    key_id, wanted = USES[how]
    return (await core.request("POST", f"/keys/{key_id}/{how}", user=user, json=wanted)).status


# --- what tags allow -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", USES)
async def test_a_key_without_tags_is_open_to_every_operator(
    core: Core, operator: Credentials, how: str
) -> None:
    assert await use(core, how, operator) == 200
    await tag_user(core, "operator", "mine")
    assert await use(core, how, operator) == 200


@pytest.mark.parametrize("how", USES)
async def test_a_key_with_tags_is_open_to_operators_with_one_of_them(
    core: Core, operator: Credentials, how: str
) -> None:
    key_id = USES[how][0]
    await tag_key(core, key_id, "berlin")
    await tag_key(core, key_id, "munich")
    assert await use(core, how, operator) == 403
    await tag_user(core, "operator", "hamburg")
    assert await use(core, how, operator) == 403
    await tag_user(core, "operator", "munich")
    assert await use(core, how, operator) == 200
    await tag_user(core, "operator", "munich", "DELETE")
    assert await use(core, how, operator) == 403
    await tag_key(core, key_id, "berlin", "DELETE")
    await tag_key(core, key_id, "munich", "DELETE")
    assert await use(core, how, operator) == 200


async def test_a_refused_use_is_not_counted_and_says_why(core: Core, operator: Credentials) -> None:
    await tag_key(core, "ec", "x")
    before = (await core.request("GET", "/keys/ec", user=ADMIN)).json()["operations"]
    key_id, wanted = USES["sign"]
    answer = await core.request("POST", f"/keys/{key_id}/sign", user=operator, json=wanted)
    assert (answer.status, "tag" in answer.message) == (403, True)
    after = (await core.request("GET", "/keys/ec", user=ADMIN)).json()["operations"]
    assert after == before


async def test_tags_are_told_apart_by_case(core: Core, operator: Credentials) -> None:
    await tag_key(core, "ec", "Berlin")
    await tag_user(core, "operator", "berlin")
    assert await use(core, "sign", operator) == 403


# --- tags on keys --------------------------------------------------------------------------------


async def test_a_tag_is_added_once_and_removed_once(core: Core) -> None:
    for method, status in [("PUT", 204), ("PUT", 304), ("DELETE", 204), ("DELETE", 404)]:
        answer = await tag_key(core, "ec", "t", method)
        assert answer.status == status
        if status != 404:
            assert answer.body == b""
            assert await tags_of(core, "ec") == ({"tags": ["t"]} if method == "PUT" else {})


async def test_tags_are_shown_in_order(core: Core) -> None:
    for tag in ("c", "a", "b"):
        await tag_key(core, "ec", tag)
    assert await tags_of(core, "ec") == {"tags": ["a", "b", "c"]}


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("tag", ["-", "a~b", "%20", "a%2Fb", "x" * 129, "%ff"])
async def test_a_malformed_tag_is_400(core: Core, tag: str) -> None:
    for method in ("PUT", "DELETE"):
        assert (await tag_key(core, "ec", tag, method)).status == 400
        assert (await tag_user(core, "operator", tag, method)).status == 400


async def test_tags_of_a_key_that_is_not_there_are_404(core: Core) -> None:
    for method in ("PUT", "DELETE"):
        assert (await tag_key(core, "nothing", "t", method)).status == 404


async def test_an_operator_changes_no_tags(core: Core, operator: Credentials) -> None:
    for method in ("PUT", "DELETE"):
        for path in ("/keys/ec/restrictions/tags/t", "/users/operator/tags/t"):
            assert (await core.request(method, path, user=operator)).status == 403


async def test_there_is_no_list_of_a_key_s_tags(core: Core) -> None:
    assert (await core.request("GET", "/keys/ec/restrictions/tags", user=ADMIN)).status == 404
    answer = await core.request("GET", "/keys/ec/restrictions/tags/t", user=ADMIN)
    assert (answer.status, answer.headers["Allow"]) == (405, "DELETE, PUT")


# --- tags on users -------------------------------------------------------------------------------


async def test_an_operator_and_the_administrators_see_its_tags(
    core: Core, operator: Credentials
) -> None:
    for tag in ("b", "a"):
        assert (await tag_user(core, "operator", tag)).status == 204
    for user in (ADMIN, operator):
        answer = await core.request("GET", "/users/operator/tags", user=user)
        assert (answer.status, answer.json()) == (200, ["a", "b"])


@pytest.mark.usefixtures("operator")
async def test_a_user_s_tag_is_added_once_and_removed_once(core: Core) -> None:
    for method, status in [("PUT", 204), ("PUT", 304), ("DELETE", 204), ("DELETE", 404)]:
        assert (await tag_user(core, "operator", "t", method)).status == status


async def test_only_operators_have_tags(core: Core) -> None:
    await core.add_user("backup", "Backup")
    for user_id in ("admin", "backup"):
        assert (await tag_user(core, user_id, "t")).status == 400
        assert (await tag_user(core, user_id, "t", "DELETE")).status == 404
        answer = await core.request("GET", f"/users/{user_id}/tags", user=ADMIN)
        assert answer.status == 404


async def test_tags_of_a_user_that_is_not_there_are_404(core: Core) -> None:
    for method in ("PUT", "DELETE"):
        assert (await tag_user(core, "nobody", "t", method)).status == 404
    assert (await core.request("GET", "/users/nobody/tags", user=ADMIN)).status == 404


@pytest.mark.usefixtures("operator")
async def test_an_operator_does_not_see_the_tags_of_another(core: Core) -> None:
    other = await core.add_user("other", "Operator")
    assert (await core.request("GET", "/users/operator/tags", user=other)).status == 403


async def test_tags_last_over_a_restart(core: Core, operator: Credentials) -> None:
    await tag_key(core, "ec", "lasting")
    await tag_user(core, "operator", "lasting")
    restarted = await core.restarted()
    await restarted.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert await tags_of(restarted, "ec") == {"tags": ["lasting"]}
    assert await use(restarted, "sign", operator) == 200


async def test_a_late_answer_gives_no_tag_back_that_another_member_has_taken_away(
    core: Core, operator: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does so, and this one hears of it, before it hears that its own change is made."""
    await tag_key(core, "ec", "berlin")
    await tag_user(core, "operator", "berlin")
    session = core.hsm.session
    assert session is not None
    update = session.users.update

    async def answered_late(user_id: UserId, edit: Callable[[User], User]) -> User:
        monkeypatch.undo()
        made = await update(user_id, edit)
        await update(user_id, lambda user: replace(user, tags=user.tags - {Tag("berlin")}))
        session.credentials.revoke(user_id)
        assert await use(core, "sign", operator) == 403
        return made

    monkeypatch.setattr(session.users, "update", answered_late)
    assert (await tag_user(core, "operator", "munich")).status == 204
    assert await use(core, "sign", operator) == 403
