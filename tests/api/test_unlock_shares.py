"""Unlocking by a quorum: M of N shares, none of which is worth anything alone."""

import asyncio
from itertools import combinations
from typing import Any

import pytest

from keystead.sealing.unlock_shares import UnlockShare, combine
from tests.support.backups import PASSPHRASE, make, restore, set_passphrase, started, unlock
from tests.support.core import ADMIN, UNLOCK, Answer, Core, start_core
from tests.support.stores import WatchedStore

HERE, THERE, ELSEWHERE = "192.0.2.1", "198.51.100.1", "203.0.113.1"
WANTED = {"threshold": 3, "shares": 5}
PROVISION = {"adminPassphrase": ADMIN[1], "systemTime": "2024-01-01T00:00:00Z"}


async def provisioned(**wanted: Any) -> tuple[Core, list[str]]:
    """Return an Operational HSM and the shares that unlock it."""
    core = await start_core()
    answer = await core.request("POST", "/provision", json=PROVISION | {"unlockShares": wanted})
    assert answer.status == 200, answer
    return core, answer.json()["shares"]


async def give(core: Core, share: str, client: str = HERE) -> Answer:
    return await core.request("POST", "/unlock", json={"share": share}, client=client)


async def change(core: Core, **wanted: Any) -> Answer:
    return await core.request("PUT", "/config/unlock-passphrase", user=ADMIN, json=wanted)


async def lock(core: Core) -> None:
    assert (await core.request("POST", "/lock", user=ADMIN)).status == 204


async def unlocks(core: Core, shares: list[str]) -> bool:
    """Return whether these shares unlock a Locked HSM, and leave it Locked."""
    statuses = [(await give(core, share)).status for share in shares]
    if core.hsm.is_operational:
        assert statuses == [202] * (len(shares) - 1) + [204]
        await lock(core)
        return True
    core.hsm.unlocking.given.forget()
    return False


@pytest.fixture
def quorum(runner: asyncio.Runner):
    """A Locked HSM that three of five shares unlock, and the shares."""
    core, shares = runner.run(provisioned(**WANTED))
    runner.run(lock(core))
    yield core, shares
    core.close()


@pytest.mark.parametrize(
    ("threshold", "number"), [(2, 2), (2, 4), (3, 5), (4, 5), (5, 5), (16, 16)]
)
async def test_every_combination_of_m_unlocks_and_none_of_fewer(
    threshold: int, number: int
) -> None:
    core, shares = await provisioned(threshold=threshold, shares=number)
    await lock(core)
    for few in combinations(shares, threshold - 1):
        assert not await unlocks(core, [*few])
        # Nor with the disk: the passphrase that they seem to have opens no slot.
        guess = combine([UnlockShare.parse(share) for share in few])
        wanted = {"passphrase": guess.reveal().decode()}
        assert (await core.request("POST", "/unlock", json=wanted)).status == 403
        core.clock.advance(2)
    for enough in combinations(shares, threshold):
        assert await unlocks(core, [*enough])
    core.close()


async def test_each_share_is_answered_with_how_many_there_are(quorum) -> None:
    core, shares = quorum
    first = await give(core, shares[4])
    assert (first.status, first.json()) == (202, {"have": 1, "need": 3})
    again = await give(core, shares[4].lower().replace("-", " "), THERE)
    assert (again.status, again.json()) == (202, {"have": 1, "need": 3})
    assert (await give(core, shares[0], THERE)).json() == {"have": 2, "need": 3}
    last = await give(core, shares[2], ELSEWHERE)
    assert (last.status, last.body) == (204, b"")
    assert (await give(core, shares[1])).status == 412


async def test_shares_are_forgotten_after_ten_minutes(quorum) -> None:
    core, shares = quorum
    await give(core, shares[0])
    core.clock.advance(599)
    assert (await give(core, shares[1])).json()["have"] == 2
    core.clock.advance(1)
    assert (await give(core, shares[2])).json()["have"] == 2


