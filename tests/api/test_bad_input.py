"""Whatever a client sends, it gets an answer of the API; what is refused changes nothing."""

import asyncio
import json
import re
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystead import algorithms
from keystead.api.http.route import Route
from keystead.api.routes import ROUTES
from keystead.model.lifecycle import State
from tests.support.core import ADMIN, Answer, Core, Credentials, b64

pytestmark = pytest.mark.no_cover
"""Other tests reach the same lines, and tracing would take as long again."""

ANSWERS = {200, 201, 204, 304, 400, 401, 403, 404, 405, 406, 409, 412, 413, 414, 415, 429, 501}
"""503 is an answer too, but not to bad input."""

JSON = "application/json"
TRIED = [route for route in ROUTES if State.OPERATIONAL in route.states and not route.ends_session]
"""Every row but lock, after which all would be 412."""


def row_name(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture(scope="module")
def target(runner: asyncio.Runner, core: Core) -> Credentials:
    return runner.run(core.add_user("target", "Operator"))


@pytest.fixture(autouse=True)
def keys(runner: asyncio.Runner, core: Core, target: Credentials) -> None:  # noqa: ARG001
    """The keys that the paths below name; a test may have moved or deleted them."""
    for key_id, key_type, mechanism in [
        ("key", "EC_P256", "ECDSA_Signature"),
        ("aes", "Generic", "AES_Encryption_CBC"),
    ]:
        wanted = {"id": key_id, "type": key_type, "mechanisms": [mechanism], "length": 256}
        answer = runner.run(core.request("POST", "/keys/generate", user=ADMIN, json=wanted))
        assert answer.status in {201, 409}


def writes(core: Core) -> str:
    """Return how many records have been written."""
    return core.hsm.metrics.values(log_warnings=0, log_errors=0)["kv write"]


@pytest.fixture(scope="module")
def send(runner: asyncio.Runner, core: Core, operator: Credentials) -> Callable[..., None]:
    """Send a request as nobody, an Administrator and an Operator, and check the answers."""

    def send(method: str, path: str, **more: Any) -> None:
        for user in (None, ADMIN, operator):
            before = writes(core)
            answer = runner.run(core.request(method, path, user=user, **more))
            check(answer, core)
            if answer.status >= 300:
                assert writes(core) == before

    return send


def check(answer: Answer, core: Core) -> None:
    """The answer is one of the API's, and no bug was logged."""
    assert answer.status in ANSWERS, answer
    if answer.body == b"Not found":  # A path that is not of the API.
        assert answer.status == 404
        assert answer.headers["Content-Type"].startswith("text/plain")
    elif answer.status >= 400:
        assert answer.headers["Content-Type"] == JSON
        assert set(answer.json()) == {"message"}
        assert answer.message
    assert not [line for line in core.log_lines if "request failed" in line]


def path_of(route: Route) -> str:
    """Return the path with what is there, or for DELETE what is not."""
    known = {} if route.method == "DELETE" else {"{key_id}": "key", "{user_id}": "target"}
    return re.sub(r"{\w+}", lambda name: known.get(name[0], "thing"), route.path)


# --- a table of bodies ---------------------------------------------------------------------------

DEEP = 100_000
HUGE = "9" * 5000
BODIES = {
    "nothing": b"",
    "NUL": b"\0",
    "not UTF-8": b"\xff\xfe",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "half an object": b'{"type":',
    "null": b"null",
    "a number": b"1",
    "a string": b'"x"',
    "an array": b"[]",
    "an empty object": b"{}",
    "two objects": b"{}{}",
    "deep arrays": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "open arrays": b"[" * DEEP,
    "a huge number": HUGE.encode(),
    "a huge exponent": b"1e999999999",
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "a lone surrogate": b'"\\ud800"',
    "a comment": b"/**/{}",
    "single quotes": b"{'a':1}",
    "a bare name": b"{a:1}",
    "a key twice": b'{"type":"RSA","type":"RSA"}',
    "a prototype": b'{"__proto__":{}}',
    "many keys": json.dumps(dict.fromkeys(map(str, range(5000)))).encode(),
    "a control character": b'{"a":"\x01"}',
}


@pytest.mark.parametrize("route", TRIED, ids=row_name)
def test_no_body_breaks_anything(route: Route, send: Callable) -> None:
    for body in BODIES.values():
        headers = {"content-type": (route.accepts.types or (JSON,))[0]}
        send(route.method, path_of(route), body=body, headers=headers)


# --- generated bodies ----------------------------------------------------------------------------

TEXT = st.text(st.characters(codec=None), max_size=40)  # type: ignore[arg-type]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | TEXT
    | st.sampled_from(["\0", "\ud800", "AA==", "", "x" * 300, "-", "a~b", "2024-01-01T00:00:00Z"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)
MECHANISMS = st.lists(st.sampled_from(sorted(algorithms.MECHANISMS)) | VALUES, max_size=4)
MODES = sorted({one.mode for row in algorithms.ALL for one in row.mechanisms})
TYPES = st.sampled_from([row.name for row in algorithms.ALL]) | VALUES
BASE64 = st.binary(max_size=70).map(b64) | VALUES
FIELDS = {
    "type": TYPES,
    "mechanisms": MECHANISMS,
    "length": st.integers(-1, 1100) | VALUES,
    "id": TEXT | VALUES,
    "newId": TEXT | VALUES,
    "label": TEXT | VALUES,
    "restrictions": st.fixed_dictionaries({"tags": st.lists(TEXT | VALUES, max_size=3)}) | VALUES,
    "private": st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["primeP", "primeQ", "publicExponent", "data"], BASE64)
    )
    | VALUES,
    "mode": st.sampled_from(MODES) | VALUES,
    "message": BASE64,
    "encrypted": BASE64,
    "iv": BASE64,
    "realName": TEXT | VALUES,
    "role": st.sampled_from(["Administrator", "Operator", "Metrics", "Backup"]) | VALUES,
    "passphrase": VALUES,
    "newPassphrase": VALUES,
    "currentPassphrase": VALUES,
    "status": VALUES,
    "time": VALUES,
    "commonName": TEXT | VALUES,
    "countryName": TEXT | VALUES,
    "emailAddress": TEXT | VALUES,
    "subjectAltNames": st.lists(TEXT | VALUES, max_size=3) | VALUES,
    "ipAddress": VALUES,
    "netmask": VALUES,
    "gateway": VALUES,
    "ipv6": VALUES,
    "vlan": VALUES,
    "port": VALUES,
    "logLevel": VALUES,
    "ntpIP": VALUES,
    "ntsName": VALUES,
}
FIELDS_BY_PATH = {
    "/keys": {"type", "mechanisms", "private", "label", "restrictions"},
    "/keys/generate": {"type", "mechanisms", "length", "id", "label", "restrictions"},
    "/keys/{key_id}": {"type", "mechanisms", "private", "label", "restrictions"},
    "/keys/{key_id}/label": {"label"},
    "/keys/{key_id}/move": {"newId"},
    "/keys/{key_id}/csr.pem": {"commonName", "countryName", "emailAddress", "subjectAltNames"},
    "/keys/{key_id}/sign": {"mode", "message"},
    "/keys/{key_id}/decrypt": {"mode", "encrypted", "iv"},
    "/keys/{key_id}/encrypt": {"mode", "message", "iv"},
    "/random": {"length"},
    "/users": {"realName", "role", "passphrase"},
    "/users/{user_id}": {"realName", "role", "passphrase"},
    "/users/{user_id}/passphrase": {"passphrase"},
    "/config/unlock-passphrase": {"newPassphrase", "currentPassphrase"},
    "/config/unattended-boot": {"status"},
    "/config/time": {"time"},
    "/config/network": {"ipAddress", "netmask", "gateway", "ipv6", "vlan"},
    "/config/logging": {"ipAddress", "port", "logLevel"},
    "/config/ntp": {"ntpIP", "ntsName"},
    "/config/tls/csr.pem": {"commonName", "countryName", "emailAddress", "subjectAltNames"},
}
WITH_FIELDS = [
    route for route in TRIED if route.method in {"POST", "PUT"} and route.path in FIELDS_BY_PATH
]


