"""Who asks: credentials, the brake on guessing, and what is remembered of both."""

import asyncio
import base64
import hmac
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from keystead.model.ids import UserId
from keystead.model.users import PassphraseVerifier
from keystead.operations.work_pool import WorkPool
from tests.support.core import ADMIN, Core, Credentials, basic, start_core
from tests.support.pools import WatchedPool

OTHER_CLIENT = "192.0.2.99"


@pytest.fixture
def kdf_pool() -> WatchedPool:
    """Where passphrases are verified."""
    return WatchedPool()


@pytest.fixture
def guarded(runner: asyncio.Runner, kdf_pool: WatchedPool) -> Iterator[Core]:
    """A core of this test's own, Operational."""
    crypto_pool = WorkPool(name="crypto", threads=1, queue_limit=4)
    core = runner.run(start_core(pools=(crypto_pool, kdf_pool)))
    runner.run(core.provision())
    kdf_pool.runs = 0
    yield core
    core.close()


async def status(core: Core, user: Credentials | None = ADMIN, **more: object) -> int:
    return (await core.request("GET", "/users/admin", user=user, **more)).status


async def status_with(core: Core, header: str) -> int:
    return (await core.request("GET", "/keys", headers={"authorization": header})).status


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


# --- headers -------------------------------------------------------------------------------------

GOOD = encoded(":".join(ADMIN).encode())


@pytest.mark.parametrize("header", [f"Basic {GOOD}", f"basic {GOOD}", f"BASIC  {GOOD} "])
async def test_the_scheme_has_any_case(core: Core, header: str) -> None:
    assert await status_with(core, header) == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        f"Basic {GOOD[:-1]}",
        f"Basic {GOOD}=",
        f"Basic {GOOD} x",
        "Basic " + encoded(b"admin"),
        f"Bearer {GOOD}",
        f"Digest {GOOD}",
        GOOD,
        "Basic \u00fc",
        "\u2713",
    ],
)
async def test_a_malformed_header_is_401_and_does_not_count(guarded: Core, header: str) -> None:
    assert await status_with(guarded, header) == 401
    assert await status(guarded) == 200


@pytest.mark.parametrize(
    "user",
    [
        b"admin:",
        b":",
        b":adminPassphrase",
        b"admin:adminPassphrase ",
        b" admin:adminPassphrase",
        b"Admin:adminPassphrase",
        b"admin:adminpassphrase",
        b"admin\0:adminPassphrase",
        b"~admin:adminPassphrase",
        b"x~admin:adminPassphrase",
        b"\xff:\xff",
        b"../admin:adminPassphrase",
        b"admin:adminPassphrase:",
    ],
)
async def test_anything_but_the_name_and_its_passphrase_is_401(core: Core, user: bytes) -> None:
    core.clock.advance(2)
    assert await status_with(core, "Basic " + encoded(user)) == 401


@pytest.mark.parametrize("passphrase", ["with: colons: in it", "ünïcödé ✓", " spaces around "])
async def test_a_passphrase_is_any_text(core: Core, passphrase: str) -> None:
    core.clock.advance(2)
    user_id = "user-" + os.urandom(4).hex()
    wanted = {"realName": "x", "role": "Administrator", "passphrase": passphrase}
    await core.request("PUT", f"/users/{user_id}", user=ADMIN, json=wanted)
    assert await status(core, (user_id, passphrase)) == 200


async def test_wrong_name_and_wrong_passphrase_are_answered_alike(guarded: Core) -> None:
    answers = [
        await guarded.request("GET", "/keys", user=user)
        for user in [("admin", "wrong passphrase"), ("nobody", "wrong passphrase"), ("-", "x")]
    ]
    assert {(answer.status, answer.body) for answer in answers} == {
        (401, b'{"message":"Invalid user name or passphrase."}')
    }


async def test_an_unknown_name_costs_as_much_as_a_wrong_passphrase(
    guarded: Core, kdf_pool: WatchedPool
) -> None:
    for number, name in enumerate(("admin", "nobody", "-", ""), start=1):
        assert await status(guarded, (name, "wrong passphrase")) == 401
        assert kdf_pool.runs == number


