"""If-Match and If-None-Match on changes: of two that were made from the same tag, one is made."""

import asyncio
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from keystead.api.dispatch import Dispatcher
from keystead.api.http.route import Call, Reply
from keystead.api.routes import ROUTES
from keystead.operations.tls import TlsIdentity
from tests.support.core import ADMIN, Answer, Core, start_core
from tests.support.stores import WatchedStore

USER = {"realName": "x", "role": "Operator", "passphrase": "0123456789"}
NETWORK = {"gateway": "10.0.0.1", "netmask": "255.255.255.0"}
LOGGING = {"port": 514, "logLevel": "info"}


class Servers:
    async def try_out(self, _: TlsIdentity) -> None:
        await asyncio.sleep(0)

    async def serve(self, _: TlsIdentity) -> None:
        pass


@pytest.fixture(scope="module")
def core(runner: asyncio.Runner) -> Iterator[Core]:
    """A core on a store that takes its time, so that requests come between one another."""
    core = runner.run(start_core(store=WatchedStore()))
    runner.run(core.provision())
    core.hsm.tls.servers = Servers()
    yield core
    core.close()


async def _prepared(core: Core) -> None:
    await core.add_namespace("na")
    keeper = await core.add_namespace("nb")
    await core.add_user("nb~second", "Administrator", by=keeper)
    await core.request("PUT", "/users/doomed", user=ADMIN, json=USER)
    for key in ("doomed", "bare", "certified"):
        await core.generate(key, "EC_P256", "ECDSA_Signature")
    await core.request("PUT", "/keys/certified/cert", user=ADMIN, **_bytes(b"first"))


def _bytes(content: bytes, content_type: str = "application/octet-stream") -> dict:
    return {"body": content, "headers": {"content-type": content_type}}


@pytest.fixture(scope="module", autouse=True)
def prepared(runner: asyncio.Runner, core: Core) -> None:
    runner.run(_prepared(core))


CHANGES = [
    ("PUT", "/config/unattended-boot", [{"json": {"status": "on"}}, {"json": {"status": "off"}}]),
    (
        "PUT",
        "/config/network",
        [{"json": NETWORK | {"ipAddress": f"10.0.0.{n}"}} for n in (2, 3)],
    ),
    (
        "PUT",
        "/config/logging",
        [{"json": LOGGING | {"ipAddress": f"10.0.0.{n}"}} for n in (2, 3)],
    ),
    ("PUT", "/config/ntp", [{"json": {"ntpIP": f"10.0.0.{n}"}} for n in (1, 2)]),
    ("PUT", "/config/tls/cert.pem", [{}, {}]),
    ("DELETE", "/users/doomed", [{}, {}]),
    ("DELETE", "/keys/doomed", [{}, {}]),
    ("DELETE", "/keys/certified/cert", [{}, {}]),
]
"""Rows that have a tag to match, each with two changes."""

CREATIONS = [
    ("PUT", "/users/fresh", [{"json": USER}, {"json": USER | {"realName": "y"}}]),
    ("PUT", "/keys/bare/cert", [_bytes(b"one"), _bytes(b"two")]),
]


async def _asked(core: Core, method: str, path: str, wanted: dict, condition: dict) -> Answer:
    headers = wanted.get("headers", {}) | condition
    if path == "/config/tls/cert.pem":
        pem = (await core.request("GET", path, user=ADMIN)).body
        wanted = _bytes(pem, "application/x-pem-file")
        headers = wanted["headers"] | condition
    return await core.request(method, path, user=ADMIN, **wanted | {"headers": headers})


@pytest.mark.parametrize(("method", "path", "changes"), CHANGES)
async def test_of_two_changes_with_the_same_if_match_one_is_made(
    core: Core, method: str, path: str, changes: list[dict]
) -> None:
    tag = (await core.request("GET", path, user=ADMIN)).headers["ETag"]
    asked = [_asked(core, method, path, wanted, {"if-match": tag}) for wanted in changes]
    made, refused = sorted(answer.status for answer in await asyncio.gather(*asked))
    assert made in {201, 204}
    assert refused == 412 or (refused == 404 and method == "DELETE")