def bodies_for(path: str) -> st.SearchStrategy[bytes]:
    """Return objects with the fields of an endpoint, most of them there, some of them good."""
    fields = {name: FIELDS[name] for name in FIELDS_BY_PATH[path]}
    shaped = st.fixed_dictionaries({}, optional=fields)
    complete = st.fixed_dictionaries(fields)
    # json writes lone surrogates as escapes, and NaN, which JSON does not have, as it is.
    return (complete | shaped | VALUES).map(lambda value: json.dumps(value).encode())


@pytest.mark.parametrize("route", WITH_FIELDS, ids=row_name)
def test_no_generated_body_breaks_anything(route: Route, send: Callable) -> None:
    path = path_of(route).replace("/keys/key/encrypt", "/keys/aes/encrypt")

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(body=bodies_for(route.path))
    def sent(body: bytes) -> None:
        send(route.method, path, body=body, headers={"content-type": JSON})

    sent()


# --- paths, queries, headers ---------------------------------------------------------------------

SEGMENTS = st.text(
    st.sampled_from(string.printable + "~%*/\\\0\x7f\u00fc\u2713"), max_size=20
) | st.sampled_from(["key", "admin", "..", ".", "*", "%", "%2F", "%00", "~", "ns~", "a" * 129])


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    route=st.sampled_from([route for route in TRIED if "{" in route.path]),
    segment=SEGMENTS,
    encoded=st.booleans(),
)
def test_no_path_breaks_anything(
    send: Callable,
    route: Route,
    segment: str,
    encoded: bool,  # noqa: FBT001
) -> None:
    part = quote(segment, safe="") if encoded else segment.replace("?", "")
    path = re.sub(r"{\w+}", lambda _: part, route.path)
    send(route.method, path)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=st.text(st.sampled_from("labefitr=&%+;?#/\0\u00fc0123"), max_size=60))
