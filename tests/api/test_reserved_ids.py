"""Key IDs that are paths of the API: none is made, and one that a backup brings can be managed."""

import re

import pytest

from keystead.api.routes import ROUTES
from keystead.model.ids import RESERVED_KEY_IDS, parse_key_id
from keystead.model.keys import KeyPath
from tests.support.core import ADMIN, Core, Credentials, b64

PRIVATE = {"data": b64(bytes(31) + b"\x01")}
IMPORT = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"], "private": PRIVATE}


def test_every_path_in_the_place_of_a_key_id_is_reserved() -> None:
    beside = {
        match[1] for row in ROUTES if (match := re.match(r"/keys/([a-zA-Z0-9_.-]+)", row.path))
    }
    assert beside == RESERVED_KEY_IDS


def test_every_other_parameter_has_its_place_for_itself() -> None:
    places = {row.path.partition("{")[0] for row in ROUTES if "{" in row.path} - {"/keys/"}
    assert not [
        row.path for row in ROUTES for place in places if re.match(f"{place}[^{{]", row.path)
    ]


@pytest.mark.parametrize("reserved", sorted(RESERVED_KEY_IDS))
async def test_no_key_gets_a_reserved_id(core: Core, reserved: str) -> None:
    wanted = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"], "id": reserved}
    await core.generate("to-move", "EC_P256", "ECDSA_Signature")
    for path, content in (
        ("/keys/generate", wanted),
        ("/keys/to-move/move", {"newId": reserved}),
    ):
        answer = await core.request("POST", path, user=ADMIN, json=content)
        assert (answer.status, "the API has a path" in answer.message) == (400, True)
    answer = await core.request("PUT", f"/keys/{reserved}", user=ADMIN, json=IMPORT)
    assert answer.status == 405
    assert (await core.request("DELETE", "/keys/to-move", user=ADMIN)).status == 204


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/keys/generate", "/keys/generate/"])
async def test_a_path_of_the_api_is_none_of_a_key_to_anyone(
    core: Core, operator: Credentials, path: str, method: str
) -> None:
    for caller in (None, ADMIN, operator):
        answer = await core.request(method, path, user=caller)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("reserved", sorted(RESERVED_KEY_IDS))
async def test_a_key_that_has_one_can_be_used_and_moved_to_be_deleted(
    core: Core, operator: Credentials, reserved: str
) -> None:
    async def ask(method: str, path: str, content: object, user: Credentials) -> int:
        return (await core.request(method, path, user=user, json=content)).status

    await core.generate("ordinary", "EC_P256", "ECDSA_Signature")
    keys = core.hsm.session.keys
    record, _ = await keys.read(KeyPath(None, parse_key_id("ordinary")))
    await keys.put(KeyPath(None, parse_key_id(reserved)), record, expected=0)
    path = f"/keys/{reserved}"
    message = {"mode": "ECDSA", "message": b64(bytes(32))}
    assert await ask("POST", f"{path}/sign", message, operator) == 200
    assert await ask("POST", f"{path}/move", {"newId": "ordinary-2"}, ADMIN) == 200
    assert await ask("DELETE", "/keys/ordinary-2", None, ADMIN) == 204
    await core.generate("still-made", "EC_P256", "ECDSA_Signature")
