"""/namespaces, and what separates them."""

import pytest

from tests.support.core import ADMIN, UNLOCK, Answer, Core, Credentials, b64

NEW = {"realName": "x", "role": "Operator", "passphrase": "a long passphrase"}
SIGN = {"mode": "ECDSA", "message": b64(bytes(32))}


@pytest.fixture(scope="module")
def branch(runner, core: Core) -> Credentials:
    """The Administrator of the namespace `branch`."""
    return runner.run(core.add_namespace("branch"))


@pytest.fixture(scope="module")
def branch_operator(runner, core: Core, branch: Credentials) -> Credentials:
    return runner.run(core.add_user("branch~operator", "Operator", by=branch))


@pytest.fixture(scope="module")
def other(runner, core: Core) -> Credentials:
    """The Administrator of the namespace `other`."""
    return runner.run(core.add_namespace("other"))


async def put(core: Core, namespace: str, by: Credentials = ADMIN) -> Answer:
    return await core.request("PUT", f"/namespaces/{namespace}", user=by)


async def listed(core: Core, path: str, by: Credentials, name: str = "id") -> list[str]:
    answer = await core.request("GET", path, user=by)
    assert answer.status == 200, answer
    return [item[name] for item in answer.json()]


# --- create, list, delete ------------------------------------------------------------------------


async def test_namespaces_are_listed_in_order(core: Core) -> None:
    for namespace in ("zeta", "Alpha", "a.b_c-1"):
        answer = await put(core, namespace)
        assert (answer.status, answer.body) == (204, b"")
    found = await listed(core, "/namespaces", ADMIN)
    assert found == sorted(found)
    assert {"zeta", "Alpha", "a.b_c-1"} <= set(found)


async def test_a_namespace_that_exists_is_400(core: Core) -> None:
    await put(core, "twice")
    answer = await put(core, "twice")
    assert answer.status == 400
    assert "already exists" in answer.message


@pytest.mark.parametrize("namespace", ["-", "a~b", "a%2Fb", "%20", "x" * 129, ".hidden"])
async def test_a_malformed_id_is_400(core: Core, namespace: str) -> None:
    assert (await put(core, namespace)).status == 400
    assert (await core.request("DELETE", f"/namespaces/{namespace}", user=ADMIN)).status == 400


async def test_a_namespace_with_the_longest_name_has_users(core: Core) -> None:
    namespace = "n" * 128
    administrator = await core.add_namespace(namespace)
    user, _ = await core.add_user(f"{namespace}~{'u' * 50}", "Operator", by=administrator)
    assert (await core.request("GET", "/users", user=administrator)).json() == [
        {"user": f"{namespace}~admin"},
        {"user": user},
    ]


async def test_a_namespace_that_is_not_there_is_404_to_delete(core: Core) -> None:
    answer = await core.request("DELETE", "/namespaces/nowhere", user=ADMIN)
    assert answer.status == 404
    assert answer.message


async def test_only_root_administrators_see_and_make_namespaces(
    core: Core, operator: Credentials, branch: Credentials
) -> None:
    for user in (operator, branch):
        assert (await core.request("GET", "/namespaces", user=user)).status == 403
        assert (await put(core, "mine", by=user)).status == 403
        answer = await core.request("DELETE", "/namespaces/branch", user=user)
        assert answer.status == 403


async def test_deleting_a_namespace_deletes_its_keys_and_keeps_its_users(core: Core) -> None:
    administrator = await core.add_namespace("doomed")
    await core.generate("key", "EC_P256", "ECDSA_Signature", by=administrator)
    await core.generate("key", "EC_P384", "ECDSA_Signature")
    answer = await core.request("DELETE", "/namespaces/doomed", user=ADMIN)
    assert (answer.status, answer.body) == (204, b"")
    assert (await core.request("GET", "/keys", user=administrator)).status == 403
    assert "doomed~admin" in await listed(core, "/users", ADMIN, "user")
    assert "key" in await listed(core, "/keys", ADMIN)

    assert (await put(core, "doomed")).status == 204
    assert await listed(core, "/keys", administrator) == []
    assert (await core.request("GET", "/keys/key", user=administrator)).status == 404


async def test_a_deleted_namespace_is_still_deleted_after_a_restart(core: Core) -> None:
    administrator = await core.add_namespace("gone")
    await core.request("DELETE", "/namespaces/gone", user=ADMIN)
    restarted = await core.restarted()
    await restarted.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert "gone" not in await listed(restarted, "/namespaces", ADMIN)
    assert (await restarted.request("GET", "/keys", user=administrator)).status == 403


# --- before it is created ------------------------------------------------------------------------


