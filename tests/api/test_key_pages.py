"""GET /keys?details=true: lists that show each key, page by page."""

import asyncio

import pytest

from keystead import algorithms
from keystead.api.resources import key_lists
from tests.support.core import ADMIN, Answer, Core, Credentials, start_core
from tests.support.stores import key_path

KEYS = {
    "alpha": ("red", ["north"]),
    "alphabet": ("blue", []),
    "alpine": ("", ["south"]),
    "Beta": ("", []),
    "beta": ("", []),
}


@pytest.fixture(scope="module", autouse=True)
def keys(runner, core: Core) -> None:
    for key_id, (label, tags) in KEYS.items():
        more = {"label": label, "restrictions": {"tags": tags}}
        runner.run(core.generate(key_id, "EC_P256", "ECDSA_Signature", **more))
    runner.run(core.generate("secret", "Generic", "HMAC_SHA256", length=256))


async def page(core: Core, query: str, *, user: Credentials = ADMIN, path: str = "/keys") -> Answer:
    return await core.request("GET", f"{path}?details=true{query}", user=user)


async def ids(core: Core, query: str = "", **where) -> list[str]:
    answer = await page(core, query, **where)
    assert answer.status == 200, answer
    return [item["id"] for item in answer.json()]


@pytest.mark.usefixtures("every_key")
async def test_an_item_is_what_the_key_itself_shows_with_its_id_and_its_pem(core: Core) -> None:
    listed = (await page(core, "")).json()
    plain = (await core.request("GET", "/keys", user=ADMIN)).json()
    assert [item["id"] for item in listed] == [item["id"] for item in plain]
    assert {item["type"] for item in listed} == set(algorithms.BY_NAME)
    for item in listed:
        key_id = item.pop("id")
        pem = item.pop("publicPem", None)
        assert item.pop("hasCertificate") is False
        shown = await core.request("GET", f"/keys/{key_id}", user=ADMIN)
        assert item == shown.json()
        public = await core.request("GET", f"/keys/{key_id}/public.pem", user=ADMIN)
        assert pem == (public.body.decode() if public.status == 200 else None)


async def test_pages_follow_each_other_and_the_last_one_is_empty(core: Core) -> None:
    everything = await ids(core)
    found: list[str] = []
    for _ in everything:
        after = f"&after={found[-1]}" if found else ""
        some = await ids(core, f"&limit=2{after}")
        assert len(some) == min(2, len(everything) - len(found))
        found += some
    assert found == everything
    assert await ids(core, f"&limit=2&after={everything[-1]}") == []


@pytest.mark.parametrize(
    ("path", "query"), [("/keys", "&prefix=alp"), ("/keys/alp*", ""), ("/keys", "&prefix=alph&")]
)
async def test_a_prefix_keeps_the_ids_that_begin_with_it(core: Core, path: str, query: str) -> None:
    wanted = ["alpha", "alphabet", "alpine"] if "alph" not in query else ["alpha", "alphabet"]
    assert await ids(core, query, path=path) == wanted
    assert await ids(core, f"{query}&after=alpha", path=path) == wanted[1:]
    assert await ids(core, f"{query}&after=Beta", path=path) == wanted
    assert await ids(core, f"{query}&after=beta", path=path) == []


async def test_after_need_not_be_the_id_of_a_key(core: Core) -> None:
    assert await ids(core, "&limit=1&after=alphaa") == ["alphabet"]


async def test_an_operator_sees_every_key_of_its_namespace_and_no_other(
    core: Core, operator: Credentials
) -> None:
    assert await ids(core, user=operator) == await ids(core)
    namespaced = await core.add_namespace("apart")
    assert await ids(core, user=namespaced) == []
    await core.generate("alpha", "EC_P256", "ECDSA_Signature", by=namespaced)
    assert await ids(core, user=namespaced) == ["alpha"]


@pytest.mark.parametrize(
    "query",
    [
        "details",
        "details=1",
        "details=True",
        "details=true&limit=0",
        "details=true&limit=1001",
        "details=true&limit=",
        "details=true&limit=-1",
        "details=true&limit=1e2",
        "details=true&limit=%C2%B2",
        "details=true&limit=" + "1" * 1500,
        "details=true&after=",
        "details=true&after=a*",
        "details=true&prefix=",
        "details=true&prefix=%2E",
        "details=true&label=" + "x" * 33,
        "details=true&labelContains=" + "x" * 33,
        "details=true&tag=",
        "details=true&tag=a*",
        "details=true&type=",
        "details=true&type=EC",
    ],
)
async def test_a_bad_parameter_is_400(core: Core, query: str) -> None:
    answer = await core.request("GET", f"/keys?{query}", user=ADMIN)
    assert answer.status == 400, answer


async def test_two_prefixes_are_400(core: Core) -> None:
    assert (await page(core, "&prefix=al", path="/keys/alp*")).status == 400