# --- the brake -----------------------------------------------------------------------------------


async def test_after_a_failure_even_the_right_passphrase_waits_a_second(guarded: Core) -> None:
    assert await status(guarded, ("admin", "wrong passphrase")) == 401
    answer = await guarded.request("GET", "/keys", user=ADMIN)
    assert answer.status == 429
    assert answer.headers["Retry-After"] == "1"
    assert answer.message
    guarded.clock.advance(0.99)
    assert await status(guarded) == 429
    guarded.clock.advance(0.02)
    assert await status(guarded) == 200


async def test_credentials_that_were_verified_before_wait_too(guarded: Core) -> None:
    assert await status(guarded) == 200
    assert await status(guarded, ("admin", "wrong passphrase")) == 401
    assert await status(guarded) == 429
    guarded.clock.advance(1)
    assert await status(guarded) == 200


async def test_a_refused_attempt_does_not_prolong_the_wait(guarded: Core) -> None:
    assert await status(guarded, ("admin", "wrong passphrase")) == 401
    for _ in range(3):
        guarded.clock.advance(0.3)
        assert await status(guarded, ("admin", "wrong passphrase")) == 429
    guarded.clock.advance(0.2)
    assert await status(guarded) == 200


async def test_other_addresses_and_other_users_do_not_wait(guarded: Core) -> None:
    operator = await guarded.add_user("operator", "Operator")
    assert await status(guarded, ("admin", "wrong passphrase")) == 401
    assert await status(guarded, client=OTHER_CLIENT) == 200
    assert await status(guarded, operator) == 403
    assert await status(guarded) == 429


async def test_an_unknown_name_is_braked_like_a_known_one(guarded: Core) -> None:
    assert await status(guarded, ("nobody", "wrong passphrase")) == 401
    assert await status(guarded, ("nobody", "wrong passphrase")) == 429


async def test_of_parallel_guesses_one_is_tried_in_a_second(
    guarded: Core, kdf_pool: WatchedPool
) -> None:
    async def guess(number: int) -> int:
        return await status(guarded, ("admin", f"wrong passphrase {number}"))

    for _ in range(3):
        kdf_pool.runs = 0
        statuses = await asyncio.gather(*(guess(number) for number in range(50)))
        assert sorted(statuses) == [401] + [429] * 49
        assert kdf_pool.runs == 1
        guarded.clock.advance(1)


async def test_the_right_one_among_parallel_guesses_shows_only_if_it_is_first(
    guarded: Core,
) -> None:
    guesses = [("admin", f"wrong passphrase {number}") for number in range(10)]
    statuses = await asyncio.gather(*(status(guarded, user) for user in [*guesses, ADMIN]))
    assert statuses == [401] + [429] * 10


# --- what is remembered --------------------------------------------------------------------------


async def test_a_storm_of_the_same_right_credentials_costs_one_verification(
    guarded: Core, kdf_pool: WatchedPool
) -> None:
    statuses = await asyncio.gather(*(status(guarded) for _ in range(200)))
    assert statuses == [200] * 200
    assert kdf_pool.runs == 1
    await status(guarded, client=OTHER_CLIENT)
    assert kdf_pool.runs == 1


async def test_more_users_than_the_pool_holds_are_told_to_come_back() -> None:
    core = await start_core(
        pools=(
            WorkPool(name="crypto", threads=1, queue_limit=1),
            WatchedPool(threads=1, queue_limit=2),
        )
    )
    await core.provision()
    answers = await asyncio.gather(
        *(core.request("GET", "/keys", user=(f"u{number}", "x" * 10)) for number in range(10))
    )
    statuses = sorted(answer.status for answer in answers)
    assert statuses == [401] * 3 + [503] * 7
    assert {a.headers["Retry-After"] for a in answers if a.status == 503} == {"1"}
    core.close()