async def test_until_it_is_created_its_users_exist_and_may_do_nothing(core: Core) -> None:
    user = await core.add_user("early~admin", "Administrator")
    for method, path in [
        ("GET", "/keys"),
        ("GET", "/users"),
        ("GET", "/users/early~admin"),
        ("POST", "/keys/generate"),
        ("GET", "/namespaces"),
        ("PUT", "/users/early~another"),
    ]:
        assert (await core.request(method, path, user=user)).status == 403
    await put(core, "early")
    assert (await core.request("GET", "/keys", user=user)).status == 200


async def test_until_it_is_created_the_root_manages_its_users(core: Core) -> None:
    await core.add_user("young~operator", "Operator")
    for method, path, body in [
        ("GET", "/users/young~operator", None),
        ("GET", "/users/young~operator/tags", None),
        ("PUT", "/users/young~operator/tags/t", None),
        ("DELETE", "/users/young~operator/tags/t", None),
        ("POST", "/users/young~operator/passphrase", {"passphrase": "another passphrase"}),
        ("DELETE", "/users/young~operator", None),
    ]:
        answer = await core.request(method, path, user=ADMIN, json=body)
        assert answer.status in {200, 204}, path


@pytest.mark.usefixtures("branch_operator")
async def test_from_then_on_the_root_sees_its_users_and_changes_nothing(core: Core) -> None:
    for path in ("/users/branch~operator", "/users/branch~operator/tags"):
        assert (await core.request("GET", path, user=ADMIN)).status == 200
    assert {"branch~admin", "branch~operator"} <= set(await listed(core, "/users", ADMIN, "user"))
    for method, path, body in [
        ("PUT", "/users/branch~intruder", NEW),
        ("POST", "/users/branch~", NEW),
        ("PUT", "/users/branch~operator/tags/t", None),
        ("DELETE", "/users/branch~operator/tags/t", None),
        ("POST", "/users/branch~operator/passphrase", {"passphrase": "another passphrase"}),
        ("DELETE", "/users/branch~operator", None),
    ]:
        answer = await core.request(method, path, user=ADMIN, json=body)
        assert answer.status == 403, path


# --- users in a namespace ------------------------------------------------------------------------


async def test_post_with_a_prefix_makes_up_the_id_in_that_namespace(core: Core) -> None:
    answer = await core.request("POST", "/users/planned~", user=ADMIN, json=NEW)
    assert answer.status == 201
    user_id = answer.json()["id"]
    namespace, name = user_id.split("~")
    assert (namespace, len(name)) == ("planned", 20)
    assert answer.headers["Location"] == f"/api/v1/users/{user_id}"
    assert user_id in await listed(core, "/users", ADMIN, "user")


@pytest.mark.parametrize("user_id", ["plain", "branch~name", "~", "-~", "%7E", "a~b~"])
async def test_post_with_anything_else_is_400(core: Core, user_id: str) -> None:
    answer = await core.request("POST", f"/users/{user_id}", user=ADMIN, json=NEW)
    assert answer.status == 400
    assert answer.message


async def test_post_without_a_prefix_stays_in_the_caller_s_namespace(
    core: Core, branch: Credentials
) -> None:
    answer = await core.request("POST", "/users", user=branch, json=NEW)
    assert answer.status == 201
    user_id = answer.json()["id"]
    assert user_id.startswith("branch~")
    assert user_id in await listed(core, "/users", branch, "user")


async def test_its_administrators_manage_its_users(core: Core, branch: Credentials) -> None:
    user_id = "branch~managed"
    assert (await core.request("PUT", f"/users/{user_id}", user=branch, json=NEW)).status == 201
    for method, path, body in [
        ("GET", "", None),
        ("PUT", "/tags/t", None),
        ("GET", "/tags", None),
        ("DELETE", "/tags/t", None),
        ("POST", "/passphrase", {"passphrase": "another passphrase"}),
        ("DELETE", "", None),
    ]:
        answer = await core.request(method, f"/users/{user_id}{path}", user=branch, json=body)
        assert answer.status in {200, 204}, path
    answer = await core.request("POST", "/users/branch~", user=branch, json=NEW)
    assert answer.status == 201


async def test_it_lists_its_own_users_only(
    core: Core, branch: Credentials, other: Credentials
) -> None:
    assert await listed(core, "/users", other, "user") == ["other~admin"]
    assert all(name.startswith("branch~") for name in await listed(core, "/users", branch, "user"))


async def test_a_name_that_begins_alike_is_another_namespace(core: Core) -> None:
    longer = await core.add_namespace("other.one")
    assert await listed(core, "/users", longer, "user") == ["other.one~admin"]


