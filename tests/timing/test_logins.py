"""How long a login takes does not tell who exists. scrypt is cheap: what is beside it shows."""

import hmac
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from keystead.errors import NotAuthenticated
from keystead.model.ids import UserId
from keystead.model.users import PassphraseVerifier
from keystead.sealing import passphrase
from tests.support.core import ADMIN, Core, basic, start_core

Login = Callable[[str], Awaitable[object]]
SAMPLES = 400
FLOOR_NS = 5000
"""A tenth of what jitter there is in the shortest of local networks."""
WRONG = "wrong passphrase"


@pytest.fixture(scope="module")
def core(runner) -> AsyncIterator[Core]:
    core = runner.run(start_core())
    runner.run(core.provision())
    runner.run(core.add_namespace("ns"))
    runner.run(core.add_user("ghosts~admin", "Administrator"))
    runner.run(core.add_user("restored", "Operator"))
    runner.run(as_from_a_nethsm(core, "restored"))
    yield core
    core.close()


async def as_from_a_nethsm(core: Core, name: str) -> None:
    session = core.hsm.session
    assert session is not None
    salt = os.urandom(16)
    old = PassphraseVerifier(salt, hmac.digest(salt, b"a passphrase", "sha256"), scrypt=None)
    await session.users.update(UserId.parse(name), lambda user: replace(user, verifier=old))


@pytest.fixture
def login(core: Core) -> Login:
    """Fail to log in with a header; nobody has to wait."""

    async def login(header: str) -> None:
        core.clock.advance(1)
        core.log_lines.clear()
        answer = await core.request("GET", "/keys", headers={"authorization": header})
        assert answer.status == 401

    return login


NAMES = {
    "a user": ["admin"],
    "a user of a namespace": ["ns~admin"],
    "a user of a namespace that is not there": ["ghosts~admin"],
    "a user with a NetHSM's digest": ["restored"],
    "nobody": ["nobody", "mallory"],
    "nobody of a namespace": ["ns~nobody", "ghosts~nobody", "no~nobody"],
}
EXISTENCE = {kind: [basic((name, WRONG)) for name in names] for kind, names in NAMES.items()}


async def test_a_login_does_not_tell_whether_a_user_exists(login: Login, verdict) -> None:
    found = await verdict(login, EXISTENCE, samples=SAMPLES, floor_ns=FLOOR_NS)
    assert not found.leaks, found


async def test_a_login_does_not_tell_how_long_the_passphrase_is(login: Login, verdict) -> None:
    passphrases = {
        "right length": WRONG[: len(ADMIN[1])],
        "a byte less": WRONG[: len(ADMIN[1]) - 1],
        "one byte": "x",
        "none": "",
        "over the limit": "x" * 201,
        "right but the last": ADMIN[1][:-1] + "X",
        "right but the first": "X" + ADMIN[1][1:],
    }
    kinds = {kind: [basic(("admin", given))] for kind, given in passphrases.items()}
    found = await verdict(login, kinds, samples=SAMPLES, floor_ns=FLOOR_NS)
    assert not found.leaks, found


async def test_control_a_kdf_that_is_left_out_for_nobody_is_found(
    login: Login, core: Core, verdict_on_leak, monkeypatch
) -> None:
    assert core.hsm.session is not None
    nobody = core.hsm.session.credentials._read_nobody().verifier  # noqa: SLF001 - to plant a leak
    genuine = passphrase.verify

    def leaking(verifier, given):
        if verifier == nobody:
            raise NotAuthenticated("Bad credentials.")
        genuine(verifier, given)

    monkeypatch.setattr(passphrase, "verify", leaking)
    found = await verdict_on_leak(login, EXISTENCE, samples=SAMPLES, floor_ns=FLOOR_NS)
    assert found.leaks, found


async def test_control_a_record_that_is_not_read_for_nobody_is_found(
    login: Login, core: Core, verdict_on_leak, monkeypatch
) -> None:
    assert core.hsm.session is not None
    credentials = core.hsm.session.credentials
    nobody = credentials._read_nobody()  # noqa: SLF001 - to plant a leak
    monkeypatch.setattr(credentials, "_read_nobody", lambda: nobody)
    kinds = {kind: EXISTENCE[kind] for kind in ("a user", "nobody")}
    found = await verdict_on_leak(login, kinds, samples=9 * SAMPLES, floor_ns=FLOOR_NS)
    assert found.leaks, found
