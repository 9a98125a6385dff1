"""The description that Keystead gives of itself, against its rows and against NetHSM's."""

import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from keystead.api.description.openapi import describe
from keystead.api.http.route import ALL_STATES, Call, Reply, Route
from keystead.api.routes import ROUTES
from keystead.model.lifecycle import State
from tests.support import beyond_nethsm, nethsm_api
from tests.support.core import Core
from tests.support.described import undescribed

OURS = describe(ROUTES)


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every operation by method and path, parameters without their names."""
    return {
        f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}": operation
        for path, item in document.get("paths", {}).items()
        for method, operation in item.items()
        if method != "parameters"
    }


MINE, THEIRS = operations(OURS), nethsm_api.OPERATIONS
SHARED = sorted(set(MINE) & set(THEIRS))


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def body_fields(document: dict[str, Any], operation: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The fields that a JSON body may have, and those that it must have."""
    content = operation.get("requestBody", {}).get("content", {})
    schema = resolve(document, content.get("application/json", {}).get("schema", {}))
    return set(schema.get("properties", ())), set(schema.get("required", ()))


def test_it_is_valid_openapi():
    OpenAPIV31SpecValidator(OURS).validate()


def test_every_row_is_in_it_and_says_what_it_is_for():
    described = {(method, path) for path, item in OURS["paths"].items() for method in item}
    assert {(row.method.lower(), row.path) for row in ROUTES} <= described
    assert all(len(operation["summary"]) > 5 for operation in MINE.values())
    ids = [operation["operationId"] for operation in MINE.values()]
    assert len(ids) == len(set(ids))


def test_head_is_described_where_it_is_answered():
    heads = {path for path, item in OURS["paths"].items() if "head" in item}
    assert heads == {row.path for row in ROUTES if row.answers_head}


@pytest.mark.parametrize("state", State)
async def test_everyone_may_read_it_in_every_state(
    core: Core, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    monkeypatch.setattr(core.hsm, "state", state)
    answer = await core.request("GET", "/openapi.json")
    assert answer.json() == OURS
    known = {"if-none-match": answer.headers["ETag"]}
    assert (await core.request("GET", "/openapi.json", headers=known)).status == 304


def test_a_key_comes_as_json_or_as_the_two_parts_of_a_form():
    content = MINE["POST /keys"]["requestBody"]["content"]
    shapes = {kind: resolve(OURS, media["schema"]) for kind, media in content.items()}
    assert set(shapes["multipart/form-data"]["properties"]) == {"arguments", "key_file"}
    assert "private" in shapes["application/json"]["properties"]


def test_a_handler_that_does_not_say_what_it_is_for_is_refused():
    async def silent(_: Call[None]) -> Reply[None]:
        """GET /silent."""
        return Reply(204)

    with pytest.raises(ValueError, match="does not say what it is for"):
        describe([Route("GET", "/silent", silent, ALL_STATES)])


@pytest.mark.parametrize("operation", SHARED)
def test_success_is_the_same_as_in_nethsm_s(operation: str) -> None:
    mine = {status for status in MINE[operation]["responses"] if status.startswith("2")}
    beyond = beyond_nethsm.SUCCESSES.get(operation, ())
    assert mine == {*THEIRS[operation]["successes"], *beyond}


@pytest.mark.parametrize("operation", SHARED)
def test_a_body_has_the_fields_of_nethsm_s_and_ours(operation: str) -> None:
    fields, required = body_fields(OURS, MINE[operation])
    theirs, beyond = THEIRS[operation], beyond_nethsm.FIELDS.get(operation, ())
    needed = set(theirs["required"]).difference(beyond_nethsm.OPTIONAL.get(operation, ()))
    assert (fields, required) == ({*theirs["fields"], *beyond}, needed)


@pytest.mark.parametrize("operation", SHARED)
def test_the_parameters_of_an_operation_are_nethsm_s_and_ours(operation: str) -> None:
    parameters = MINE[operation].get("parameters", ())
    mine = {one["name"] for one in parameters if one["in"] == "query"}
    assert mine - {"label", "filter"} == set(beyond_nethsm.QUERIES.get(operation, ()))


def test_a_list_of_keys_is_described_with_and_without_details():
    content = MINE["GET /keys"]["responses"]["200"]["content"]["application/json"]
    plain, detailed = (resolve(OURS, one["items"]) for one in content["schema"]["anyOf"])
    shown = MINE["GET /keys/{}"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(plain["properties"]) == {"id"}
    more = {"id", "publicPem", "hasCertificate"}
    assert set(detailed["properties"]) == more | set(resolve(OURS, shown)["properties"])


# NetHSM's says in words only that forcing a cluster takes the unlock passphrase.
@pytest.mark.parametrize("operation", sorted(set(SHARED) - {"POST /cluster/force-new"}))
def test_who_may_call_is_the_same_as_in_nethsm_s(operation: str) -> None:
    assert bool(MINE[operation]["security"]) == THEIRS[operation]["authenticated"]


def test_the_refusal_of_an_older_store_is_described_with_its_code():
    content = MINE["POST /unlock"]["responses"]["409"]["content"]["application/json"]
    shape = resolve(OURS, content["schema"])
    assert set(shape["properties"]) == {"message", "acknowledgeRollback"}
    assert shape["required"] == ["message"]


# What every answer of `Core` is held against.
@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "body", "missing"),
    [
        ("GET", "/health/state", 200, "application/json", b'{"state": "Locked"}', None),
        ("GET", "/info", 418, "application/json", b"{}", "418"),
        ("GET", "/info", 200, "text/plain", b"{}", "with text/plain"),
        ("GET", "/info", 412, "application/json", b'{"message": "", "code": ""}', "code"),
        ("POST", "/lock", 204, "", b"{}", "with a body"),
        ("HEAD", "/info", 418, "", b"", "418"),
        ("PATCH", "/info", 405, "", b"", None),
        ("GET", "/nothing", 404, "", b"", None),
    ],
)
def test_an_answer_that_is_not_described_is_noticed(
    method: str, path: str, status: int, kind: str, body: bytes, missing: str | None
) -> None:
    found = undescribed(method, "/api/v1" + path, status, {"Content-Type": kind}, body)
    assert (found is None) if missing is None else (found is not None and missing in found)
