"""/users: list, add, show, delete, passphrases."""

import re

import pytest

from tests.support.core import ADMIN, Answer, Core, Credentials

NEW = {"realName": "Jane User", "role": "Operator", "passphrase": "a long passphrase"}


async def put(core: Core, user_id: str, by: Credentials = ADMIN, **changed: object) -> Answer:
    return await core.request("PUT", f"/users/{user_id}", user=by, json=NEW | changed)


async def names(core: Core, by: Credentials = ADMIN) -> list[str]:
    answer = await core.request("GET", "/users", user=by)
    assert answer.status == 200, answer
    assert all(set(item) == {"user"} for item in answer.json())
    return [item["user"] for item in answer.json()]


async def signs_in(core: Core, credentials: Credentials) -> bool:
    """Whether these credentials are somebody's."""
    core.clock.advance(2)
    status = (await core.request("GET", "/config/time", user=credentials)).status
    assert status in {200, 401, 403}
    return status != 401


# --- add -----------------------------------------------------------------------------------------


async def test_post_makes_up_the_id(core: Core) -> None:
    answer = await core.request("POST", "/users", user=ADMIN, json=NEW)
    assert answer.status == 201
    user_id = answer.json()["id"]
    assert re.fullmatch("[0-9a-f]{20}", user_id)
    assert answer.headers["Location"] == f"/api/v1/users/{user_id}"
    assert user_id in await names(core)
    assert await signs_in(core, (user_id, NEW["passphrase"]))


@pytest.mark.parametrize("role", ["Administrator", "Operator", "Metrics", "Backup", "Auditor"])
async def test_put_adds_a_user_of_every_role(core: Core, role: str) -> None:
    answer = await put(core, f"a-{role}", role=role, realName="Ünï ✓")
    assert (answer.status, answer.body) == (201, b"")
    assert answer.headers["Location"] == f"/api/v1/users/a-{role}"
    shown = await core.request("GET", f"/users/a-{role}", user=ADMIN)
    assert shown.json() == {"realName": "Ünï ✓", "role": role}
    assert await signs_in(core, (f"a-{role}", NEW["passphrase"]))


async def test_a_taken_id_is_409_and_the_user_stays(core: Core) -> None:
    await put(core, "taken", passphrase="the first passphrase")
    answer = await put(core, "taken", passphrase="the second passphrase", role="Administrator")
    assert answer.status == 409
    assert answer.message
    assert await signs_in(core, ("taken", "the first passphrase"))
    assert not await signs_in(core, ("taken", "the second passphrase"))
    shown = await core.request("GET", "/users/taken", user=ADMIN)
    assert shown.json()["role"] == "Operator"


@pytest.mark.parametrize(
    ("passphrase", "status"),
    [
        ("", 400),
        ("x" * 9, 400),
        ("x" * 10, 201),
        ("ü" * 5, 201),
        ("ü" * 4, 400),
        ("x" * 200, 201),
        ("x" * 201, 400),
        ("ü" * 101, 400),
        (" " * 10, 201),
        ("colons: in: it", 201),
    ],
)
async def test_passphrases_have_10_to_200_bytes(core: Core, passphrase: str, status: int) -> None:
    await core.request("DELETE", "/users/measured", user=ADMIN)
    answer = await put(core, "measured", passphrase=passphrase)
    assert answer.status == status
    if status == 201:
        assert await signs_in(core, ("measured", passphrase))
    else:
        assert "10 to 200 bytes" in answer.message


@pytest.mark.parametrize(
    "changed",
    [
        {"role": "Root"},
        {"role": "operator"},
        {"role": None},
        {"realName": None},
        {"realName": 1},
        {"passphrase": 1234567890},
        {"passphrase": None},
        {"tags": ["x"]},
        {"name": "x"},
    ],
)
async def test_a_user_of_another_shape_is_400(core: Core, changed: dict) -> None:
    answer = await put(core, "malformed", **changed)
    assert answer.status == 400
    assert answer.message
    assert "malformed" not in await names(core)


@pytest.mark.parametrize("missing", NEW)
async def test_every_field_is_required(core: Core, missing: str) -> None:
    wanted = {name: value for name, value in NEW.items() if name != missing}
    answer = await core.request("PUT", "/users/partial", user=ADMIN, json=wanted)
    assert answer.status == 400
    assert f"`{missing}`" in answer.message


@pytest.mark.parametrize("field", ["realName", "passphrase"])
async def test_text_that_is_no_utf_8_is_400(core: Core, field: str) -> None:
    answer = await put(core, "surrogate", **{field: "a long\ud800 passphrase"})
    assert answer.status == 400


@pytest.mark.parametrize(
    "user_id", ["-", "a~b~c", "~a", "a~", "a%20b", "x" * 129, "n~" + "x" * 129, "a%2Fb", "%00"]
)
async def test_a_malformed_id_is_400(core: Core, user_id: str) -> None:
    assert (await put(core, user_id)).status == 400
    assert (await core.request("GET", f"/users/{user_id}", user=ADMIN)).status == 400


async def test_only_administrators_add_users(core: Core, operator: Credentials) -> None:
    assert (await put(core, "usurper", by=operator)).status == 403
    answer = await core.request("POST", "/users", user=operator, json=NEW)
    assert answer.status == 403


# --- list, show ----------------------------------------------------------------------------------


