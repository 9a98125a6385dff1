"""What a generation knows of the settings of devices: by hand, on a store that can be watched."""

import asyncio
from typing import Any

import pytest

from keystead.errors import CorruptRecord, StaleRevision
from keystead.storage.bound_settings import BoundSettings
from keystead.storage.key_value_store import MISSING, Change, Check
from tests.support.bound import Bound, run

OWN, THEIRS = "AAAA", "BBBB"


def path_of(device: str, name: str = "ntp-config") -> str:
    return f"/local/{device}/config/{name}"


class Device:
    """A device that uses a store together with others."""

    def __init__(self, name: str, bound: Bound) -> None:
        self.name = name
        self.kept = bound.kept
        self.wrong: list[str] = []
        self.bound = bound
        self.settings = BoundSettings(bound.store, bound.kept, name, self.wrong.append)
        self.settings.begin()

    async def put(self, value: bytes | None, name: str = "ntp-config", *checks: Check) -> int:
        return await self.settings.commit([Change(path_of(self.name, name), value)], checks=checks)

    async def faults(self) -> str:
        return (await self.settings.judge()).fault


async def two() -> tuple[Device, Device]:
    first = Bound()
    own = Device(OWN, first)
    await own.put(b"1")
    theirs = Device(THEIRS, await first.another())
    await theirs.put(b"2")
    return own, theirs


def test_devices_know_only_their_own_settings() -> None:
    async def scenario() -> None:
        own, theirs = await two()
        await theirs.put(None)
        await theirs.put(b"3", "certificate")
        await own.put(b"4", "private-key")
        assert [await one.faults() for one in (own, theirs)] == ["", ""]
        await own.kept.commit([Change(path_of(THEIRS, "certificate"), b"older")])
        assert await own.faults() == ""
        assert "certificate." in await theirs.faults()
        with pytest.raises(CorruptRecord):
            await theirs.settings.get(path_of(THEIRS, "certificate"))
        assert theirs.wrong == [path_of(THEIRS, "certificate")]

    run(scenario)


def test_a_read_during_a_change_is_no_fault() -> None:
    async def scenario() -> None:
        own, _ = await two()
        own.kept.turns = lambda: 3
        values = [b"%d" % number for number in range(50)]
        writing = asyncio.gather(*(own.put(value) for value in values))
        while not writing.done():
            entry = await own.settings.get(path_of(OWN))
            assert entry is not None
            assert entry.value in [b"1", *values]
        await writing
        assert not own.wrong
        assert await own.faults() == ""

    run(scenario)


def test_changes_at_once_do_not_make_each_other_stale() -> None:
    attempts = list[str]()

    async def scenario() -> None:
        own = Device(OWN, Bound())
        await own.put(b"1")
        own.kept.before_commit = lambda: attempts.append(OWN)
        await asyncio.gather(*(own.put(b"%d" % number) for number in range(50)))
        assert len(attempts) == 50

    run(scenario)


def test_two_processes_on_one_store_change_settings_at_once() -> None:
    async def scenario() -> None:
        own, _ = await two()
        again = Device(OWN, await own.bound.another())
        own.kept.turns = lambda: 2
        await asyncio.gather(
            *(one.put(b"x", f"s{number}") for number in range(20) for one in (own, again))
        )
        assert await own.faults() == await again.faults() == ""

    run(scenario)


def test_what_is_known_in_another_format_is_not_guessed() -> None:
    async def scenario() -> None:
        own, _ = await two()
        for content in (b"", b"\x80", b"\x82\xa6hashes\x80\xa7version\x02"):
            await own.bound.store.commit([Change(f"/0/device/{OWN}", content)])
            assert "not what was written last" in await own.faults()
            with pytest.raises(CorruptRecord):
                await own.put(b"2")
            with pytest.raises(CorruptRecord):
                await own.settings.carried_to(1, [])
        # Someone has acknowledged it.
        judgement = await own.settings.judge()
        assert not judgement.is_new
        await own.settings.bind(judgement, writes=False)
        await own.put(b"2")
        assert await own.faults() == ""

    run(scenario)


