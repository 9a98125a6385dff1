"""What every endpoint does alike: methods, paths, media types, headers, errors."""

import json
import re
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from keystead.api.http.statuses import header_lines
from keystead.api.routes import ROUTES
from keystead.model.lifecycle import State
from keystead.wire.edge_messages import Request
from tests.support.core import ADMIN, EPOCH, Core, Credentials, WholeBody, b64, basic

FORM = {"content-type": "application/x-www-form-urlencoded"}
WITH_HEAD = {
    "/info",
    "/health/alive",
    "/health/diagnose",
    "/health/ready",
    "/health/state",
    "/config/tls/public.pem",
    "/metrics",
    "/openapi.json",
    "/namespaces",
    "/system/info",
}


@pytest.fixture(scope="module", autouse=True)
def key(runner, core: Core) -> None:
    runner.run(core.generate("key", "EC_P256", "ECDSA_Signature"))


@pytest.fixture(scope="module")
def metrics_user(runner, core: Core) -> Credentials:
    return runner.run(core.add_user("metrics", "Metrics"))


# --- methods -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES if route.method == "GET"}))
async def test_head_is_answered_where_nethsm_does_and_405_elsewhere(
    core: Core, metrics_user: Credentials, path: str
) -> None:
    path = path.format(key_id="key", user_id="admin", namespace_id="ns", approval_id="a")
    user = metrics_user if path == "/metrics" else ADMIN
    answer = await core.request("HEAD", path, user=user)
    if path not in WITH_HEAD:
        assert answer.status == 405
        assert "HEAD" not in answer.headers["Allow"]
    elif path == "/health/alive":
        assert answer.status == 412
    else:
        assert answer.status == 200


@pytest.mark.parametrize(
    "path", sorted({route.path for route in ROUTES if State.OPERATIONAL in route.states})
)
async def test_options_is_405_and_allow_lists_the_methods(core: Core, path: str) -> None:
    requested = re.sub(r"{\w+}", "thing", path)
    answer = await core.request("OPTIONS", requested, user=ADMIN)
    assert answer.status == 405
    rows = [route for route in ROUTES if route.path == path]
    expected = {route.method for route in rows}
    if any(route.answers_head for route in rows):
        expected.add("HEAD")
    assert set(answer.headers["Allow"].split(", ")) == expected


@pytest.mark.parametrize("method", ["PATCH", "PROPFIND", "get", "", "GET\0"])
async def test_a_method_nobody_knows_is_501(core: Core, method: str) -> None:
    answer = await core.request(method, "/keys", user=ADMIN)
    assert answer.status == 501
    assert answer.message


async def test_a_method_known_elsewhere_is_405(core: Core) -> None:
    answer = await core.request("DELETE", "/keys", user=ADMIN)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, POST"


# --- paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/keys/", "/keys/key/", "/users/admin/", "/keys/key/public.pem/"])
async def test_one_trailing_slash_is_accepted(core: Core, path: str) -> None:
    answer = await core.request("GET", path, user=ADMIN)
    assert answer.status == 200
    assert answer.body == (await core.request("GET", path[:-1], user=ADMIN)).body


async def test_an_empty_id_is_400(core: Core) -> None:
    assert (await core.request("GET", "/users//", user=ADMIN)).status == 400
    assert (await core.request("GET", "/keys//", user=ADMIN)).status == 400
    assert (await core.request("DELETE", "/namespaces//", user=ADMIN)).status == 400


@pytest.mark.parametrize(
    "path", ["", "/", "/nope", "/keys/key/nope", "/keys///", "/config", "/health", "/restrictions"]
)
async def test_an_unknown_path_is_404(core: Core, path: str) -> None:
    answer = await core.request("GET", path, user=ADMIN)
    assert (answer.status, answer.body) == (404, b"Not found")
    assert answer.headers["Content-Type"].startswith("text/plain")


async def test_outside_of_the_api_there_is_nothing(core: Core) -> None:
    answer = await core.request("GET", "/../../keys", user=ADMIN)
    assert answer.status == 404


async def test_percent_encoded_segments_mean_what_they_encode(core: Core) -> None:
    assert (await core.request("GET", "/keys/%6b%65%79", user=ADMIN)).status == 200
    assert (await core.request("GET", "/users/%61dmin", user=ADMIN)).status == 200


