"""GET /keys and GET /keys/{prefix}*."""

import pytest

from tests.support.core import ADMIN, Core, Credentials

KEYS = {
    "alpha": ("red", ["north"]),
    "alphabet": ("blue", []),
    "alpine": ("red", ["south"]),
    "Beta": ("", []),
    "0": ("", ["north", "south"]),
    "a.b": ("red", []),
    "a_b": ("", []),
    "a-b": ("", []),
}


@pytest.fixture(scope="module", autouse=True)
def keys(runner, core: Core) -> None:
    for key_id, (label, tags) in KEYS.items():
        runner.run(
            core.generate(
                key_id,
                "EC_P256",
                "ECDSA_Signature",
                label=label,
                restrictions={"tags": tags},
            )
        )


@pytest.fixture(scope="module")
def northerner(runner, core: Core) -> Credentials:
    """An Operator with the tag `north`."""
    user = runner.run(core.add_user("northerner", "Operator"))
    answer = runner.run(core.request("PUT", "/users/northerner/tags/north", user=ADMIN))
    assert answer.status == 204
    return user


async def listed(core: Core, path: str, user: Credentials = ADMIN) -> list[str]:
    answer = await core.request("GET", path, user=user)
    assert answer.status == 200, answer
    assert all(set(item) == {"id"} for item in answer.json())
    return [item["id"] for item in answer.json()]


async def test_all_keys_are_listed_in_byte_order(core: Core) -> None:
    assert await listed(core, "/keys") == sorted(KEYS)


async def test_an_operator_sees_all_keys_too(core: Core, operator: Credentials) -> None:
    assert await listed(core, "/keys", operator) == sorted(KEYS)


@pytest.mark.parametrize("prefix", ["a", "al", "alph", "alpha", "alphabet", "B", "0", "a.", "a_"])
async def test_a_prefix_keeps_the_ids_that_begin_with_it(core: Core, prefix: str) -> None:
    expected = sorted(key for key in KEYS if key.startswith(prefix))
    assert await listed(core, f"/keys/{prefix}*") == expected


async def test_a_prefix_without_keys_gives_an_empty_list(core: Core) -> None:
    assert await listed(core, "/keys/zzz*") == []


@pytest.mark.parametrize("prefix", ["", "-", "a*", "%2A", "a~", "x" * 129])
async def test_a_malformed_prefix_is_400(core: Core, prefix: str) -> None:
    answer = await core.request("GET", f"/keys/{prefix}*", user=ADMIN)
    assert answer.status == 400


@pytest.mark.parametrize("method", ["HEAD", "PUT", "POST", "DELETE", "OPTIONS"])
async def test_a_prefix_is_only_for_get(core: Core, method: str) -> None:
    answer = await core.request(method, "/keys/a*", user=ADMIN)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert await listed(core, "/keys") == sorted(KEYS)


async def test_a_label_keeps_the_keys_that_have_exactly_this_one(core: Core) -> None:
    assert await listed(core, "/keys?label=red") == ["a.b", "alpha", "alpine"]
    assert await listed(core, "/keys?label=re") == []
    assert await listed(core, "/keys/al*?label=red") == ["alpha", "alpine"]
    assert await listed(core, "/keys?label=%72ed") == ["a.b", "alpha", "alpine"]


@pytest.mark.parametrize("label", ["x" * 33, "%C3%BC" * 17, "red" + "x" * 1000])
async def test_a_label_too_long_for_any_key_is_400(core: Core, label: str) -> None:
    for path in ("/keys", "/keys/al*"):
        assert (await core.request("GET", f"{path}?label={label}", user=ADMIN)).status == 400


async def test_an_empty_label_keeps_the_keys_without_one(core: Core) -> None:
    unlabelled = sorted(key for key, (label, _) in KEYS.items() if not label)
    assert await listed(core, "/keys?label=") == unlabelled
    assert await listed(core, "/keys?label") == unlabelled


@pytest.mark.parametrize("filter_", ["filter", "filter=", "filter=1", "filter=false"])
async def test_filter_keeps_what_the_caller_may_use(
    core: Core, northerner: Credentials, operator: Credentials, filter_: str
) -> None:
    free = {key for key, (_, tags) in KEYS.items() if not tags}
    north = {key for key, (_, tags) in KEYS.items() if "north" in tags}
    assert await listed(core, f"/keys?{filter_}", northerner) == sorted(free | north)
    assert await listed(core, f"/keys?{filter_}", operator) == sorted(free)
    assert await listed(core, f"/keys?{filter_}") == sorted(KEYS)
    assert await listed(core, f"/keys/al*?{filter_}", northerner) == ["alpha", "alphabet"]


async def test_label_and_filter_work_together(core: Core, northerner: Credentials) -> None:
    assert await listed(core, "/keys?filter=1&label=red", northerner) == ["a.b", "alpha"]


async def test_unknown_query_parameters_are_ignored(core: Core) -> None:
    assert await listed(core, "/keys?color=red&%ff=%ff&&=") == sorted(KEYS)


async def test_the_tag_of_the_list_changes_with_the_list(core: Core) -> None:
    before = (await core.request("GET", "/keys", user=ADMIN)).headers["ETag"]
    await core.generate("passing", "EC_P256", "ECDSA_Signature")
    during = (await core.request("GET", "/keys", user=ADMIN)).headers["ETag"]
    await core.request("DELETE", "/keys/passing", user=ADMIN)
    after = (await core.request("GET", "/keys", user=ADMIN)).headers["ETag"]
    assert before == after != during


async def test_a_namespace_lists_its_own_keys_only(core: Core) -> None:
    namespace_admin = await core.add_namespace("branch")
    await core.generate("alpha", "EC_P256", "ECDSA_Signature", by=namespace_admin)
    await core.generate("branch", "EC_P256", "ECDSA_Signature", by=namespace_admin)
    assert await listed(core, "/keys", namespace_admin) == ["alpha", "branch"]
    assert await listed(core, "/keys/a*", namespace_admin) == ["alpha"]
    assert await listed(core, "/keys") == sorted(KEYS)