@pytest.mark.usefixtures("branch_operator")
async def test_no_namespace_reaches_into_another_or_the_root(
    core: Core, other: Credentials
) -> None:
    for user_id in ("branch~operator", "admin", "nowhere~x"):
        for method, path, body in [
            ("GET", "", None),
            ("PUT", "", NEW),
            ("DELETE", "", None),
            ("GET", "/tags", None),
            ("PUT", "/tags/t", None),
            ("DELETE", "/tags/t", None),
            ("POST", "/passphrase", {"passphrase": "another passphrase"}),
        ]:
            answer = await core.request(method, f"/users/{user_id}{path}", user=other, json=body)
            assert answer.status == 403, (method, user_id, path)
    for prefix in ("branch~", "nowhere~"):
        answer = await core.request("POST", f"/users/{prefix}", user=other, json=NEW)
        assert answer.status == 403


async def test_the_same_name_in_two_namespaces_is_two_users(
    core: Core, branch: Credentials, other: Credentials
) -> None:
    for administrator, namespace in ((branch, "branch"), (other, "other")):
        wanted = NEW | {"realName": namespace, "passphrase": f"passphrase of {namespace}"}
        path = f"/users/{namespace}~twin"
        assert (await core.request("PUT", path, user=administrator, json=wanted)).status == 201
    user = ("branch~twin", "passphrase of other")
    assert (await core.request("GET", "/keys", user=user)).status == 401
    user = ("other~twin", "passphrase of other")
    shown = await core.request("GET", "/users/other~twin", user=user)
    assert shown.json()["realName"] == "other"


# --- keys in a namespace -------------------------------------------------------------------------


async def test_keys_of_a_namespace_are_its_own(
    core: Core, branch: Credentials, branch_operator: Credentials, other: Credentials
) -> None:
    await core.generate("private", "EC_P256", "ECDSA_Signature", by=branch)
    outsider = await core.add_user("outsider", "Operator")
    for user in (ADMIN, other, outsider):
        for path in ("/keys/private", "/keys/private/public.pem", "/keys/private/cert"):
            assert (await core.request("GET", path, user=user)).status == 404
    for method, path in [("DELETE", ""), ("POST", "/move"), ("PUT", "/restrictions/tags/t")]:
        answer = await core.request(method, f"/keys/private{path}", user=other)
        assert answer.status == 404
    signed = await core.request("POST", "/keys/private/sign", user=outsider, json=SIGN)
    assert signed.status == 404
    signed = await core.request("POST", "/keys/private/sign", user=branch_operator, json=SIGN)
    assert signed.status == 200


async def test_an_operator_of_a_namespace_uses_no_root_key(
    core: Core, branch_operator: Credentials
) -> None:
    await core.generate("root", "EC_P256", "ECDSA_Signature")
    answer = await core.request("POST", "/keys/root/sign", user=branch_operator, json=SIGN)
    assert answer.status == 404


async def test_the_same_id_in_two_namespaces_is_two_keys(
    core: Core, branch: Credentials, other: Credentials
) -> None:
    kinds = {branch: "EC_P256", other: "EC_P384", ADMIN: "EC_P521"}
    for administrator, key_type in kinds.items():
        await core.generate("twin", key_type, "ECDSA_Signature", by=administrator)
    for administrator, key_type in kinds.items():
        shown = await core.request("GET", "/keys/twin", user=administrator)
        assert shown.json()["type"] == key_type
    assert (await core.request("DELETE", "/keys/twin", user=branch)).status == 204
    assert (await core.request("GET", "/keys/twin", user=ADMIN)).status == 200


async def test_a_namespace_has_nothing_to_say_about_the_hsm(
    core: Core, branch: Credentials
) -> None:
    for method, path in [
        ("POST", "/lock"),
        ("GET", "/config/time"),
        ("PUT", "/config/time"),
        ("GET", "/config/unattended-boot"),
        ("PUT", "/config/unlock-passphrase"),
        ("GET", "/system/info"),
        ("POST", "/system/reboot"),
        ("POST", "/system/factory-reset"),
        ("POST", "/system/shutdown"),
    ]:
        assert (await core.request(method, path, user=branch)).status == 403


async def test_a_namespace_has_metrics_and_random_bytes(
    core: Core, branch: Credentials, branch_operator: Credentials
) -> None:
    metrics = await core.add_user("branch~metrics", "Metrics", by=branch)
    assert (await core.request("GET", "/metrics", user=metrics)).status == 200
    wanted = {"length": 8}
    answer = await core.request("POST", "/random", user=branch_operator, json=wanted)
    assert answer.status == 200