@pytest.mark.parametrize(
    "query",
    [
        "details=false",
        "limit=1&after=alpha&prefix=z",
        "limit=x",
        "labelContains=red&tag=north&type=EC",
    ],
)
async def test_without_details_the_list_stays_as_it_was(core: Core, query: str) -> None:
    plain = await core.request("GET", "/keys", user=ADMIN)
    assert (await core.request("GET", f"/keys?{query}", user=ADMIN)).body == plain.body


async def test_a_page_has_a_tag_that_changes_with_what_it_shows(core: Core) -> None:
    first = await page(core, "&prefix=be")
    known = {"if-none-match": first.headers["ETag"]}
    path = "/keys?details=true&prefix=be"
    assert (await core.request("GET", path, user=ADMIN, headers=known)).status == 304
    label = {"label": "new"}
    assert (await core.request("PUT", "/keys/beta/label", user=ADMIN, json=label)).status == 204
    assert (await core.request("GET", path, user=ADMIN, headers=known)).status == 200
    (item,) = (await page(core, "&prefix=be")).json()
    assert item["label"] == "new"


async def test_a_key_that_is_replaced_shows_the_new_public_half(core: Core) -> None:
    await core.generate("zulu", "EC_P256", "ECDSA_Signature")
    (before,) = (await page(core, "&prefix=zulu")).json()
    await core.request("DELETE", "/keys/zulu", user=ADMIN)
    await core.generate("zulu", "Curve25519", "EdDSA_Signature")
    (after,) = (await page(core, "&prefix=zulu")).json()
    assert (before["type"], after["type"]) == ("EC_P256", "Curve25519")
    assert before["publicPem"] != after["publicPem"]
    await core.request("DELETE", "/keys/zulu", user=ADMIN)


async def test_uses_are_counted_before_and_after_they_are_written(
    core: Core, operator: Credentials
) -> None:
    await core.generate("zulu", "EC_P256", "ECDSA_Signature")
    for count in (1, 2):
        sign = {"mode": "ECDSA", "message": "A" * 43 + "="}
        await core.request("POST", "/keys/zulu/sign", user=operator, json=sign)
        assert (await page(core, "&prefix=zulu")).json()[0]["operations"] == count
        await core.hsm.session.flush_counters()
        assert (await page(core, "&prefix=zulu")).json()[0]["operations"] == count
    await core.request("DELETE", "/keys/zulu", user=ADMIN)


async def test_a_page_ends_at_its_size_too(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = await ids(core)
    monkeypatch.setattr(key_lists, "PAGE_BYTES", 1)
    assert await ids(core) == everything[:1]
    assert await ids(core, f"&after={everything[0]}") == everything[1:2]


async def test_others_have_their_turn_after_a_few_keys_that_are_parsed(core: Core) -> None:
    for number in range(16):
        await core.generate(f"one-of-many-{number}", "EC_P256", "ECDSA_Signature")
    core.hsm.session.keys.lists.forget()
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    listed = await ids(core)
    other.cancel()
    for number in range(16):
        await core.request("DELETE", f"/keys/one-of-many-{number}", user=ADMIN)
    assert turns >= len(listed) // 4 > 3


async def test_a_key_that_was_listed_before_is_shown_as_it_is_now(core: Core) -> None:
    async def shown(key_id: str) -> dict[str, object]:
        (item,) = (await page(core, f"&prefix={key_id}")).json()
        return item

    await core.generate("moving", "EC_P256", "ECDSA_Signature", label="old")
    before = await shown("moving")
    assert await shown("moving") == before
    certificate = {"body": b"-", "headers": {"content-type": "application/octet-stream"}}
    await core.request("PUT", "/keys/moving/cert", user=ADMIN, **certificate)
    assert await shown("moving") == before | {"hasCertificate": True}
    await core.request("DELETE", "/keys/moving/cert", user=ADMIN)
    assert await shown("moving") == before
    await core.request("PUT", "/keys/moving/label", user=ADMIN, json={"label": "new"})
    await core.request("PUT", "/keys/moving/restrictions/tags/north", user=ADMIN)
    assert await shown("moving") == before | {"label": "new", "restrictions": {"tags": ["north"]}}
    assert await ids(core, "&label=old") == []
    assert await ids(core, "&label=new&tag=north&type=EC_P256") == ["moving"]
    assert await ids(core, "&label=new&type=RSA") == []
    await core.request("DELETE", "/keys/moving", user=ADMIN)
    await core.generate("moving", "EC_P256", "ECDSA_Signature")
    assert (await shown("moving"))["publicPem"] != before["publicPem"]
    await core.request("DELETE", "/keys/moving", user=ADMIN)


async def test_a_listed_key_does_not_replace_one_in_use() -> None:
    core = await start_core(key_cache=1)
    await core.provision()
    user = await core.add_user("signer", "Operator")
    for key_id in ("first", "second"):
        await core.generate(key_id, "EC_P256", "ECDSA_Signature")
    sign = {"mode": "ECDSA", "message": "A" * 43 + "="}
    await core.request("POST", "/keys/first/sign", user=user, json=sign)
    assert await ids(core) == ["first", "second"]
    assert core.hsm.session.keys.cached(key_path("first")) is not None
    core.close()