async def test_the_bytes_of_forgotten_shares_are_wiped(quorum) -> None:
    core, shares = quorum
    given = core.hsm.unlocking.given
    await give(core, shares[0])
    (kept,) = given._given.values()  # noqa: SLF001 - to see the memory itself
    value = kept.share.value.reveal()
    core.clock.advance(600)
    given.forget_old()
    assert value == bytes(16)


async def test_a_wrong_share_is_403_and_ends_what_its_network_gave(quorum) -> None:
    core, shares = quorum
    await give(core, shares[0])
    await give(core, shares[1], THERE)
    typo = shares[2][:-1] + ("A" if shares[2][-1] != "A" else "B")
    wrong = await give(core, typo)
    assert wrong.status == 403
    assert "checksum" in wrong.message
    assert (await give(core, shares[2])).status == 429
    core.clock.advance(1)
    assert (await give(core, shares[2])).json() == {"have": 2, "need": 3}, "the other network's"


async def test_a_restart_forgets_shares(quorum) -> None:
    core, shares = quorum
    await give(core, shares[0])
    restarted = await core.restarted()
    assert (await give(restarted, shares[1])).json()["have"] == 1


async def test_shares_of_another_hsm_are_refused_and_push_nothing_out(quorum) -> None:
    core, shares = quorum
    stranger, foreign = await provisioned(threshold=2, shares=16)
    await give(core, shares[0])
    await give(core, shares[1])
    for number, share in enumerate(foreign):
        assert (await give(core, share, f"198.51.100.{number}")).status == 403
    assert len(core.hsm.unlocking.given._given) == 2  # noqa: SLF001 - its memory is bounded
    assert (await give(core, shares[2])).status == 204
    stranger.close()


async def test_a_storm_of_guesses_does_not_keep_the_owners_out(quorum) -> None:
    core, shares = quorum
    attackers = [f"198.51.100.{number}" for number in range(100)]
    guess = {"passphrase": "not the passphrase"}
    storm = [
        asyncio.create_task(core.request("POST", "/unlock", json=content, client=client))
        for client in attackers
        for content in (guess, {"share": "no share"})
    ]
    await asyncio.sleep(0)
    for share in shares[:3]:
        answer = await give(core, share)
    assert answer.status == 204
    assert {answer.status for answer in await asyncio.gather(*storm)} <= {403, 412, 429, 503}


async def test_guesses_at_shares_and_at_the_passphrase_share_one_brake(quorum) -> None:
    core, _ = quorum
    guess = {"passphrase": "not the passphrase"}
    assert (await core.request("POST", "/unlock", json=guess)).status == 403
    assert (await give(core, "no share")).status == 429
    core.clock.advance(1)
    assert (await give(core, "no share")).status == 403
    assert (await core.request("POST", "/unlock", json=guess)).status == 429
    assert (await give(core, "no share", THERE)).status == 403


