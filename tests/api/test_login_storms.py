"""Storms of wrong logins: bounded in what they cost, and in whom they keep out."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from keystead.operations.authentication import MAX_TRIED_BYTES
from keystead.operations.shares import Party
from keystead.operations.unlocking import MOST_WAITING
from keystead.operations.work_pool import WorkPool
from tests.support.core import ADMIN, Answer, Core, start_core
from tests.support.pools import WatchedPool
from tests.support.stores import WatchedStore

ATTACKER = "192.0.2.66"
ATTACKERS = [f"198.51.100.{number}" for number in range(100)]
"""Clients in networks of their own."""
QUEUE = 10
PLACES = QUEUE + 1


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
def kdf_pool() -> WatchedPool:
    """Where passphrases are verified: 11 at a time."""
    return WatchedPool(threads=1, queue_limit=QUEUE)


@pytest.fixture
def stormed(runner: asyncio.Runner, kdf_pool: WatchedPool, store: WatchedStore) -> Iterator[Core]:
    pools = (WorkPool(name="crypto", threads=1, queue_limit=4), kdf_pool)
    core = runner.run(start_core(pools=pools, store=store))
    runner.run(core.provision())
    kdf_pool.runs = 0
    store.gets.clear()
    yield core
    core.close()


async def log_in(core: Core, number: int, *, client: str = ATTACKER) -> int:
    user = (f"nobody{number}", "wrong passphrase")
    return (await core.request("GET", "/users", user=user, client=client)).status


async def storm(core: Core, clients: list[str]) -> Counter[int]:
    return Counter(
        await asyncio.gather(
            *(log_in(core, number, client=client) for number, client in enumerate(clients))
        )
    )


async def test_one_address_fills_the_queue_and_the_others_still_get_in(
    stormed: Core,
) -> None:
    attack = asyncio.create_task(storm(stormed, [ATTACKER] * 100))
    await asyncio.sleep(0)
    assert (await stormed.request("GET", "/users", user=ADMIN)).status == 200
    assert not attack.done(), "the Administrator did not wait for all of them"
    assert await attack == {401: PLACES - 1, 503: 101 - PLACES}


async def test_the_addresses_of_an_ipv6_network_share_a_share(stormed: Core) -> None:
    attackers = [f"2001:db8:0:1::{number:x}" for number in range(50)]
    attack = asyncio.create_task(storm(stormed, attackers))
    await asyncio.sleep(0)
    assert (await stormed.request("GET", "/users", user=ADMIN, client="::1")).status == 200
    assert await attack == {401: PLACES - 1, 503: 51 - PLACES}


async def test_ipv4_addresses_seen_through_an_ipv6_socket_do_not_share_one(stormed: Core) -> None:
    mapped = [f"::ffff:192.0.2.{number}" for number in range(QUEUE)]
    assert await storm(stormed, mapped) == {401: QUEUE}


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What work of a test waits for."""
    opened = threading.Event()
    yield opened
    opened.set()


async def fill(pool: WorkPool, gate: threading.Event, *, tenants: int = PLACES) -> None:
    """Fill the queue with work of this many clients, which ends when the gate opens."""
    for number in range(PLACES):
        work = pool.run(partial(gate.wait, 60), party=Party(number % tenants))
        asyncio.create_task(work)  # noqa: RUF006 - the pool's
    await asyncio.sleep(0)


async def test_while_the_queue_is_full_logins_are_refused_and_do_not_reach_the_store(
    stormed: Core, kdf_pool: WatchedPool, store: WatchedStore, gate: threading.Event
) -> None:
    await fill(kdf_pool, gate)
    assert await storm(stormed, [f"198.51.100.{number}" for number in range(200)]) == {503: 200}
    assert not store.gets


async def test_while_the_queue_is_full_users_who_are_in_are_served(
    stormed: Core, kdf_pool: WatchedPool, gate: threading.Event
) -> None:
    assert (await stormed.request("GET", "/users", user=ADMIN)).status == 200
    await fill(kdf_pool, gate)
    assert (await stormed.request("GET", "/users", user=ADMIN)).status == 200


async def test_a_storm_at_one_user_leaves_other_addresses_of_that_user_alone(stormed: Core) -> None:
    for number in range(20):
        wrong = ("admin", f"wrong passphrase {number}")
        answer = await stormed.request("GET", "/users", user=wrong, client=f"198.51.100.{number}")
        assert answer.status == 401
        assert (await stormed.request("GET", "/users", user=ADMIN)).status == 200