async def test_after_lock_credentials_are_verified_anew(
    guarded: Core, kdf_pool: WatchedPool
) -> None:
    await status(guarded)
    await guarded.request("POST", "/lock", user=ADMIN)
    await guarded.request("POST", "/unlock", json={"passphrase": "unlockPassphrase"})
    kdf_pool.runs = 0
    assert await status(guarded) == 200
    assert kdf_pool.runs == 1


# --- users that change while they are verified ---------------------------------------------------


def during_verification(core: Core, pool: WatchedPool, method: str, path: str, body=None):
    """Have an Administrator do this as soon as the next passphrase has been verified."""

    async def act() -> None:
        answer = await core.request(method, path, user=ADMIN, json=body)
        assert answer.status in {201, 204}, answer

    pool.after_run = act


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "", None),
        ("POST", "/passphrase", {"passphrase": "another passphrase"}),
    ],
)
async def test_a_user_that_goes_or_changes_its_passphrase_meanwhile_is_refused(
    guarded: Core, kdf_pool: WatchedPool, method: str, path: str, body: dict | None
) -> None:
    user = await guarded.add_user("admin2", "Administrator")
    await status(guarded)
    during_verification(guarded, kdf_pool, method, f"/users/admin2{path}", body)
    assert await status(guarded, user) == 401
    guarded.clock.advance(1)
    assert await status(guarded, user) == 401


async def test_a_user_that_gets_a_tag_meanwhile_has_it(
    guarded: Core, kdf_pool: WatchedPool
) -> None:
    user = await guarded.add_user("operator", "Operator")
    await guarded.generate("key", "EC_P256", "ECDSA_Signature", restrictions={"tags": ["t"]})
    during_verification(guarded, kdf_pool, "PUT", "/users/operator/tags/t")
    wanted = {"mode": "ECDSA", "message": encoded(bytes(32))}
    answer = await guarded.request("POST", "/keys/key/sign", user=user, json=wanted)
    assert answer.status == 200


# --- verifiers that came with a backup of a NetHSM -----------------------------------------------


async def with_old_verifier(core: Core, name: str, passphrase: str) -> Credentials:
    """Give an Administrator the verifier that a NetHSM would have made."""
    await core.add_user(name, "Administrator")
    user_id = UserId.parse(name)
    session = core.hsm.session
    assert session is not None
    salt = os.urandom(16)
    digest = hmac.digest(salt, passphrase.encode(), "sha256")
    old = PassphraseVerifier(salt=salt, digest=digest, scrypt=None)
    await session.users.update(user_id, lambda user: replace(user, verifier=old))
    return name, passphrase


async def test_an_old_verifier_is_good_once_and_then_replaced(guarded: Core) -> None:
    user = await with_old_verifier(guarded, "restored", "old passphrase")
    assert await status(guarded, ("restored", "wrong passphrase")) == 401
    guarded.clock.advance(1)
    assert await status(guarded, user) == 200
    session = guarded.hsm.session
    assert session is not None
    found = await session.users.get(UserId.parse("restored"))
    assert found is not None
    assert found[0].verifier.scrypt is not None
    session.credentials.forget_all()
    assert await status(guarded, user) == 200


async def test_a_user_deleted_while_its_verifier_is_replaced_stays_deleted(
    guarded: Core, kdf_pool: WatchedPool
) -> None:
    user = await with_old_verifier(guarded, "restored", "old passphrase")
    await status(guarded)

    async def delete_after_the_next_run() -> None:
        during_verification(guarded, kdf_pool, "DELETE", "/users/restored")

    kdf_pool.after_run = delete_after_the_next_run
    await status(guarded, user)
    guarded.clock.advance(1)
    assert await status(guarded, user) == 401
    assert (await guarded.request("GET", "/users/restored", user=ADMIN)).status == 404


async def test_basic_of_the_tests_is_what_clients_send() -> None:
    assert basic(("user", "passphrase")) == "Basic dXNlcjpwYXNzcGhyYXNl"
