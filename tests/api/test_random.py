"""POST /random."""

import base64

import pytest

from tests.support.core import ADMIN, Core, Credentials


@pytest.mark.parametrize("length", [1, 2, 3, 1023, 1024])
async def test_as_many_bytes_come_as_were_asked_for(
    core: Core, operator: Credentials, length: int
) -> None:
    answer = await core.request("POST", "/random", user=operator, json={"length": length})
    assert answer.status == 200
    assert set(answer.json()) == {"random"}
    assert len(base64.b64decode(answer.json()["random"], validate=True)) == length


async def test_they_are_different_every_time(core: Core, operator: Credentials) -> None:
    wanted = {"length": 16}
    answers = [
        (await core.request("POST", "/random", user=operator, json=wanted)).body for _ in range(50)
    ]
    assert len(set(answers)) == 50


@pytest.mark.parametrize(
    "body",
    [
        b'{"length":0}',
        b'{"length":1025}',
        b'{"length":-1}',
        b'{"length":1e3}',
        b'{"length":1.5}',
        b'{"length":"1"}',
        b'{"length":null}',
        b'{"length":true}',
        b'{"length":99999999999999999999999999}',
        b'{"length":1,"x":1}',
        b"{}",
        b"[1]",
        b"",
    ],
)
async def test_any_other_length_is_400(core: Core, operator: Credentials, body: bytes) -> None:
    answer = await core.request("POST", "/random", user=operator, body=body)
    assert answer.status == 400
    assert answer.message


async def test_only_operators_get_them(core: Core) -> None:
    answer = await core.request("POST", "/random", user=ADMIN, json={"length": 1})
    assert answer.status == 403