@pytest.mark.parametrize(
    "key_id", ["a%2Fb", "a%00", "%ff", "a%20b", "%", "%zz", "%C3%BC", "%2e%2e", "key%3F", "a~b"]
)
async def test_an_id_with_other_characters_is_400(core: Core, key_id: str) -> None:
    for method, path in [("GET", ""), ("DELETE", ""), ("GET", "/public.pem"), ("GET", "/cert")]:
        answer = await core.request(method, f"/keys/{key_id}{path}", user=ADMIN)
        assert answer.status == 400
        assert answer.message


@pytest.mark.parametrize("key_id", ["a", "9", "a_-.", "A" * 128])
async def test_an_id_of_good_characters_is_looked_for(core: Core, key_id: str) -> None:
    assert (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).status == 404


@pytest.mark.parametrize("key_id", ["_a", "-a", ".a", "A" * 129])
async def test_an_id_of_bad_form_is_400(core: Core, key_id: str) -> None:
    assert (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).status == 400


@pytest.mark.parametrize(("length", "status"), [(2000, 200), (2001, 414)])
async def test_a_uri_has_up_to_2000_characters(core: Core, length: int, status: int) -> None:
    path = "/keys?label="
    padding = "x" * 20 + "&y=" + "z" * (length - len("/api/v1" + path) - 23 + 1)
    answer = await core.request("GET", path + padding, user=ADMIN)
    assert answer.status == status


# --- media types ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "*/*",
        "application/*",
        "text/html, application/json;q=0.5",
        "text/html, */*;q=0.1",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        "*",
        "",
        " ",
    ],
)
async def test_accept_that_takes_json_is_answered(core: Core, accept: str) -> None:
    answer = await core.request("GET", "/keys", user=ADMIN, headers={"accept": accept})
    assert answer.status == 200


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/*",
        "application/json;q=0",
        "application/json;q=0, */*",
        "application/x-pem-file",
        "json",
        "application/json;q=bad",
        ",",
    ],
)
async def test_accept_that_excludes_json_is_406(core: Core, accept: str) -> None:
    answer = await core.request("GET", "/keys", user=ADMIN, headers={"accept": accept})
    assert answer.status == 406
    assert answer.headers["Content-Type"] == "application/json"
    assert "application/json" in answer.message


@pytest.mark.parametrize(
    ("path", "gives"),
    [
        ("/keys/key/public.pem", "application/x-pem-file"),
        ("/keys/key/cert", "application/octet-stream"),
    ],
)
async def test_each_endpoint_is_asked_for_its_own_type(core: Core, path: str, gives: str) -> None:
    good = await core.request("GET", path, user=ADMIN, headers={"accept": gives})
    bad = await core.request("GET", path, user=ADMIN, headers={"accept": "application/json"})
    assert good.status in {200, 404}
    assert bad.status == 406


async def test_deletions_and_creations_can_be_not_acceptable_too(core: Core) -> None:
    html = {"accept": "text/html"}
    assert (await core.request("DELETE", "/keys/key", user=ADMIN, headers=html)).status == 406
    answer = await core.request("PUT", "/namespaces/ns", user=ADMIN, headers=html)
    assert answer.status == 406


PUTS = [
    ("PUT", "/keys/key/label", b'{"label":"x"}'),
    ("PUT", "/users/somebody", b"{}"),
    ("PUT", "/config/unattended-boot", b'{"status":"off"}'),
    ("PUT", "/config/unlock-passphrase", b"{}"),
    ("PUT", "/config/time", b'{"time":"2024-01-01T00:00:00Z"}'),
    ("POST", "/keys/generate", b"{}"),
    ("POST", "/keys", b"{}"),
    ("POST", "/users", b"{}"),
    ("POST", "/cluster/members", b'{"urls":["https://192.0.2.2:2380"]}'),
    ("POST", "/users/ns~", b"{}"),
]


@pytest.mark.parametrize(("method", "path", "body"), PUTS)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_put_or_creation_of_another_type_is_415(
    core: Core, method: str, path: str, body: bytes, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = await core.request(method, path, user=ADMIN, body=body, headers=headers)
    assert answer.status == 415
    assert answer.message


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;x=y"]
)
async def test_a_content_type_may_have_parameters_and_any_case(
    core: Core, content_type: str
) -> None:
    headers = {"content-type": content_type}
    body = b'{"status":"off"}'
    answer = await core.request(
        "PUT", "/config/unattended-boot", user=ADMIN, body=body, headers=headers
    )
    assert answer.status == 204