@pytest.mark.parametrize(("method", "path", "creations"), CREATIONS)
async def test_of_two_creations_with_if_none_match_one_is_made(
    core: Core, method: str, path: str, creations: list[dict]
) -> None:
    asked = [_asked(core, method, path, wanted, {"if-none-match": "*"}) for wanted in creations]
    made, refused = sorted(answer.status for answer in await asyncio.gather(*asked))
    assert (made, refused) == (201, 412)


async def test_a_change_by_another_path_counts_too(core: Core) -> None:
    await core.generate("labelled", "EC_P256", "ECDSA_Signature")
    tag = (await core.request("GET", "/keys/labelled", user=ADMIN)).headers["ETag"]
    deleted, labelled = await asyncio.gather(
        core.request("DELETE", "/keys/labelled", user=ADMIN, headers={"if-match": tag}),
        core.request("PUT", "/keys/labelled/label", user=ADMIN, json={"label": "other"}),
    )
    assert (deleted.status, labelled.status) in {(412, 204), (204, 404)}


@pytest.mark.parametrize("form", ["W/{}", "{unquoted}", 'W/{}, "other"'])
async def test_if_match_takes_strong_tags_only(core: Core, form: str) -> None:
    tag = (await core.request("GET", "/config/ntp", user=ADMIN)).headers["ETag"]
    condition = form.format(tag, unquoted=tag.strip('"'))
    for method, content in (("GET", None), ("PUT", {"ntpIP": "10.0.0.9"})):
        answer = await core.request(
            method, "/config/ntp", user=ADMIN, json=content, headers={"if-match": condition}
        )
        assert answer.status == 412


# --- tags, which have no entity tag: they exist or do not -----------------------------------------

TAGS = ["/keys/tagged/restrictions/tags/{}", "/users/tagged/tags/{}"]


async def _tagged(core: Core) -> None:
    """Have a key and a user with the tag `old` and no tag `new`."""
    if (await core.request("GET", "/keys/tagged", user=ADMIN)).status == 404:
        await core.generate("tagged", "EC_P256", "ECDSA_Signature")
        await core.request("PUT", "/users/tagged", user=ADMIN, json=USER)
    for path in TAGS:
        await core.request("PUT", path.format("old"), user=ADMIN)
        await core.request("DELETE", path.format("new"), user=ADMIN)


@pytest.mark.parametrize("path", TAGS)
@pytest.mark.parametrize(
    ("method", "tag", "condition", "status"),
    [
        ("PUT", "new", {"if-match": "*"}, 412),
        ("PUT", "new", {"if-none-match": "*"}, 204),
        ("PUT", "new", {"if-none-match": '"seen"'}, 204),
        ("PUT", "old", {"if-match": "*"}, 304),
        ("PUT", "old", {"if-match": '"seen"'}, 412),
        ("PUT", "old", {"if-none-match": "*"}, 412),
        ("DELETE", "new", {"if-match": "*"}, 412),
        ("DELETE", "new", {"if-none-match": "*"}, 404),
        ("DELETE", "old", {"if-none-match": "*"}, 412),
        ("DELETE", "old", {"if-match": "*"}, 204),
    ],
)
async def test_a_condition_on_a_tag_is_that_it_is_there_or_not(
    core: Core, path: str, method: str, tag: str, condition: dict, status: int
) -> None:
    await _tagged(core)
    answer = await core.request(method, path.format(tag), user=ADMIN, headers=condition)
    assert answer.status == status


