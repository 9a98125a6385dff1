"""JSON bodies are taken and refused as by NetHSM's own codecs, field by field.

NetHSM derives them from OCaml records: a field is text, a whole number of 63 bits, a list or an
object; one without a default must be there; null fits an optional one only; and there are no
others.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.core import ADMIN, UNLOCK, Core, Credentials, b64, start_core

ADDRESS = "192.0.2.1"
SCALAR = b64(bytes(31) + b"\5")
BLOCK = b64(bytes(16))

TEXT = {"text"}
NUMBER = {"number"}
TEXTS = {"empty list", "texts"}
OPTIONAL_TEXT = TEXT | {"null"}
OPTIONAL_TEXTS = TEXTS | {"null"}
OBJECT = {"object"}
OPTIONAL_OBJECT = OBJECT | {"null"}

VALUES = [
    ("null", "null"),
    ("number", "7"),
    ("number", "-0"),
    ("text", '"7"'),
    ("text", '""'),
    ("boolean", "true"),
    ("fraction", "7.0"),
    ("fraction", "7e0"),
    ("huge number", str(2**62)),
    ("huge number", str(-(2**62) - 1)),
    ("huge number", "9" * 5000),
    ("not a number", "NaN"),
    ("half a surrogate pair", r'"some passphrase\ud800"'),
    ("empty list", "[]"),
    ("texts", '["a"]'),
    ("numbers", "[7]"),
    ("nulls", "[null]"),
    ("lists", "[[]]"),
    ("object", "{}"),
    ("other object", '{"x":1}'),
]
"""Kinds of values, and JSON of each."""


@dataclass(frozen=True)
class Codec:
    """One of NetHSM's requests."""

    method: str
    path: str
    fits: dict[str, Any]
    """A body that is taken."""
    kinds: dict[str, set[str]]
    """The kinds of values that each field takes. Those with a `?` may be missing."""
    by: str = "admin"


NETWORK = {"ipAddress": ADDRESS, "netmask": "255.255.255.0", "gateway": "192.0.2.2"}
IPV6 = {"cidr": "2001:db8::2/64", "gateway": "2001:db8::1"}
RESTRICTED = {"restrictions": {"tags": ["a"]}, "label": "x"}
RESTRICTIONS = {"restrictions?": OBJECT, "restrictions.tags?": TEXTS, "label?": TEXT}
SUBJECT = {
    "commonName": "a.example",
    "countryName": "DE",
    "localityName": "a",
    "stateOrProvinceName": "b",
    "organizationName": "c",
    "organizationalUnitName": "d",
    "emailAddress": "a@b.example",
    "subjectAltNames": ["a.example"],
}
SUBJECT_KINDS = {
    "commonName": TEXT,
    **{f"{name}?": TEXT for name in list(SUBJECT)[1:-1]},
    "subjectAltNames?": OPTIONAL_TEXTS,
}
CHANGE = {"newPassphrase": TEXT, "currentPassphrase": TEXT}

