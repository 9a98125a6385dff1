"""What the log says of refused uses of keys and refused requests."""

import json

from tests.support.core import ADMIN, Core, b64


async def test_decisions_and_refused_requests_are_logged_with_who_and_from_where(core: Core):
    operator = await core.add_user("op", "Operator")
    await core.generate("tagged", "EC_P256", "ECDSA_Signature")
    await core.request("PUT", "/keys/tagged/restrictions/tags/t", user=ADMIN)
    wanted = {"mode": "ECDSA", "message": b64(bytes(32))}
    core.log_lines.clear()
    answer = await core.request("POST", "/keys/tagged/sign", user=operator, json=wanted)
    assert answer.status == 403
    assert (await core.request("DELETE", "/keys/tagged", user=operator)).status == 403
    assert (await core.request("GET", "/keys")).status == 401
    events = [json.loads(line) for line in core.log_lines]
    refused = [one for one in events if one["event"] == "key use refused"]
    assert [(one["caller"], one["key"], one["use"], one["mode"]) for one in refused] == [
        ("op", "tagged", "sign", "ECDSA")
    ]
    requests = [one for one in events if one["event"] == "request refused"]
    assert [(one["caller"], one["status"], one["method"], one["path"]) for one in requests] == [
        ("op", 403, "POST", "/api/v1/keys/{key_id}/sign"),
        ("op", 403, "DELETE", "/api/v1/keys/{key_id}"),
        ("", 401, "GET", "/api/v1/keys"),
    ]


async def test_refusals_do_not_fill_the_log(core: Core):
    core.log_lines.clear()
    for _ in range(300):
        assert (await core.request("GET", "/keys")).status == 401
    lines = [line for line in core.log_lines if "request refused" in line]
    assert 0 < len(lines) <= 60