@pytest.mark.parametrize("path", ["/keys/none/restrictions/tags/t", "/users/none/tags/t"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_what_a_tag_would_be_of_is_looked_for_first(
    core: Core, path: str, method: str
) -> None:
    for condition, status in (({"if-match": "*"}, 412), ({"if-none-match": "*"}, 404)):
        answer = await core.request(method, path, user=ADMIN, headers=condition)
        assert answer.status == status


@pytest.mark.parametrize("path", TAGS)
async def test_of_two_that_give_the_first_tag_of_a_name_one_does(core: Core, path: str) -> None:
    await _tagged(core)
    asked = [
        core.request("PUT", path.format("new"), user=ADMIN, headers={"if-none-match": "*"})
        for _ in range(2)
    ]
    assert sorted([answer.status for answer in await asyncio.gather(*asked)]) == [204, 412]


# --- what has no entity tag ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/keys/none", None),
        ("GET", "/keys/none/public.pem", None),
        ("GET", "/users/none", None),
        ("GET", "/users/none/tags", None),
        ("PUT", "/keys/none/label", {"label": "x"}),
        ("POST", "/keys/none/move", {"newId": "x"}),
        ("POST", "/users/none/passphrase", {"passphrase": "0123456789"}),
        ("PUT", "/namespaces/none", None),
        ("DELETE", "/namespaces/none", None),
    ],
)
async def test_what_does_not_exist_matches_nothing(
    core: Core, method: str, path: str, wanted: object
) -> None:
    for condition in ("*", '"seen"'):
        headers = {"if-match": condition}
        answer = await core.request(method, path, user=ADMIN, json=wanted, headers=headers)
        assert (answer.status, "If-Match" in answer.message) == (412, True)
    assert (await core.request("DELETE", "/namespaces/none", user=ADMIN)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("PUT", "/config/time", {"time": "2024-01-01T00:00:00Z"}),
        ("POST", "/keys/generate", {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}),
        ("POST", "/lock", None),
        ("PUT", "/namespaces/na", None),
        ("DELETE", "/namespaces/na", None),
    ],
)
async def test_what_is_there_is_not_changed_by_who_expects_nothing(
    core: Core, method: str, path: str, wanted: object
) -> None:
    headers = {"if-none-match": "*"}
    answer = await core.request(method, path, user=ADMIN, json=wanted, headers=headers)
    assert answer.status == 412
    answer = await core.request("GET", "/namespaces", user=ADMIN)
    assert {"id": "na"} in answer.json()


# --- conditions tell nothing that GET does not ----------------------------------------------------


@pytest.mark.parametrize("condition", [{"if-none-match": "*"}, {"if-match": "*"}])
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
@pytest.mark.parametrize("user", ["nb~second", "nb~nobody", "admin", "nobody"])
async def test_a_condition_tells_no_administrator_who_is_elsewhere(
    core: Core, method: str, user: str, condition: dict[str, str]
) -> None:
    answer = await core.request(
        method,
        f"/users/{user}",
        user=("na~admin", "passphrase of na~admin"),
        json=USER,
        headers=condition,
    )
    assert (answer.status, answer.message) == (403, "This user is in another namespace.")


TAGGED = {row.path: row for row in ROUTES if row.method == "GET" and row.has_tag}
CONDITIONAL = [row for row in ROUTES if row.method != "GET" and row.path in TAGGED]


@pytest.mark.parametrize("row", CONDITIONAL, ids=lambda row: f"{row.method} {row.path}")
async def test_a_row_whose_get_is_closed_to_the_caller_compares_nothing(core: Core, row) -> None:
    async def told(_: Call) -> Reply:
        raise AssertionError("the handler of a row that is closed to the caller has run")

    closed = replace(TAGGED[row.path], handler=told, roles=frozenset())
    dispatcher, core.dispatcher = core.dispatcher, Dispatcher(core.hsm, [row, closed])
    path = row.path.replace("{user_id}", "someone").replace("{key_id}", "something")
    types = {"content-type": (*row.accepts.types, "application/json")[0]}
    answer = await core.request(
        row.method, path, user=ADMIN, body=b"", headers=types | {"if-none-match": "*"}
    )
    core.dispatcher = dispatcher
    assert answer.status == 403


async def test_a_user_that_gets_its_id_from_the_hsm_is_made_under_a_condition(core: Core) -> None:
    wanted = {"realName": "x", "role": "Administrator", "passphrase": "passphrase of x"}
    path = "/users/fresh~"
    for headers, status in (({"if-match": "*"}, 412), ({"if-none-match": "*"}, 201)):
        answer = await core.request("POST", path, user=ADMIN, json=wanted, headers=headers)
        assert answer.status == status, answer
