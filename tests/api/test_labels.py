"""PUT and DELETE /keys/{id}/label."""

import json

import pytest

from tests.support.core import ADMIN, Answer, Core, Credentials


@pytest.fixture(scope="module", autouse=True)
def key(runner, core: Core) -> None:
    runner.run(core.generate("key", "EC_P256", "ECDSA_Signature"))


async def put(core: Core, label: object, key_id: str = "key") -> Answer:
    return await core.request("PUT", f"/keys/{key_id}/label", user=ADMIN, json={"label": label})


async def label_of(core: Core, key_id: str = "key") -> str | None:
    return (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).json().get("label")


@pytest.mark.parametrize("label", ["x", "a label", "ü" * 16, "✓" * 10 + "xx", "\x00\n\t", '"\\'])
async def test_a_label_is_up_to_32_bytes_of_any_text(core: Core, label: str) -> None:
    assert (await put(core, label)).status == 204
    assert await label_of(core) == label


async def test_setting_the_same_label_again_is_304(core: Core) -> None:
    await put(core, "same")
    answer = await put(core, "same")
    assert (answer.status, answer.body) == (304, b"")
    assert await label_of(core) == "same"


@pytest.mark.parametrize("label", ["x" * 33, "ü" * 17, 1, None, ["x"], {}])
async def test_a_label_too_long_or_no_text_is_400(core: Core, label: object) -> None:
    await put(core, "before")
    answer = await put(core, label)
    assert answer.status == 400
    assert answer.message
    assert await label_of(core) == "before"


@pytest.mark.parametrize(
    "body", [b'{"label":"\\ud800"}', b'{"label":"\xff"}', b'{"label":"\xed\xa0\x80"}']
)
async def test_a_label_that_is_no_utf_8_is_400(core: Core, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await core.request("PUT", "/keys/key/label", user=ADMIN, body=body, headers=headers)
    assert answer.status == 400


async def test_an_empty_label_is_none(core: Core) -> None:
    await put(core, "something")
    assert (await put(core, "")).status == 204
    assert await label_of(core) is None
    assert (await put(core, "")).status == 304


async def test_deleting_a_label_succeeds_with_or_without_one(core: Core) -> None:
    await put(core, "something")
    for _ in range(2):
        answer = await core.request("DELETE", "/keys/key/label", user=ADMIN)
        assert (answer.status, answer.body) == (204, b"")
        assert await label_of(core) is None


async def test_a_key_that_is_not_there_has_no_label(core: Core) -> None:
    assert (await put(core, "x", "nothing")).status == 404
    assert (await core.request("DELETE", "/keys/nothing/label", user=ADMIN)).status == 404


async def test_an_operator_sets_no_labels(core: Core, operator: Credentials) -> None:
    wanted = {"label": "x"}
    answer = await core.request("PUT", "/keys/key/label", user=operator, json=wanted)
    assert answer.status == 403
    assert (await core.request("DELETE", "/keys/key/label", user=operator)).status == 403


async def test_two_keys_may_have_the_same_label(core: Core) -> None:
    await core.generate("other", "EC_P256", "ECDSA_Signature")
    assert (await put(core, "shared")).status == 204
    assert (await put(core, "shared", "other")).status == 204
    answer = await core.request("GET", "/keys?label=shared", user=ADMIN)
    assert answer.json() == [{"id": "key"}, {"id": "other"}]


async def test_the_log_says_what_of_a_key_was_changed(core: Core) -> None:
    kind = {"content-type": "application/octet-stream"}
    for method, path, sent in (
        ("PUT", "label", {"json": {"label": "logged"}}),
        ("PUT", "restrictions/tags/t", {}),
        ("DELETE", "restrictions/tags/t", {}),
        ("PUT", "cert", {"body": b"certificate", "headers": kind}),
        ("DELETE", "cert", {}),
    ):
        answer = await core.request(method, f"/keys/key/{path}", user=ADMIN, **sent)
        assert answer.status in {201, 204}, answer
    events = [json.loads(line) for line in core.log_lines]
    changed = [one["changed"] for one in events if one["event"] == "key changed"]
    assert changed[-5:] == ["label", "tags", "tags", "certificate", "certificate"]