async def test_of_guesses_at_once_from_one_network_one_is_tried() -> None:
    core = await start_core(store=WatchedStore())
    answer = await core.request("POST", "/provision", json=PROVISION | {"unlockShares": WANTED})
    assert answer.status == 200, answer
    await lock(core)
    answers = await asyncio.gather(*(give(core, "no share") for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [403, 429, 429, 429, 429]
    core.close()


async def test_of_two_last_shares_at_once_one_unlocks(quorum) -> None:
    core, shares = quorum
    await give(core, shares[0])
    await give(core, shares[1])
    answers = await asyncio.gather(give(core, shares[2]), give(core, shares[3], THERE))
    assert sorted(answer.status for answer in answers) == [204, 412]
    assert core.hsm.unlocking.given._given == {}  # noqa: SLF001 - nothing stays behind


async def test_an_hsm_with_a_passphrase_takes_no_shares(fresh_core: Core) -> None:
    _, shares = await provisioned(**WANTED)
    await fresh_core.provision()
    await lock(fresh_core)
    assert (await give(fresh_core, shares[0])).status == 400
    answer = await fresh_core.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert answer.status == 204


@pytest.mark.parametrize(
    "wanted", [{}, {"share": "x", "passphrase": "0123456789"}, {"share": None}, {"share": 1}]
)
async def test_an_unlock_takes_a_share_or_a_passphrase(quorum, wanted) -> None:
    core, _ = quorum
    assert (await core.request("POST", "/unlock", json=wanted)).status == 400


@pytest.mark.parametrize(
    "shares",
    [{"threshold": 1, "shares": 2}, {"threshold": 3, "shares": 2}, {"threshold": 2, "shares": 17}],
)
async def test_numbers_that_make_no_sense_are_400(fresh_core: Core, shares) -> None:
    answer = await fresh_core.request(
        "POST", "/provision", json=PROVISION | {"unlockShares": shares}
    )
    assert answer.status == 400
    both = PROVISION | {"unlockShares": WANTED, "unlockPassphrase": UNLOCK}
    assert (await fresh_core.request("POST", "/provision", json=both)).status == 400


async def test_a_new_set_replaces_the_old_one_and_takes_a_quorum_of_it() -> None:
    core, old = await provisioned(**WANTED)
    wanted = {"unlockShares": {"threshold": 2, "shares": 2}}
    for few in (old[:2], [old[0]] * 3, [*old[:2], "no share"]):
        assert (await change(core, currentShares=few, **wanted)).status == 403
        core.clock.advance(1)
    answer = await change(core, currentShares=old[1:4], **wanted)
    assert answer.status == 200
    new = answer.json()["shares"]
    assert len(new) == 2
    await lock(core)
    assert (await give(core, old[0])).status == 403
    core.clock.advance(1)
    assert await unlocks(core, new)
    core.close()


async def test_shares_replace_a_passphrase_and_a_passphrase_replaces_shares() -> None:
    core = await start_core()
    await core.provision()
    answer = await change(core, currentPassphrase=UNLOCK, unlockShares=WANTED)
    shares = answer.json()["shares"]
    restarted = await core.restarted()
    refused = await restarted.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert refused.status == 403
    restarted.clock.advance(1)
    for share in shares[:3]:
        await give(restarted, share)
    wanted = {"currentShares": shares[2:], "newPassphrase": "a new passphrase"}
    assert (await change(restarted, **wanted)).status == 204
    await lock(restarted)
    assert (await give(restarted, shares[0])).status == 400
    wanted = {"passphrase": "a new passphrase"}
    assert (await restarted.request("POST", "/unlock", json=wanted)).status == 204
    core.close()


async def test_a_backup_restored_elsewhere_is_unlocked_by_the_shares_of_its_time() -> None:
    core, shares = await provisioned(**WANTED)
    backup = await core.add_user("backup", "Backup")
    await core.generate("mine", "EC_P256", "ECDSA_Signature")
    assert await set_passphrase(core, PASSPHRASE) == 204
    file = await make(core, backup)
    other = await started()
    assert (await restore(other, file)).status == 204
    for share in shares[:3]:
        answer = await give(other, share)
    assert answer.status == 204
    shown = await other.request("GET", "/keys/mine", user=ADMIN)
    assert shown.status == 200
    core.close()
    other.close()


async def test_a_restored_backup_without_shares_ends_the_set() -> None:
    core, shares = await provisioned(**WANTED)
    other = await started()
    await other.provision()
    backup = await other.add_user("backup", "Backup")
    for hsm in (core, other):
        assert await set_passphrase(hsm, PASSPHRASE) == 204
    assert (await restore(core, await make(other, backup), user=ADMIN)).status == 204
    assert (await give(core, shares[0])).status == 400
    assert await unlock(core) == 204
    core.close()
    other.close()


async def test_unattended_boot_needs_no_shares_and_turned_off_it_needs_them_again() -> None:
    core, shares = await provisioned(**WANTED)
    for status, state in (("on", "Operational"), ("off", "Locked")):
        wanted = {"status": status}
        answer = await core.request("PUT", "/config/unattended-boot", user=ADMIN, json=wanted)
        assert answer.status == 204
        restarted = await core.restarted()
        assert restarted.hsm.state.value == state
    assert await unlocks(restarted, shares[:3])
    core.close()
