"""Unattended boot: what opens the domain key at a start, and what a crash or an old copy leaves."""

import copy

import pytest

from keystead.storage.sealed_records import SealedRecords
from tests.support.backups import unlock
from tests.support.core import ADMIN, Core, MemoryUnattendedKey, start_core
from tests.support.memory_store import MemoryStore
from tests.support.stores import Crash

PATH = "/config/unattended-boot"
NOT_OPENED = "the unattended key does not fit the database"


async def turn(core: Core, status: str) -> int:
    answer = await core.request("PUT", PATH, user=ADMIN, json={"status": status})
    return answer.status


async def status(core: Core) -> str:
    return (await core.request("GET", PATH, user=ADMIN)).json()["status"]


async def state(core: Core) -> str:
    return (await core.request("GET", "/health/state")).json()["state"]


def old_copy(core: Core) -> MemoryStore:
    assert isinstance(core.store, MemoryStore)
    return copy.deepcopy(core.store)


def warned(core: Core) -> bool:
    return any(NOT_OPENED in line for line in core.log_lines)


async def put_back(core: Core, store: MemoryStore) -> Core:
    """Return a core that finds an older store beside today's keys."""
    core.store = store
    return await core.restarted()


async def turned_on(core: Core) -> Core:
    await core.provision()
    assert await turn(core, "on") == 204
    return core


def slots(core: Core) -> SealedRecords:
    root = f"/local/{core.hsm.device_id}/domain-key/"
    return SealedRecords(core.store, core.device_key, root)


async def as_of_earlier_software(core: Core) -> Core:
    """Provision, and have the slot be one that the device key opens alone."""
    await turned_on(core)
    domain_key = core.hsm.session.require_domain_key()
    kept = slots(core)
    await core.store.commit(
        [kept.put("unattended", domain_key.reveal()), kept.delete("unattended-with-key")]
    )
    core.unattended_key.content = None
    return core


async def test_turned_on_it_starts_operational_and_turned_off_it_does_not(fresh_core: Core):
    core = await turned_on(fresh_core)
    assert len(core.unattended_key.content) == 32
    again = await core.restarted()
    assert (await state(again), await status(again)) == ("Operational", "on")
    assert await turn(again, "off") == 204
    assert core.unattended_key.content == b""
    assert await state(await again.restarted()) == "Locked"


async def test_an_older_database_comes_up_locked_once_it_is_off(fresh_core: Core):
    core = await turned_on(fresh_core)
    before = old_copy(core)
    assert await turn(core, "off") == 204
    again = await put_back(core, before)
    assert await state(again) == "Locked"
    assert warned(again)
    await unlock(again)
    assert await status(again) == "off"


async def test_turning_it_on_again_does_not_open_a_copy_from_before(fresh_core: Core):
    core = await turned_on(fresh_core)
    before = old_copy(core)
    assert [await turn(core, wanted) for wanted in ("off", "on")] == [204, 204]
    again = await put_back(core, before)
    assert await state(again) == "Locked"
    assert warned(again)
    await unlock(again)
    assert await turn(again, "on") == 204
    assert await state(await again.restarted()) == "Operational"


async def test_turning_it_on_twice_keeps_the_key(fresh_core: Core):
    core = await turned_on(fresh_core)
    key = core.unattended_key.content
    assert await turn(core, "on") == 204
    assert core.unattended_key.content == key
    assert await state(await core.restarted()) == "Operational"


async def test_without_the_file_it_comes_up_locked(fresh_core: Core):
    core = await turned_on(fresh_core)
    core.unattended_key.content = None
    again = await core.restarted()
    assert await state(again) == "Locked"
    assert warned(again)


async def test_the_slot_of_earlier_software_opens_once_and_is_replaced(fresh_core: Core):
    core = await as_of_earlier_software(fresh_core)
    before = old_copy(core)
    again = await core.restarted()
    assert (await state(again), await status(again)) == ("Operational", "on")
    assert await slots(again).get("unattended") is None
    assert await state(await again.restarted()) == "Operational"
    third = await put_back(again, before)
    assert await state(third) == "Locked"
    assert warned(third)


async def test_a_device_that_never_had_it_takes_no_slot_of_earlier_software_later(fresh_core: Core):
    core = await as_of_earlier_software(fresh_core)
    before = old_copy(core)
    kept = slots(core)
    await core.store.commit([kept.delete("unattended")])
    assert await state(await core.restarted()) == "Locked"
    assert core.unattended_key.content == b""
    assert await state(await put_back(core, before)) == "Locked"


class Steps(MemoryUnattendedKey):
    """Counts what is written, here and to the store, and crashes before one step or after it."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 10**9
        self.is_late = False

    def step(self, *, is_after: bool) -> None:
        self.left -= not is_after
        if self.left == 0 and is_after is self.is_late:
            self.left = 10**9
            raise Crash

    async def keep(self, content: bytes) -> None:
        self.step(is_after=False)
        await super().keep(content)
        self.step(is_after=True)


class SteppedStore(MemoryStore):
    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    async def commit(self, changes, *, checks=()):
        self.steps.step(is_after=False)
        revision = await super().commit(changes, checks=checks)
        self.steps.step(is_after=True)
        return revision


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("wanted", "step"), [("on", 1), ("on", 2), ("off", 1), ("off", 2)])
async def test_a_crash_between_two_steps_leaves_nothing_that_opens_later(wanted, step, is_late):
    steps = Steps()
    core = await start_core(store=SteppedStore(steps), unattended_key=steps)
    await core.provision()
    if wanted == "off":
        assert await turn(core, "on") == 204
    steps.left, steps.is_late = step, is_late
    assert await turn(core, wanted) == 500
    again = await core.restarted()
    # Turning it on ends with the commit, turning it off begins with it.
    is_done = (step, is_late) == (2, True) if wanted == "on" else (step, is_late) != (1, False)
    is_on = is_done is (wanted == "on")
    assert await state(again) == ("Operational" if is_on else "Locked")
    assert not warned(again)
    assert len(steps.content) == (32 if is_on else 0)
    core.close()


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", [1, 2, 3])
async def test_a_crash_as_the_slot_of_earlier_software_is_replaced_is_made_up_for(step, is_late):
    steps = Steps()
    core = await start_core(store=SteppedStore(steps), unattended_key=steps)
    await as_of_earlier_software(core)
    steps.left, steps.is_late = step, is_late
    with pytest.raises(Crash):
        await core.restarted()
    again = await core.restarted()
    assert await state(again) == "Operational"
    assert await slots(again).get("unattended") is None
    assert await state(await again.restarted()) == "Operational"
    core.close()


async def test_on_a_full_disk_a_start_goes_on_and_a_change_is_refused(fresh_core: Core):
    core = await as_of_earlier_software(fresh_core)
    core.unattended_key.is_full = True
    again = await core.restarted()
    assert await state(again) == "Operational"
    assert await turn(again, "off") == 503
    core.unattended_key.is_full = False
    assert await turn(again, "off") == 204
    assert core.unattended_key.content == b""