@pytest.mark.parametrize(
    "user", [("admin", "x" * (MAX_TRIED_BYTES + 1)), ("a" * (MAX_TRIED_BYTES + 1), "x" * 10)]
)
async def test_what_is_too_long_to_be_right_is_not_tried(
    stormed: Core, kdf_pool: WatchedPool, user: tuple[str, str]
) -> None:
    answer = await stormed.request("GET", "/users", user=user)
    assert answer.status == 401
    assert kdf_pool.runs == 0


@pytest.fixture
def with_spare(runner: asyncio.Runner, gate: threading.Event) -> Iterator[Core]:
    """A core whose threads for passphrases are busy, but for the spare one."""
    kdf_pool = WatchedPool(threads=1, queue_limit=QUEUE, spares=1)
    crypto_pool = WorkPool(name="crypto", threads=1, queue_limit=4)
    core = runner.run(start_core(pools=(crypto_pool, kdf_pool)))
    runner.run(core.provision())
    for name in ("early", "late"):
        runner.run(core.add_user(name, "Operator"))
    runner.run(fill(kdf_pool, gate, tenants=1))
    yield core
    gate.set()
    core.close()


def as_user(core: Core, name: str, client: str) -> "asyncio.Task[Answer]":
    user = (name, f"passphrase of {name}")
    return asyncio.create_task(core.request("GET", "/keys", user=user, client=client))


async def test_a_login_waits_for_no_guess_of_another_network(with_spare: Core) -> None:
    for name, client in (("early", "198.51.100.1"), ("late", "198.51.100.2")):
        answer = await asyncio.wait_for(as_user(with_spare, name, client), 60)
        assert answer.status == 200


async def test_a_network_that_guessed_wrong_waits_for_its_turn_with_the_others(
    with_spare: Core, gate: threading.Event
) -> None:
    guesser = "198.51.100.1"
    assert await asyncio.wait_for(log_in(with_spare, 1, client=guesser), 60) == 401
    late = as_user(with_spare, "late", guesser)
    early = await asyncio.wait_for(as_user(with_spare, "early", "198.51.100.2"), 60)
    assert early.status == 200
    assert not late.done()
    gate.set()
    assert (await late).status == 200


# --- the unlock passphrase -----------------------------------------------------------------------


async def unlock(core: Core, passphrase: str, client: str) -> int:
    sent = {"passphrase": passphrase}
    return (await core.request("POST", "/unlock", json=sent, client=client)).status


async def lock(core: Core) -> None:
    assert (await core.request("POST", "/lock", user=ADMIN)).status == 204


async def unlock_as_owner(core: Core) -> None:
    assert await unlock(core, "unlockPassphrase", "192.0.2.1") == 204


def guessing(core: Core, networks: Sequence[str]) -> asyncio.Future[list[int]]:
    """Send a wrong passphrase from each of these networks at once."""
    return asyncio.gather(*(unlock(core, "wrong passphrase", network) for network in networks))


async def test_guesses_of_one_address_at_the_unlock_passphrase_do_not_hold_up_the_right_one(
    stormed: Core, kdf_pool: WatchedPool
) -> None:
    await lock(stormed)
    assert await unlock(stormed, "wrong passphrase", ATTACKER) == 403
    kdf_pool.runs = 0
    guesses = [unlock(stormed, "wrong passphrase", ATTACKER) for _ in range(100)]
    right = unlock(stormed, "unlockPassphrase", "192.0.2.1")
    statuses = await asyncio.gather(*guesses, right)
    assert statuses == [429] * 100 + [204]
    assert kdf_pool.runs == 1


async def test_so_many_attempts_to_unlock_wait_and_no_more(
    stormed: Core, kdf_pool: WatchedPool
) -> None:
    await lock(stormed)
    kdf_pool.runs = 0
    statuses = await guessing(stormed, ATTACKERS)
    assert Counter(statuses) == {403: MOST_WAITING, 503: len(ATTACKERS) - MOST_WAITING}
    assert kdf_pool.runs == MOST_WAITING
    await unlock_as_owner(stormed)