async def test_users_are_listed_in_order_by_administrators_only(
    core: Core, operator: Credentials
) -> None:
    listed = await names(core)
    assert {"admin", "operator"} <= set(listed)
    assert listed == sorted(listed)
    assert (await core.request("GET", "/users", user=operator)).status == 403


async def test_an_operator_sees_itself_only(core: Core, operator: Credentials) -> None:
    shown = await core.request("GET", "/users/operator", user=operator)
    assert (shown.status, shown.json()["role"]) == (200, "Operator")
    for other in ("admin", "nobody"):
        assert (await core.request("GET", f"/users/{other}", user=operator)).status == 403


@pytest.mark.parametrize("role", ["Metrics", "Backup"])
async def test_metrics_and_backup_users_see_no_users_and_keep_their_passphrase(
    core: Core, role: str
) -> None:
    user = await core.add_user(f"see-{role}", role)
    for path in ("/users", f"/users/see-{role}", f"/users/see-{role}/tags"):
        assert (await core.request("GET", path, user=user)).status == 403
    wanted = {"passphrase": "another passphrase"}
    path = f"/users/see-{role}/passphrase"
    assert (await core.request("POST", path, user=user, json=wanted)).status == 403
    assert await signs_in(core, user)


async def test_a_user_that_is_not_there_is_404(core: Core) -> None:
    wanted = {"passphrase": "another passphrase"}
    for method, path, body in [
        ("GET", "/users/nobody", None),
        ("DELETE", "/users/nobody", None),
        ("POST", "/users/nobody/passphrase", wanted),
        ("POST", "/users/nobody/passphrase", {}),
    ]:
        answer = await core.request(method, path, user=ADMIN, json=body)
        assert answer.status == 404
        assert "nobody" in answer.message


# --- delete --------------------------------------------------------------------------------------


async def test_a_deleted_user_is_refused_at_once(core: Core) -> None:
    user = await core.add_user("leaving", "Operator")
    assert await signs_in(core, user)
    answer = await core.request("DELETE", "/users/leaving", user=ADMIN)
    assert (answer.status, answer.body) == (204, b"")
    assert not await signs_in(core, user)
    assert "leaving" not in await names(core)


async def test_a_user_that_comes_back_has_nothing_of_the_one_before(core: Core) -> None:
    old = await core.add_user("returning", "Operator")
    await core.request("PUT", "/users/returning/tags/t", user=ADMIN)
    assert await signs_in(core, old)
    await core.request("DELETE", "/users/returning", user=ADMIN)
    await put(core, "returning", passphrase="a new passphrase")
    assert not await signs_in(core, old)
    tags = await core.request("GET", "/users/returning/tags", user=ADMIN)
    assert tags.json() == []


async def test_nobody_deletes_itself(core: Core) -> None:
    answer = await core.request("DELETE", "/users/admin", user=ADMIN)
    assert answer.status == 400
    assert "themselves" in answer.message
    assert await signs_in(core, ADMIN)


async def test_an_operator_deletes_nobody(core: Core, operator: Credentials) -> None:
    for user_id in ("operator", "admin", "nobody"):
        answer = await core.request("DELETE", f"/users/{user_id}", user=operator)
        assert answer.status == 403


# --- passphrases ---------------------------------------------------------------------------------


@pytest.mark.parametrize("by_itself", [True, False], ids=["by itself", "by an Administrator"])
async def test_after_a_change_only_the_new_passphrase_is_good(core: Core, by_itself: bool) -> None:  # noqa: FBT001
    user_id = f"changing-{by_itself}"
    user = await core.add_user(user_id, "Operator")
    assert await signs_in(core, user)
    answer = await core.request(
        "POST",
        f"/users/{user_id}/passphrase",
        user=user if by_itself else ADMIN,
        json={"passphrase": "the new passphrase"},
    )
    assert (answer.status, answer.body) == (204, b"")
    assert not await signs_in(core, user)
    assert await signs_in(core, (user_id, "the new passphrase"))


async def test_a_weak_new_passphrase_is_400_and_the_old_one_stays(core: Core) -> None:
    user = await core.add_user("stubborn", "Operator")
    for body in ({"passphrase": "short"}, {"passphrase": "x" * 201}, {}, {"passphrase": None}):
        answer = await core.request("POST", "/users/stubborn/passphrase", user=user, json=body)
        assert answer.status == 400
        assert answer.message
    assert await signs_in(core, user)


async def test_an_operator_changes_its_own_passphrase_only(
    core: Core, operator: Credentials
) -> None:
    wanted = {"passphrase": "another passphrase"}
    for user_id in ("admin", "nobody"):
        path = f"/users/{user_id}/passphrase"
        assert (await core.request("POST", path, user=operator, json=wanted)).status == 403


async def test_no_passphrase_shows_in_an_answer_or_the_log(core: Core) -> None:
    passphrase = "never to be seen again"
    answers = [
        await put(core, "discreet", passphrase=passphrase),
        await put(core, "discreet", passphrase=passphrase),
        await put(core, "discreet2", passphrase=passphrase, role="none"),
        await core.request("GET", "/users/discreet", user=("discreet", passphrase)),
        await core.request("GET", "/users/discreet", user=("discreet", passphrase + "!")),
    ]
    assert [answer.status for answer in answers] == [201, 409, 400, 200, 401]
    assert not [answer for answer in answers if passphrase.encode() in answer.body]
    assert passphrase not in "".join(core.log_lines)