def test_no_query_breaks_anything(send: Callable, query: str) -> None:
    for path in ("/keys", "/keys/k*"):
        send("GET", f"{path}?{query}")


HEADERS = ["accept", "content-type", "authorization", "if-match", "if-none-match"]


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    route=st.sampled_from([route for route in TRIED if route.method in {"GET", "POST", "PUT"}]),
    headers=st.dictionaries(
        st.sampled_from(HEADERS),
        st.text(st.characters(max_codepoint=255), max_size=60)
        | st.sampled_from(
            [
                "*/*;q=",
                "*/*;q=1e999",
                "*/*;q=nan",
                ",,,;;;===",
                "multipart/form-data; boundary=",
                'multipart/form-data; boundary="',
                "multipart/form-data; boundary=" + "x" * 500,
                "Basic Og==",
                'W/"',
                '"' * 50,
            ]
        ),
    ),
)
def test_no_header_breaks_anything(
    core: Core, send: Callable, route: Route, headers: dict[str, str]
) -> None:
    core.clock.advance(2)
    send(route.method, path_of(route), body=b"{}", headers=headers)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.lists(
        st.sampled_from(
            [
                b"--b",
                b"--b--",
                b"\r\n",
                b"\n",
                b"Content-Disposition: form-data",
                b'; name="arguments"',
                b'; name="key_file"',
                b"; name*=utf-8''x",
                b'{"mechanisms":[]}',
                b"-----BEGIN PRIVATE KEY-----",
                b"\0",
                b"\xff",
                b":",
            ]
        ),
        max_size=25,
    ).map(b"".join)
)
def test_no_upload_breaks_anything(send: Callable, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    send("PUT", "/keys/uploaded", body=body, headers=headers)