async def test_networks_that_keep_guessing_do_not_keep_the_owner_from_unlocking(
    stormed: Core, kdf_pool: WatchedPool
) -> None:
    await lock(stormed)
    networks = ATTACKERS[:12]
    for network in networks:
        assert await unlock(stormed, "wrong passphrase", network) == 403
    stormed.clock.advance(1)
    kdf_pool.runs = 0
    guesses = guessing(stormed, networks * 10)
    await asyncio.sleep(0)
    await unlock_as_owner(stormed)
    assert kdf_pool.runs <= 3, "the guess that had begun, one more, and the owner"
    assert set(await guesses) <= {403, 412, 503}


async def test_networks_that_make_their_first_guess_do_not_keep_the_owner_from_unlocking(
    stormed: Core, kdf_pool: WatchedPool
) -> None:
    await lock(stormed)
    kdf_pool.runs = 0
    guesses = guessing(stormed, ATTACKERS[:40])
    await asyncio.sleep(0)
    await unlock_as_owner(stormed)
    assert kdf_pool.runs == 2, "the guess that had begun, and the owner"
    assert set(await guesses) <= {403, 412, 503}


async def test_networks_that_ask_again_and_again_do_not_push_the_owner_out(
    stormed: Core, kdf_pool: WatchedPool
) -> None:
    await lock(stormed)
    kdf_pool.runs = 0

    async def guess(network: str) -> None:
        while kdf_pool.runs < 60:
            await unlock(stormed, "wrong passphrase", network)
            stormed.clock.advance(0.01)
            await asyncio.sleep(0)

    networks = ATTACKERS[:12]
    flood = [asyncio.create_task(guess(network)) for network in networks * 4]
    while kdf_pool.runs < 4:
        await asyncio.sleep(0.001)
        stormed.clock.advance(0.01)
    begun = kdf_pool.runs
    await unlock_as_owner(stormed)
    assert kdf_pool.runs - begun <= 2, "one more guess, and the owner"
    for task in flood:
        task.cancel()


async def test_who_unlocked_before_comes_first_again(stormed: Core, kdf_pool: WatchedPool) -> None:
    for _ in range(2):
        await lock(stormed)
        kdf_pool.runs = 0
        networks = ATTACKERS[:12]
        guesses = guessing(stormed, networks * 2)
        await asyncio.sleep(0)
        await unlock_as_owner(stormed)
        assert kdf_pool.runs <= 3, "the guess that had begun, one more, and the owner"
        assert set(await guesses) <= {403, 412, 429, 503}
        stormed.clock.advance(1)


async def test_an_owner_who_mistyped_takes_turns_with_those_who_guess(
    stormed: Core, kdf_pool: WatchedPool
) -> None:
    await lock(stormed)
    assert await unlock(stormed, "a typing mistake", "192.0.2.1") == 403
    stormed.clock.advance(1)
    kdf_pool.runs = 0
    networks = ATTACKERS[:12]
    guesses = guessing(stormed, networks)
    await asyncio.sleep(0)
    await unlock_as_owner(stormed)
    assert kdf_pool.runs <= len(networks) + 2, "each of the others had one turn at most"
    await guesses


async def test_a_network_that_has_failed_gains_nothing_by_attempts_that_waited_before(
    stormed: Core, kdf_pool: WatchedPool
) -> None:
    await lock(stormed)
    networks = ["198.51.100.1", "198.51.100.2", "198.51.100.3"]
    guesses = guessing(stormed, networks * 5)
    while kdf_pool.runs < len(networks) + 1:
        await asyncio.sleep(0.001)
        stormed.clock.advance(1)
    begun = kdf_pool.runs
    await unlock_as_owner(stormed)
    assert kdf_pool.runs <= begun + 3
    await guesses


async def test_networks_that_only_begin_to_guess_do_not_take_the_owners_place(
    stormed: Core, kdf_pool: WatchedPool
) -> None:
    await lock(stormed)
    old, new = ([f"198.51.{part}.{number}" for number in range(6)] for part in (100, 101))
    for network in old:
        assert await unlock(stormed, "wrong passphrase", network) == 403
    stormed.clock.advance(1)
    kdf_pool.runs = 0
    guesses = guessing(stormed, (old + new) * 10)
    await asyncio.sleep(0)
    await unlock_as_owner(stormed)
    assert kdf_pool.runs <= len(new) + 3
    await guesses
