"""A whole store put back: a counter that only grows tells it from the present one."""

from functools import partial

import pytest

from keystead.errors import StoreUnavailable, WriteRefused
from tests.api import test_rollback
from tests.api.test_rollback import OLDER, Place, StoreWithPlace, said, store_of, unlock
from tests.support.core import ADMIN, Core, start_core
from tests.support.rollback import acknowledge

HOUR = 3600


async def provisioned() -> Core:
    core = await start_core(store=StoreWithPlace(Place()), keeps_count=True)
    await core.provision()
    return core


started_on = partial(test_rollback.started_on, keeps_head=False, keeps_count=True)


async def again(core: Core) -> Core:
    """Return a core on the same store, unlocked."""
    other = await started_on(store_of(core), core)
    assert await unlock(other) == 204
    return other


async def checkpoint(core: Core) -> int:
    """Have the journal make a checkpoint. Return the counter after it."""
    core.clock.advance(61)
    await core.request("PUT", "/config/time", user=ADMIN, json={})
    await core.hsm.audit.tick()
    await core.hsm.known_head.settle()
    return store_of(core).place.count


async def test_a_store_of_before_the_last_unlock_is_refused_until_it_is_acknowledged() -> None:
    core = await provisioned()
    await core.hsm.stop()
    old = await store_of(core).copy()
    core = await again(core)
    await core.hsm.stop()
    other = await started_on(old, core)
    assert await unlock(other) == 409
    assert said(other, OLDER)
    assert await acknowledge(other) == 204
    await other.hsm.stop()
    last = await again(other)
    assert not said(last, OLDER)
    core.close()


async def test_a_copy_of_the_running_store_is_refused_after_the_stop() -> None:
    core = await provisioned()
    await checkpoint(core)
    old = await store_of(core).copy()
    await core.hsm.stop()
    assert await unlock(await started_on(old, core)) == 409
    core.close()


async def test_a_crash_at_any_moment_is_no_rollback() -> None:
    core = await provisioned()
    await checkpoint(core)
    before_raise = store_of(core).place.count
    await core.hsm.stop()
    assert store_of(core).place.count == before_raise + 1
    store_of(core).place.count = before_raise  # The machine was off before the counter was raised.
    await again(core)
    await again(core)  # No stop between.
    core.close()


async def test_the_counter_is_raised_once_an_hour_and_at_unlock_and_stop() -> None:
    core = await provisioned()
    assert await checkpoint(core) == 8
    assert await checkpoint(core) == 8
    core.clock.advance(HOUR)
    assert await checkpoint(core) == 9
    await core.hsm.stop()
    assert store_of(core).place.count == 10
    assert await checkpoint(await again(core)) == 11
    core.close()


async def needs_an_acknowledgement_once(core: Core) -> None:
    other = await started_on(store_of(core), core)
    assert await unlock(other) == 409
    assert await acknowledge(other) == 204
    await other.hsm.stop()
    await again(other)


@pytest.mark.parametrize("count", [0, 3, 100])
async def test_the_counter_of_another_tpm_needs_an_acknowledgement_once(count: int) -> None:
    core = await provisioned()
    await core.hsm.stop()
    store_of(core).place.count = count
    await needs_an_acknowledgement_once(core)
    core.close()


async def test_an_hsm_that_gets_a_counter_needs_an_acknowledgement_once() -> None:
    core = await start_core(store=StoreWithPlace(Place()))
    await core.provision()
    await core.hsm.stop()
    await needs_an_acknowledgement_once(core)
    core.close()


async def test_a_counter_that_somebody_else_raises_is_followed() -> None:
    core = await provisioned()
    await checkpoint(core)
    store_of(core).place.count += 5
    for _ in range(3):
        core.clock.advance(HOUR)
        await checkpoint(core)
    await core.hsm.stop()
    await again(core)
    core.close()


async def test_a_counter_that_fails_stops_nothing_and_is_logged() -> None:
    core = await provisioned()
    place = store_of(core).place
    place.error = WriteRefused("the TPM does not answer")
    await checkpoint(core)
    assert said(core, "the counter cannot be raised")
    await core.hsm.stop()
    place.error = StoreUnavailable("the TPM is gone")
    other = await started_on(store_of(core), core)
    assert await unlock(other) == 409
    assert await acknowledge(other) == 204
    assert said(other, "the counter cannot be read")
    place.error = None
    await other.hsm.stop()
    await again(other)
    core.close()
