"""/config/network and /config/ntp on the appliance: applied, and at first on trial."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from keystead.wire.control_messages import MachineSetting
from tests.support.backups import PASSPHRASE, Servers, make, restore, set_passphrase, unlock
from tests.support.core import ADMIN, Answer, Core, start_core

NOWHERE = "0.0.0.0"  # noqa: S104 - not a bind
DYNAMIC = {"ipAddress": NOWHERE, "netmask": NOWHERE, "gateway": NOWHERE}
WANTED = {"ipAddress": "192.0.2.7", "netmask": "255.255.255.0", "gateway": "192.0.2.1"}
OTHER = WANTED | {"ipAddress": "192.0.2.8"}


@dataclass
class Appliance:
    """A core, and what it tells process 1."""

    core: Core
    told: list[MachineSetting]

    def heard(self) -> list[tuple[str, object]]:
        """What was told since the last call."""
        new = [(setting.name, _value(setting)) for setting in self.told]
        self.told.clear()
        return new

    async def put(self, wanted: object, name: str = "network") -> Answer:
        answer = await self.core.request("PUT", f"/config/{name}", user=ADMIN, json=wanted)
        assert answer.status == 204
        return answer

    async def get(self) -> Answer:
        answer = await self.core.request("GET", "/config/network", user=ADMIN)
        assert answer.status == 200
        return answer


def _value(setting: MachineSetting) -> object:
    return setting.value if setting.name == "TIME_SERVER" else json.loads(setting.value)


@pytest.fixture
def appliance(runner: asyncio.Runner) -> Iterator[Appliance]:
    """A provisioned appliance."""
    told: list[MachineSetting] = []
    core = runner.run(start_core(set_machine=told.append))
    runner.run(core.provision())
    yield Appliance(core, told)
    core.close()


async def restarted(appliance: Appliance) -> Appliance:
    core, told = appliance.core, list[MachineSetting]()
    again = await start_core(
        store=core.store, device_key=core.device_key, clock=core.clock, set_machine=told.append
    )
    again.close()
    return Appliance(again, told)


async def test_a_new_appliance_gets_its_addresses_from_the_network(appliance: Appliance) -> None:
    assert appliance.heard() == [("NETWORK", DYNAMIC), ("TIME_SERVER", "")]
    assert (await appliance.get()).json() == DYNAMIC


async def test_new_network_settings_are_on_trial_and_not_kept(appliance: Appliance) -> None:
    appliance.heard()
    answer = await appliance.put(WANTED)
    assert answer.headers["Keystead-Applied"] == "on trial for 120 seconds; GET confirms"
    assert appliance.heard() == [("NETWORK_TRIAL", WANTED)]
    assert (await restarted(appliance)).heard()[0] == ("NETWORK", DYNAMIC)


async def test_an_administrator_keeps_them_by_reading_them(appliance: Appliance) -> None:
    await appliance.put(WANTED)
    appliance.core.clock.advance(11)
    appliance.heard()
    answer = await appliance.get()
    assert answer.json() == WANTED
    assert answer.headers["Keystead-Applied"] == "yes"
    assert appliance.heard() == [("NETWORK", WANTED)]
    assert (await restarted(appliance)).heard()[0] == ("NETWORK", WANTED)


async def test_a_request_that_may_have_come_over_the_old_address_confirms_nothing(
    appliance: Appliance,
) -> None:
    await appliance.put(WANTED)
    appliance.core.clock.advance(9)
    appliance.heard()
    answer = await appliance.get()
    assert answer.json() == WANTED
    assert answer.headers["Keystead-Applied"].startswith("on trial for 111 seconds")
    assert appliance.heard() == []


async def test_a_trial_that_has_ended_cannot_be_confirmed(appliance: Appliance) -> None:
    await appliance.put(WANTED)
    appliance.core.clock.advance(121)
    appliance.heard()
    answer = await appliance.get()
    assert answer.json() == DYNAMIC
    assert answer.headers["Keystead-Applied"] == "yes"
    assert appliance.heard() == []


async def test_a_second_trial_takes_the_place_of_the_first(appliance: Appliance) -> None:
    await appliance.put(WANTED)
    appliance.core.clock.advance(60)
    await appliance.put(OTHER)
    appliance.core.clock.advance(100)
    assert (await appliance.get()).json() == OTHER


@pytest.mark.parametrize("role", ["Operator", "Metrics"])
async def test_nobody_but_an_administrator_confirms(appliance: Appliance, role: str) -> None:
    other = await appliance.core.add_user("other", role)
    await appliance.put(WANTED)
    appliance.core.clock.advance(11)
    appliance.heard()
    answer = await appliance.core.request("GET", "/config/network", user=other)
    assert answer.status == 403
    assert appliance.heard() == []


async def test_an_unlock_does_not_end_a_trial(appliance: Appliance) -> None:
    await appliance.put(WANTED)
    appliance.heard()
    assert (await appliance.core.request("POST", "/lock", user=ADMIN)).status == 204
    assert await unlock(appliance.core) == 204
    assert appliance.heard() == []
    appliance.core.clock.advance(11)
    assert (await appliance.get()).json() == WANTED
    assert appliance.heard() == [("NETWORK", WANTED)]


async def test_the_address_of_a_backup_is_used_from_the_next_start_on(appliance: Appliance) -> None:
    core = appliance.core
    await appliance.put(WANTED)
    core.clock.advance(11)
    await appliance.get()
    assert await set_passphrase(core, PASSPHRASE) == 204
    file = await make(core, await core.add_user("backup", "Backup"))
    told: list[MachineSetting] = []
    target = Appliance(await start_core(set_machine=told.append, pools=core.pools), told)
    target.core.hsm.tls.servers = Servers()
    target.heard()
    assert (await restore(target.core, file)).status == 204
    assert await unlock(target.core) == 204
    assert target.heard() == []
    assert (await target.get()).json() == WANTED
    assert (await restarted(target)).heard()[0] == ("NETWORK", WANTED)


async def test_the_time_server_is_told_and_its_time_is_the_time(appliance: Appliance) -> None:
    system_time = {"time": "2031-01-01T00:00:00Z"}
    await appliance.put(system_time, "time")
    appliance.heard()

    await appliance.put({"ntpIP": "192.0.2.123"}, "ntp")

    assert appliance.heard() == [("TIME_SERVER", "192.0.2.123")]
    now = await appliance.core.request("GET", "/config/time", user=ADMIN)
    assert now.json()["time"].startswith("2023-11-14")
    again = await restarted(appliance)
    assert again.heard()[1] == ("TIME_SERVER", "192.0.2.123")
    assert again.core.hsm.time.offset == 0


async def test_a_server_for_nts_alone_is_not_asked(appliance: Appliance) -> None:
    appliance.heard()
    await appliance.put({"ntsName": "time.example.com"}, "ntp")
    assert appliance.heard() == [("TIME_SERVER", "")]
