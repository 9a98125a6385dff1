"""Answers to NetHSM's requests have NetHSM's fields only.

Clients that are generated from its description for Go or Java refuse an answer with another one.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.core import ADMIN, Core, Credentials, b64
from tests.support.nethsm_api import OPERATIONS

NOT_ASKED = {
    "POST /cluster/members": "there is no cluster here: see tests/api/test_cluster_members.py",
    "POST /system/update": "see tests/api/test_update.py",
}
"""Operations whose answers others look at."""

NETWORK = {
    "ipAddress": "192.0.2.1",
    "netmask": "255.255.255.0",
    "gateway": "192.0.2.254",
    "ipv6": {"cidr": "2001:db8::2/64", "gateway": None},
}
USER = {"realName": "x", "role": "Operator", "passphrase": "0123456789"}
BLOCK = b64(bytes(16))
KEY = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}

GETS = [
    "/info",
    "/health/state",
    "/health/diagnose",
    "/keys",
    "/keys/a*",
    "/keys/ec",
    "/keys/rsa",
    "/keys/aes",
    "/cluster/members",
    "/namespaces",
    "/users",
    "/users/admin",
    "/config/unattended-boot",
    "/config/network",
    "/config/logging",
    "/config/time",
    "/system/info",
]
REQUESTS: list[tuple[str, str, Any]] = [
    *(("GET", path, None) for path in GETS),
    ("POST", "/random", {"length": 1}),
    ("POST", "/keys", {**KEY, "private": {"data": b64(bytes(31) + b"\5")}}),
    ("POST", "/keys/generate", KEY),
    ("POST", "/keys/aes/encrypt", {"mode": "AES_CBC", "message": BLOCK}),
    ("POST", "/keys/aes/decrypt", {"mode": "AES_CBC", "encrypted": BLOCK, "iv": BLOCK}),
    ("POST", "/keys/ec/sign", {"mode": "ECDSA", "message": b64(bytes(32))}),
    ("POST", "/keys/moving/move", {"newId": "moved"}),
    ("POST", "/users", USER),
    ("POST", "/users/ns~", USER),
]


def operation(method: str, path: str) -> str:
    path = re.sub(r"(?<=^/keys/)(?!generate$)[^/*]+|(?<=^/users/)[^/]+", "{}", path)
    return f"{method} {path}"


def names(content: Any, outer: str = "") -> Iterator[str]:
    """Yield the fields of an object, or of the objects in a list, and theirs, as `a.b`."""
    if isinstance(content, list):
        for one in content:
            yield from names(one, outer)
    elif isinstance(content, dict):
        for name, inner in content.items():
            yield f"{outer}{name}"
            yield from names(inner, f"{outer}{name}.")


@pytest.fixture(scope="module", autouse=True)
def things(runner, core: Core) -> None:
    async def make() -> None:
        for key_id in ("ec", "moving"):
            await core.generate(
                key_id, "EC_P256", "ECDSA_Signature", label="x", restrictions={"tags": []}
            )
        mechanisms = ("AES_Encryption_CBC", "AES_Decryption_CBC")
        await core.generate("aes", "Generic", *mechanisms, length=256)
        await core.generate("rsa", "RSA", "RSA_Signature_PKCS1", length=1024)
        await core.request("PUT", "/config/network", user=ADMIN, json=NETWORK)

    runner.run(make())


def test_every_operation_of_nethsm_with_fields_in_its_answer_is_asked() -> None:
    asked = {operation(method, path) for method, path, _ in REQUESTS}
    assert asked | NOT_ASKED.keys() == {
        name for name, facts in OPERATIONS.items() if facts["answered"]
    }


@pytest.mark.parametrize(("method", "path", "wanted"), REQUESTS)
async def test_an_answer_has_no_field_that_nethsm_s_has_not(
    core: Core, operator: Credentials, method: str, path: str, wanted: Any
) -> None:
    is_use = path.endswith(("crypt", "sign", "random"))
    answer = await core.request(method, path, user=operator if is_use else ADMIN, json=wanted)
    assert answer.status in {200, 201}, answer
    known = OPERATIONS[operation(method, path)]["answered"]
    assert set(names(answer.json())) <= set(known)