CODECS = [
    Codec(
        "PUT",
        "/config/unlock-passphrase",
        {"newPassphrase": UNLOCK, "currentPassphrase": UNLOCK},
        CHANGE,
    ),
    Codec(
        "PUT",
        "/config/backup-passphrase",
        {"newPassphrase": "some passphrase", "currentPassphrase": ""},
        CHANGE,
    ),
    Codec("PUT", "/config/unattended-boot", {"status": "off"}, {"status": TEXT}),
    Codec("PUT", "/config/time", {"time": "2024-01-01T00:00:00Z"}, {"time": TEXT}),
    Codec(
        "PUT",
        "/config/logging",
        {"ipAddress": ADDRESS, "port": 514, "logLevel": "info"},
        {"ipAddress": TEXT, "port": NUMBER, "logLevel": TEXT},
    ),
    Codec(
        "PUT",
        "/config/network",
        {**NETWORK, "ipv6": IPV6},
        {
            "ipAddress": TEXT,
            "netmask": TEXT,
            "gateway?": TEXT,  # NetHSM's codec wants one, its description does not.
            "ipv6?": {"null"},
            "ipv6.cidr": TEXT,
            "ipv6.gateway": OPTIONAL_TEXT,
        },
    ),
    Codec("POST", "/config/tls/generate", {"type": "EC_P256"}, {"type": TEXT, "length?": NUMBER}),
    Codec("POST", "/config/tls/csr.pem", SUBJECT, SUBJECT_KINDS),
    Codec(
        "POST",
        "/users",
        {"realName": "a", "role": "Operator", "passphrase": "some passphrase"},
        {"realName": TEXT, "role": TEXT, "passphrase": TEXT},
    ),
    Codec(
        "POST", "/users/other/passphrase", {"passphrase": "some passphrase"}, {"passphrase": TEXT}
    ),
    Codec("POST", "/random", {"length": 7}, {"length": NUMBER}, by="operator"),
    Codec(
        "POST",
        "/keys/generate",
        {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"], "length": 7, "id": "", **RESTRICTED},
        {"type": TEXT, "mechanisms": TEXTS, "length?": NUMBER, "id?": TEXT, **RESTRICTIONS},
    ),
    Codec(
        "POST",
        "/keys",
        {
            "type": "EC_P256",
            "mechanisms": ["ECDSA_Signature"],
            "private": {"data": SCALAR, "primeP": "", "primeQ": "", "publicExponent": ""},
            **RESTRICTED,
        },
        {
            "type": TEXT,
            "mechanisms": TEXTS,
            "private": set(),
            "private.data": TEXT,
            "private.primeP?": TEXT,
            "private.primeQ?": TEXT,
            "private.publicExponent?": TEXT,
            **RESTRICTIONS,
        },
    ),
    Codec("PUT", "/keys/ec/label", {"label": "x"}, {"label": TEXT}),
    Codec("POST", "/keys/ec/move", {"newId": "other"}, {"newId": TEXT}),
    Codec("POST", "/keys/ec/csr.pem", SUBJECT, SUBJECT_KINDS),
    Codec(
        "POST",
        "/keys/ec/sign",
        {"mode": "ECDSA", "message": b64(bytes(32))},
        {"mode": TEXT, "message": TEXT},
        by="operator",
    ),
    Codec(
        "POST",
        "/keys/aes/encrypt",
        {"mode": "AES_CBC", "message": BLOCK, "iv": BLOCK},
        {"mode": TEXT, "message": TEXT, "iv?": OPTIONAL_TEXT},
        by="operator",
    ),
    Codec(
        "POST",
        "/keys/rsa/decrypt",
        {"mode": "RAW", "encrypted": b64(b"\1"), "iv": None},
        {"mode": TEXT, "encrypted": TEXT, "iv?": OPTIONAL_TEXT},
        by="operator",
    ),
]


FIRST = [
    Codec(
        "POST",
        "/provision",
        {
            "unlockPassphrase": UNLOCK,
            "adminPassphrase": ADMIN[1],
            "systemTime": "2024-01-01T00:00:00Z",
        },
        {"unlockPassphrase": TEXT, "adminPassphrase": TEXT, "systemTime": TEXT},
        by="nobody",
    ),
    Codec("POST", "/unlock", {"passphrase": UNLOCK}, {"passphrase": TEXT}, by="nobody"),
]
"""Requests in states Unprovisioned and Locked."""


def row_name(codec: Codec) -> str:
    return f"{codec.method} {codec.path}"


def changed(body: dict[str, Any], field: str, value: str | None) -> bytes:
    """Return JSON of `body` with JSON `value` in `field`, or without the field."""
    outer, _, inner = field.rpartition(".")
    copy = json.loads(json.dumps(body))
    target = copy[outer] if outer else copy
    if value is None:
        target.pop(inner, None)
        return json.dumps(copy).encode()
    target[inner] = "VALUE"
    return json.dumps(copy).replace('"VALUE"', value).encode()


def bodies_that_do_not_fit(codec: Codec) -> Iterator[bytes]:
    yield json.dumps({**codec.fits, "unknown": None}).encode()
    yield from (b"", b"{}", b"[]", b"null", json.dumps([codec.fits]).encode())
    for field, kinds in codec.kinds.items():
        name = field.removesuffix("?")
        if name == field:
            yield changed(codec.fits, name, None)
        yield from (changed(codec.fits, name, json) for kind, json in VALUES if kind not in kinds)


def bodies_that_fit(codec: Codec) -> Iterator[bytes]:
    yield json.dumps(codec.fits).encode()
    for field, kinds in codec.kinds.items():
        name = field.removesuffix("?")
        if name != field:
            yield changed(codec.fits, name, None)
        if "null" in kinds:
            yield changed(codec.fits, name, "null")
        if "object" in kinds:
            yield changed(codec.fits, name, "{}")
        if kinds is NUMBER:
            yield changed(codec.fits, name, "7")
        if kinds is OPTIONAL_TEXTS:
            yield changed(codec.fits, name, "[]")


@dataclass
class Bench:
    core: Core
    runner: asyncio.Runner
    callers: dict[str, Credentials | None]

    def status(self, codec: Codec, body: bytes) -> int:
        self.core.clock.advance(2)  # nobody is braked for the attempt before
        headers = {"content-type": "application/json"}
        user = self.callers[codec.by]
        answer = self.runner.run(
            self.core.request(codec.method, codec.path, user=user, body=body, headers=headers)
        )
        return answer.status

    def writes(self) -> str:
        return self.core.hsm.metrics.values(log_warnings=0, log_errors=0)["kv write"]

    def refuses(self, codec: Codec) -> None:
        before = self.writes()
        for body in bodies_that_do_not_fit(codec):
            assert self.status(codec, body) == 400, body
        assert self.writes() == before


@pytest.fixture(scope="module")
def bench(core: Core, operator: Credentials, runner: asyncio.Runner) -> Bench:
    runner.run(core.add_user("other", "Operator"))
    runner.run(core.generate("ec", "EC_P256", "ECDSA_Signature"))
    runner.run(core.generate("aes", "Generic", "AES_Encryption_CBC", length=256))
    runner.run(core.generate("rsa", "RSA", "RSA_Decryption_RAW", length=1024))
    return Bench(core, runner, {"admin": ADMIN, "operator": operator, "nobody": None})


@pytest.mark.parametrize("codec", CODECS, ids=row_name)
def test_what_does_not_fit_is_refused_and_changes_nothing(bench: Bench, codec: Codec) -> None:
    bench.refuses(codec)


@pytest.mark.parametrize("codec", CODECS, ids=row_name)
def test_what_fits_is_taken(bench: Bench, codec: Codec) -> None:
    for body in bodies_that_fit(codec):
        status = bench.status(codec, body)
        if codec.path == "/config/tls/generate":
            assert status == 412, body  # There is no edge that could serve it.
        elif codec.path == "/config/backup-passphrase":
            assert status in {204, 403}, body  # The first one has changed it.
        elif codec.path == "/keys/ec/move":
            assert status == 200, body
            bench.runner.run(
                bench.core.request("POST", "/keys/other/move", user=ADMIN, json={"newId": "ec"})
            )
        else:
            assert status in {200, 201, 204, 304}, body


def test_bodies_before_the_hsm_is_operational(runner: asyncio.Runner) -> None:
    core = runner.run(start_core())
    bench = Bench(core, runner, {"nobody": None})
    provision, unlock = FIRST
    bench.refuses(provision)
    assert bench.status(provision, json.dumps(provision.fits).encode()) == 204
    assert runner.run(core.request("POST", "/lock", user=ADMIN)).status == 204
    bench.refuses(unlock)
    assert bench.status(unlock, json.dumps(unlock.fits).encode()) == 204
    core.close()


async def test_empty_numbers_of_a_private_key_count_as_missing(core: Core) -> None:
    key = rsa.generate_private_key(65537, 2048).private_numbers()
    numbers = {
        "primeP": b64(key.p.to_bytes(128)),
        "primeQ": b64(key.q.to_bytes(128)),
        "publicExponent": b64(key.public_numbers.e.to_bytes(3)),
        "data": "",
    }
    wanted = {"type": "RSA", "mechanisms": ["RSA_Signature_PKCS1"], "private": numbers}
    assert (await core.request("POST", "/keys", user=ADMIN, json=wanted)).status == 201
    for name in ("primeP", "primeQ", "publicExponent"):
        less = {**wanted, "private": {**numbers, name: ""}}
        answer = await core.request("POST", "/keys", user=ADMIN, json=less)
        assert (answer.status, answer.message) == (400, f"RSA keys need the field {name}.")