@pytest.mark.parametrize(
    ("path", "status"),
    [("/namespaces/{}", 204), ("/keys/key/restrictions/tags/{}", 204), ("/users/op/tags/{}", 204)],
)
@pytest.mark.parametrize("content_type", [None, "application/json", "application/octet-stream"])
async def test_a_put_without_a_body_needs_no_type(
    core: Core, path: str, status: int, content_type: str | None
) -> None:
    await core.request(
        "PUT",
        "/users/op",
        user=ADMIN,
        json={"realName": "op", "role": "Operator", "passphrase": "0123456789"},
    )
    headers = {} if content_type is None else {"content-type": content_type}
    name = (content_type or "none").replace("/", ".")
    answer = await core.request("PUT", path.format(name), user=ADMIN, headers=headers)
    assert answer.status == status
    refused = await core.request("PUT", path.format("other"), user=ADMIN, headers=FORM)
    assert refused.status == 415


async def test_other_posts_ignore_the_type(core: Core, operator: Credentials) -> None:
    body = b'{"mode":"ECDSA","message":"%b"}' % b64(bytes(32)).encode()
    for headers in (FORM, {}, {"content-type": "nonsense"}):
        answer = await core.request(
            "POST", "/keys/key/sign", user=operator, body=body, headers=headers
        )
        # 403 would come of the tags that other tests gave the key, if it were read before.
        assert answer.status in {200, 403}
    answer = await core.request(
        "POST", "/random", user=operator, body=b'{"length":1}', headers=FORM
    )
    assert answer.status == 200


async def test_unlock_takes_json_under_a_form_type(fresh_core: Core) -> None:
    await fresh_core.provision()
    await fresh_core.request("POST", "/lock", user=ADMIN)
    answer = await fresh_core.request(
        "POST", "/unlock", body=b'{"passphrase":"unlockPassphrase"}', headers=FORM
    )
    assert answer.status == 204


# --- bodies --------------------------------------------------------------------------------------


async def test_a_body_over_a_mebibyte_is_413(core: Core) -> None:
    spaces = b" " * (2**20 - 16)
    answer = await core.request(
        "PUT",
        "/config/unattended-boot",
        user=ADMIN,
        body=b'{"status":"off"}' + spaces,
        headers={"content-type": "application/json"},
    )
    assert answer.status == 204
    answer = await core.request(
        "PUT",
        "/config/unattended-boot",
        user=ADMIN,
        body=b'{"status":"off"}' + spaces + b" ",
        headers={"content-type": "application/json"},
    )
    assert answer.status == 413
    assert answer.message


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(core: Core) -> None:
    headers = {"authorization": basic(ADMIN), "content-type": "application/json"}
    for size, status in [(2**20, 400), (2**20 + 1, 413)]:
        body = WholeBody(b" " * size)
        path = "/api/v1/config/time"
        request = Request(1, "PUT", path, "", headers, "192.0.2.1", b"", content_length=None)
        assert (await core.dispatcher.answer(request, body)).status == status


# --- answers -------------------------------------------------------------------------------------


async def test_date_is_the_configured_time(core: Core) -> None:
    answer = await core.request("GET", "/info")
    date = parsedate_to_datetime(answer.headers["Date"])
    assert answer.headers["Date"].endswith(" GMT")
    assert date.year == 2024
    assert date.timestamp() != EPOCH


async def test_204_and_304_have_neither_body_nor_type(core: Core) -> None:
    label = {"label": "the same"}
    for status in (204, 304):
        answer = await core.request("PUT", "/keys/key/label", user=ADMIN, json=label)
        assert answer.status == status
        assert answer.body == b""
        assert "Content-Type" not in answer.headers


