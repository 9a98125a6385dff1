"""Of several faults in one request, the one that NetHSM finds first is answered."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from keystead.algorithms import USES
from keystead.model.lifecycle import State
from tests.support.core import ADMIN, UNLOCK, Answer, Core, Credentials, b64

OVERSIZED = bytes(67 * 2**20 + 1)


@dataclass(frozen=True)
class Wanted:
    """A request to send, and the state to send it in."""

    method: str
    path: str
    user: Credentials | None = ADMIN
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    state: State = State.OPERATIONAL

    def with_header(self, name: str, value: str) -> "Wanted":
        return replace(self, headers=self.headers | {name: value})


JSON = {"content-type": "application/json"}
LABEL = Wanted("PUT", "/keys/known/label", body=b'{"label":"x"}', headers=JSON)
SIGN = Wanted(
    "POST",
    "/keys/known/sign",
    body=b'{"mode":"ECDSA","message":"%b"}' % b64(bytes(32)).encode(),
    headers=JSON,
)
IMPORT = Wanted(
    "PUT",
    "/keys/new",
    body=b'{"type":"EC_P256","mechanisms":[],"private":{"data":"%b"}}'
    % b64(bytes(31) + b"\1").encode(),
    headers=JSON,
)
CERTIFICATE = Wanted(
    "PUT", "/keys/known/cert", body=b"any", headers={"content-type": "application/octet-stream"}
)

FAULTS = {
    "locked": (412, lambda wanted: replace(wanted, state=State.LOCKED)),
    "unknown method": (501, lambda wanted: replace(wanted, method="PATCH")),
    "long URI": (414, lambda wanted: replace(wanted, path=wanted.path + "?" + "x" * 2000)),
    "wrong method": (405, lambda wanted: replace(wanted, method="TRACE")),
    "nobody": (401, lambda wanted: replace(wanted, user=None)),
    "wrong role": (403, lambda wanted: replace(wanted, user="other role")),
    "wrong type": (415, lambda wanted: wanted.with_header("content-type", "text/plain")),
    "no media type": (415, lambda wanted: wanted.with_header("content-type", "text")),
    "too large": (413, lambda wanted: replace(wanted, body=OVERSIZED)),
    "not acceptable": (406, lambda wanted: wanted.with_header("accept", "text/html")),
    "malformed ID": (
        400,
        lambda wanted: replace(wanted, path=wanted.path.replace("/keys/", "/keys/-")),
    ),
    "no such key": (404, lambda wanted: replace(wanted, path=wanted.path.replace("known", "not"))),
    "bad body": (400, lambda wanted: replace(wanted, body=b"{")),
}
FIRST = ["locked", "unknown method", "long URI", "wrong method", "nobody", "wrong role"]
ORDERS = {
    "PUT label": (
        LABEL,
        [*FIRST, "too large", "not acceptable", "malformed ID", "wrong type", "bad body"],
    ),
    "PUT label of no key": (LABEL, [*FIRST, "not acceptable", "bad body", "no such key"]),
    "POST sign": (
        SIGN,
        [*FIRST, "too large", "not acceptable", "malformed ID"],
    ),
    "POST sign with no key": (SIGN, [*FIRST, "not acceptable", "no such key", "bad body"]),
    "PUT key": (
        IMPORT,
        [
            *FIRST,
            "no media type",
            "too large",
            "not acceptable",
            "malformed ID",
            "wrong type",
            "bad body",
        ],
    ),
    "PUT cert": (
        CERTIFICATE,
        [*FIRST, "wrong type", "too large", "not acceptable", "malformed ID"],
    ),
    "PUT cert of no key": (CERTIFICATE, [*FIRST, "wrong type", "not acceptable", "no such key"]),
}


@dataclass
class Bench:
    core: Core
    operator: Credentials
    runner: asyncio.Runner

    @contextmanager
    def in_state(self, state: State) -> Iterator[None]:
        """Be in that state for a moment, with the keys and users there are."""
        hsm = self.core.hsm
        before, session = hsm.state, hsm.session
        hsm.state = state
        hsm.session = session if state is State.OPERATIONAL else None
        try:
            yield
        finally:
            hsm.state, hsm.session = before, session

    def answer(self, wanted: Wanted) -> Answer:
        owner = self.operator if "/sign" in wanted.path else ADMIN
        other = ADMIN if owner is self.operator else self.operator
        users: dict[Any, Credentials | None] = {ADMIN: owner, "other role": other, None: None}
        self.core.clock.advance(2)  # nobody is braked for the attempt before
        with self.in_state(wanted.state):
            return self.runner.run(
                self.core.request(
                    wanted.method,
                    wanted.path,
                    user=users[wanted.user],
                    body=wanted.body,
                    headers=wanted.headers,
                )
            )


@pytest.fixture(scope="module")
def bench(core: Core, operator: Credentials, runner: asyncio.Runner) -> Bench:
    runner.run(core.generate("known", "EC_P256", "ECDSA_Signature"))
    return Bench(core, operator, runner)


@pytest.mark.parametrize("name", ORDERS)
def test_the_first_of_all_faults_is_answered(bench: Bench, name: str) -> None:
    wanted, order = ORDERS[name]
    found = []
    for first in range(len(order)):
        faulty = wanted
        for fault in reversed(order[first:]):
            _, apply = FAULTS[fault]
            faulty = apply(faulty)
        found.append(bench.answer(faulty).status)
    assert found == [FAULTS[fault][0] for fault in order]


@pytest.mark.parametrize("name", ["PUT label", "POST sign", "PUT key", "PUT cert"])
def test_without_a_fault_it_succeeds(bench: Bench, name: str) -> None:
    assert bench.answer(ORDERS[name][0]).status in {200, 201, 204, 304}


async def test_an_unknown_path_is_404_in_every_state_for_everyone(fresh_core: Core) -> None:
    assert (await fresh_core.request("GET", "/nope")).status == 404
    await fresh_core.provision()
    assert (await fresh_core.request("PATCH", "/nope")).status == 404
    assert (await fresh_core.request("POST", "/lock", user=ADMIN)).status == 204
    assert (await fresh_core.request("GET", "/keys/known/nope", user=ADMIN)).status == 404
    assert (await fresh_core.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 204


async def test_users_are_checked_for_their_id_before_the_role(
    core: Core, operator: Credentials
) -> None:
    assert (await core.request("GET", "/users/-", user=operator)).status == 400
    assert (await core.request("DELETE", "/users/-", user=operator)).status == 400
    assert (await core.request("GET", "/users/admin", user=operator)).status == 403


async def test_a_key_is_looked_for_before_its_content_type(
    core: Core, operator: Credentials
) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await core.request(
        "POST", "/keys/nothing/sign", user=operator, body=b"{}", headers=form
    )
    assert answer.status == 404


BEYOND_NETHSM = [
    *(
        f"POST /keys/not/{use.verb}"
        for use in USES
        if use.verb not in {"sign", "decrypt", "encrypt"}
    ),
    "POST /keys/not/attestation",
    "POST /keys/not/approvals",
    "PUT /keys/not/policy",
    "PUT /namespaces/not/quota",
]


@pytest.mark.parametrize("row", BEYOND_NETHSM)
async def test_what_does_not_exist_is_told_before_what_the_body_lacks(
    core: Core, operator: Credentials, row: str
) -> None:
    method, path = row.split()
    user = operator if method == "POST" else ADMIN
    answer = await core.request(method, path, user=user, json={"no such": "field"})
    assert answer.status == 404, answer


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("sent", [None, "", "text", "text/", "/plain", "a b/c", "text/plain/x"])
async def test_a_key_without_a_media_type_is_refused_before_its_size(
    core: Core, method: str, sent: str | None
) -> None:
    path = "/keys" if method == "POST" else "/keys/-"
    headers = {} if sent is None else {"content-type": sent}
    answer = await core.request(method, path, user=ADMIN, body=OVERSIZED, headers=headers)
    assert answer.status == 415
