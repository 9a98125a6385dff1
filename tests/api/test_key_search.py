"""GET /keys?details=true with conditions: a search through all keys, in bounded requests."""

import pytest

from keystead import algorithms
from keystead.api.resources import key_lists
from tests.support.core import ADMIN, Answer, Core, Credentials

KEYS = {
    "alpha": ("Red", ["north"]),
    "alphabet": ("blue", []),
    "alpine": ("", ["south"]),
    "beta": ("", []),
}


@pytest.fixture(scope="module", autouse=True)
def keys(runner, core: Core) -> None:
    for key_id, (label, tags) in KEYS.items():
        more = {"label": label, "restrictions": {"tags": tags}}
        runner.run(core.generate(key_id, "EC_P384", "ECDSA_Signature", **more))
    runner.run(core.generate("secret", "Generic", "HMAC_SHA256", length=256))


async def search(core: Core, query: str, *, user: Credentials = ADMIN) -> Answer:
    answer = await core.request("GET", f"/keys?{query}", user=user)
    assert answer.status == 200, answer
    return answer


async def ids(core: Core, query: str, *, user: Credentials = ADMIN) -> list[str]:
    answer = await search(core, f"details=true{query}", user=user)
    return [item["id"] for item in answer.json()]


def next_query(answer: Answer) -> str:
    """Return the query of the page that the answer's link leads to, or "" if there is none."""
    return answer.headers.get("Link", "").removeprefix("<?").removesuffix('>; rel="next"')


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("&labelContains=E", ["alpha", "alphabet"]),
        ("&labelContains=red", ["alpha"]),
        ("&labelContains=red&tag=south", []),
        ("&label=Red", ["alpha"]),
        ("&label=Re", []),
        ("&tag=south", ["alpine"]),
        ("&tag=sout", []),
        ("&type=Generic", ["secret"]),
        ("&type=EC_P384&prefix=alp", ["alpha", "alphabet", "alpine"]),
        ("&type=EC_P384&tag=north", ["alpha"]),
        ("&type=EC_P521", []),
    ],
)
async def test_a_label_a_tag_or_a_type_limits_a_list(
    core: Core, query: str, wanted: list[str]
) -> None:
    assert await ids(core, query) == wanted


async def test_an_operator_can_limit_a_list_to_keys_that_it_may_use(core: Core) -> None:
    user = await core.add_user("tagged", "Operator")
    await core.request("PUT", "/users/tagged/tags/north", user=ADMIN)
    assert await ids(core, "&filter", user=user) == ["alpha", "alphabet", "beta", "secret"]
    assert await ids(core, "", user=user) == [*KEYS, "secret"]
    assert await ids(core, "&filter") == [*KEYS, "secret"]


async def test_a_search_finds_no_key_of_another_namespace(core: Core) -> None:
    apart = await core.add_namespace("apart")
    assert await ids(core, "&tag=north", user=apart) == []
    await core.generate("own", "EC_P384", "ECDSA_Signature", by=apart, label="Red")
    assert await ids(core, "&labelContains=red", user=apart) == ["own"]
    assert await ids(core, "&labelContains=red") == ["alpha"]


async def test_links_lead_from_page_to_page_and_none_leads_on_from_the_last(core: Core) -> None:
    query, pages = "details=true&limit=1&labelContains=e", []
    while query:
        answer = await search(core, query)
        pages.append([item["id"] for item in answer.json()])
        query = next_query(answer)
    assert pages == [["alpha"], ["alphabet"], []]


async def test_a_link_goes_on_with_the_value_that_counted(core: Core) -> None:
    first = await search(core, "details=true&limit=1&prefix=alp&prefix=beta")
    assert next_query(first) == "details=true&limit=1&prefix=alp&after=alpha"


async def test_a_list_without_conditions_has_links_too(core: Core) -> None:
    first = await search(core, "details=true&limit=2")
    assert next_query(first) == "details=true&limit=2&after=alphabet"
    assert next_query(await search(core, "details=true")) == ""


async def test_a_request_looks_at_a_bounded_part_and_its_link_goes_on_from_there(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_lists, "MOST_PARTS", 1)
    headers = {"content-type": "application/octet-stream"}
    for key_id in KEYS:  # A long record is a part of its own.
        path, body = f"/keys/{key_id}/cert", b"x" * 70_000
        stored = await core.request("PUT", path, user=ADMIN, body=body, headers=headers)
        assert stored.status == 201, stored
    first = await search(core, "details=true&type=Generic")
    assert (first.json(), next_query(first)) == ([], "details=true&type=Generic&after=alpha")
    assert await ids(core, "&type=Generic&after=beta") == ["secret"]


@pytest.mark.usefixtures("every_key")
async def test_each_type_of_key_is_found(core: Core) -> None:
    listed = (await search(core, "details=true")).json()
    for row in algorithms.ALL:
        wanted = [item["id"] for item in listed if item["type"] == row.name]
        assert await ids(core, f"&type={row.name}") == wanted != []