async def test_401_names_the_scheme(core: Core) -> None:
    answer = await core.request("GET", "/keys")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.message


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/health/alive", {}, 412),
        ("BREW", "/info", {}, 501),
        ("POST", "/info", {}, 405),
        ("GET", "/keys", {}, 401),
        ("POST", "/random", {"user": ADMIN}, 403),
        ("GET", "/info", {"headers": {"accept": "x/y"}}, 406),
        ("GET", "/keys/-", {"user": ADMIN}, 400),
        ("PUT", "/config/time", {"user": ADMIN}, 415),
        ("POST", "/keys", {"user": ADMIN, "headers": JSON, "body": b"{"}, 400),
        ("DELETE", "/keys/nothing", {"user": ADMIN}, 404),
        ("GET", "/info?" + "x" * 2000, {}, 414),
        ("PUT", "/users/admin", {"user": ADMIN, "headers": JSON, "body": b"\xff"}, 400),
    ],
)
async def test_every_error_is_json_with_a_message(
    core: Core, method: str, path: str, more: dict[str, Any], status: int
) -> None:
    answer = await core.request(method, path, **more)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    content = json.loads(answer.body)
    assert set(content) == {"message"}
    assert content["message"]


async def test_what_has_no_tag_is_not_to_be_cached(core: Core) -> None:
    time = await core.request("GET", "/config/time", user=ADMIN)
    keys = await core.request("GET", "/keys", user=ADMIN)
    assert time.headers["Cache-Control"] == "no-cache"
    assert "Cache-Control" not in keys.headers
    assert keys.headers["ETag"]


# --- entity tags ---------------------------------------------------------------------------------


async def test_a_known_representation_is_not_sent_again(core: Core) -> None:
    first = await core.request("GET", "/keys/key", user=ADMIN)
    tag = first.headers["ETag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = await core.request("GET", "/keys/key", user=ADMIN, headers={"if-none-match": known})
        assert again.status == 304
        assert again.body == b""
        assert again.headers["ETag"] == tag
    changed = await core.request(
        "GET", "/keys/key", user=ADMIN, headers={"if-none-match": '"other"'}
    )
    assert changed.status == 200


async def test_a_change_is_made_to_what_the_client_saw_or_not_at_all(core: Core) -> None:
    await core.generate("seen", "EC_P256", "ECDSA_Signature")
    tag = (await core.request("GET", "/keys/seen", user=ADMIN)).headers["ETag"]
    await core.request("PUT", "/keys/seen/label", user=ADMIN, json={"label": "changed"})
    stale = await core.request("DELETE", "/keys/seen", user=ADMIN, headers={"if-match": tag})
    assert stale.status == 412
    tag = (await core.request("GET", "/keys/seen", user=ADMIN)).headers["ETag"]
    fresh = await core.request("DELETE", "/keys/seen", user=ADMIN, headers={"if-match": tag})
    assert fresh.status == 204


async def test_info_has_a_tag(core: Core) -> None:
    tag = (await core.request("GET", "/info")).headers["ETag"]
    again = await core.request("GET", "/info", headers={"if-none-match": tag})
    assert (again.status, again.body) == (304, b"")


async def test_if_none_match_star_creates_only(core: Core) -> None:
    wanted = {"realName": "x", "role": "Operator", "passphrase": "0123456789"}
    headers = {"if-none-match": "*"}
    made = await core.request("PUT", "/users/once", user=ADMIN, json=wanted, headers=headers)
    assert made.status == 201
    again = await core.request("PUT", "/users/once", user=ADMIN, json=wanted, headers=headers)
    assert again.status == 412
    missing = await core.request("DELETE", "/users/nobody", user=ADMIN, headers={"if-match": "*"})
    assert missing.status == 412


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("PUT", "/config/time", {"time": "2026-01-01T00:00:00Z"}),
        ("POST", "/random", {"length": 1}),
        ("GET", "/health/state", None),
    ],
)
async def test_what_has_no_tag_matches_none(
    core: Core, operator: Credentials, method: str, path: str, content: object
) -> None:
    user = operator if path == "/random" else ADMIN

    async def ask(condition: str) -> int:
        headers = {"if-match": condition}
        return (await core.request(method, path, user=user, json=content, headers=headers)).status

    assert await ask('"seen"') == 412
    assert await ask("*") in {200, 201, 204}


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "\n"])
def test_a_header_does_not_become_two(value):
    assert header_lines([("Location", "/a"), ("ETag", '"b"')]) == b'Location: /a\r\nETag: "b"\r\n'
    with pytest.raises(ValueError, match="line break"):
        header_lines([("Location", value)])
    with pytest.raises(ValueError, match="line break"):
        header_lines([(f"X{value}", "a")])