@pytest.mark.parametrize("acknowledged", [None, b"put back"])
def test_a_store_that_shows_other_settings_after_they_were_judged_is_not_believed(
    acknowledged: bytes | None,
) -> None:
    async def scenario() -> None:
        own, _ = await two()
        own.settings.end()
        if acknowledged:
            await own.kept.commit([Change(path_of(OWN), acknowledged)])
        judgement = await own.settings.judge()
        assert bool(judgement.fault) is bool(acknowledged)
        await own.kept.commit([Change(path_of(OWN), b"another one")])
        await own.settings.bind(judgement, writes=False)
        with pytest.raises(CorruptRecord):
            await own.settings.get(path_of(OWN))
        await own.kept.commit([Change(path_of(OWN), acknowledged or b"1")])
        assert await own.settings.get(path_of(OWN)) is not None

    run(scenario)


def test_a_check_that_does_not_hold_is_no_reason_to_try_again() -> None:
    async def scenario() -> None:
        own, _ = await two()
        with pytest.raises(StaleRevision):
            await own.put(b"2", "ntp-config", Check(path_of(OWN), MISSING))
        assert await own.faults() == ""

    run(scenario)


def test_a_generation_that_is_gone_is_no_damage_if_the_checks_say_so() -> None:
    async def scenario() -> None:
        own, _ = await two()
        revision = await own.kept.commit([Change("/generation", b"0")])
        in_force = Check("/generation", revision)
        gone = [Change(path, None) for path in await own.kept.paths() if path.startswith("/0/")]
        await own.kept.commit(gone)
        with pytest.raises(CorruptRecord):
            await own.put(b"2", "ntp-config", in_force)
        await own.kept.commit([Change("/generation", b"1")])
        with pytest.raises(StaleRevision):
            await own.put(b"2", "ntp-config", in_force)

    run(scenario)


def test_another_generation_begins_with_what_is_known_of_all_devices() -> None:
    async def scenario() -> None:
        own, theirs = await two()
        # Not what is there now: someone may have put it back meanwhile.
        await own.kept.commit([Change(path_of(one), b"older") for one in (OWN, THEIRS)])
        changes = [Change(path_of(OWN, "time-offset"), b"5"), Change("/local/other", b"")]
        carried = await own.settings.carried_to(1, changes)
        written = {change.path: change.value for change in carried.changes}
        entries: dict[str, Any] = {
            one: await own.kept.get(f"/0/device/{one}") for one in (OWN, THEIRS)
        }
        assert written.keys() == {f"/1/device/{OWN}", f"/1/device/{THEIRS}"}
        assert written[f"/1/device/{THEIRS}"] == entries[THEIRS].value
        assert carried.checks == [
            Check(f"/0/device/{one}", entries[one].revision) for one in (OWN, THEIRS)
        ]
        await own.settings.commit(changes[:1])
        assert (await own.kept.get(f"/0/device/{OWN}")).value == written[f"/1/device/{OWN}"]
        assert "ntp-config" in await theirs.faults()

    run(scenario)


def test_what_is_known_of_the_own_settings_is_carried_over_also_if_no_list_has_it() -> None:
    async def scenario() -> None:
        own, _ = await two()
        before = await own.settings.carried_to(1, [])

        async def listed(*_: object, **__: object) -> list[str]:
            return []

        own.kept.list = listed
        await own.kept.commit([Change(path_of(OWN), b"older")])
        carried = await own.settings.carried_to(1, [])
        assert carried.changes == [one for one in before.changes if one.path.endswith(OWN)]

    run(scenario)


def test_without_a_root_another_generation_begins_with_the_settings_that_are_there() -> None:
    async def scenario() -> None:
        own, _ = await two()
        changed = Change(path_of(OWN), b"2")
        known = await own.settings.carried_to(0, [changed])
        own.bound.store.follow(None)
        carried = await own.settings.carried_to(0, [changed])
        assert carried.checks == []
        assert carried.changes == [one for one in known.changes if one.path.endswith(OWN)]
        await own.put(b"not checked")
        assert (await own.settings.get(path_of(OWN))).value == b"not checked"

    run(scenario)
