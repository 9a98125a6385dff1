"""/config/network, /config/logging, /config/ntp: kept whole, given back as they were set."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.core import ADMIN, UNLOCK, Core, start_core

NOWHERE = "0.0.0.0"  # noqa: S104 - not a bind

DEFAULTS = {
    "network": {"ipAddress": "192.168.1.1", "netmask": "255.255.255.0", "gateway": NOWHERE},
    "logging": {"ipAddress": NOWHERE, "port": 514, "logLevel": "info"},
    "ntp": {},
}

GOOD = [
    ("network", {"ipAddress": "10.0.0.7", "netmask": "255.255.252.0", "gateway": "10.0.0.1"}),
    (
        "network",
        {
            "ipAddress": "10.0.0.7",
            "netmask": "255.255.255.255",
            "gateway": NOWHERE,
            "ipv6": {"cidr": "2001:db8::42/64", "gateway": "2001:db8::1"},
        },
    ),
    (
        "network",
        {
            "ipAddress": "10.0.0.7",
            "netmask": NOWHERE,
            "gateway": NOWHERE,
            "ipv6": {"cidr": "2001:db8::42/64", "gateway": None},
        },
    ),
    ("network", {"ipAddress": NOWHERE, "netmask": NOWHERE, "gateway": NOWHERE, "vlan": 4094}),
    ("logging", {"ipAddress": "192.0.2.9", "port": 65535, "logLevel": "debug"}),
    ("logging", {"ipAddress": "192.0.2.9", "port": 1, "logLevel": "error"}),
    ("logging", {"ipAddress": NOWHERE, "port": 0, "logLevel": "debug"}),
    ("logging", {"ipAddress": "2001:db8::9", "port": 514, "logLevel": "info"}),
    ("logging", {"ipAddress": "2001:DB8:0:0:0:0:0:9", "port": 514, "logLevel": "info"}),
    ("ntp", {"ntpIP": "192.0.2.5"}),
    ("ntp", {"ntsName": "time.example.com"}),
    ("ntp", {"ntpIP": "192.0.2.5", "ntsName": "time.example.com"}),
    ("ntp", {}),
]

ADDRESS = {"ipAddress": "10.0.0.7", "netmask": "255.255.255.0", "gateway": "10.0.0.1"}
BAD = [
    ("network", ADDRESS | {"ipAddress": "10.0.0.256"}),
    ("network", ADDRESS | {"ipAddress": "10.0.0"}),
    ("network", ADDRESS | {"netmask": "255.0.255.0"}),
    ("network", ADDRESS | {"netmask": "24"}),
    ("network", ADDRESS | {"gateway": "somewhere"}),
    ("network", ADDRESS | {"dns": "10.0.0.1"}),
    ("network", {"ipAddress": "10.0.0.7"}),
    ("network", ADDRESS | {"ipv6": {"cidr": "2001:db8::42", "gateway": None}}),
    ("network", ADDRESS | {"ipv6": {"cidr": "2001:db8::42/129", "gateway": None}}),
    ("network", ADDRESS | {"ipv6": {"cidr": "2001:db8::42/64", "gateway": "10.0.0.1"}}),
    ("network", ADDRESS | {"ipv6": {"cidr": "2001:db8::42/64"}}),
    ("network", ADDRESS | {"ipv6": {"cidr": "fe80::42%eth0/64", "gateway": None}}),
    ("network", ADDRESS | {"ipv6": {"cidr": "fe80::42/64", "gateway": "fe80::1%\u001b[2J"}}),
    *(("network", ADDRESS | {"vlan": vlan}) for vlan in (-1, 0, 4095, 42.5, "42", True)),
    ("logging", {"ipAddress": "192.0.2.9", "port": 0, "logLevel": "info"}),
    ("logging", {"ipAddress": "192.0.2.9", "port": 65536, "logLevel": "info"}),
    ("logging", {"ipAddress": "2001:db8::1::2", "port": 514, "logLevel": "info"}),
    ("logging", {"ipAddress": "[::1]", "port": 514, "logLevel": "info"}),
    ("logging", {"ipAddress": "fe80::1%eth0", "port": 514, "logLevel": "info"}),
    ("logging", {"ipAddress": "log.example.com", "port": 514, "logLevel": "info"}),
    ("logging", {"ipAddress": "192.0.2.9", "port": 514, "logLevel": "loud"}),
    ("logging", {"ipAddress": "192.0.2.9", "port": 514}),
    ("ntp", {"ntpIP": "time.example.com"}),
    ("ntp", {"ntsName": ""}),
    ("ntp", {"ntsName": "x" * 254}),
    ("ntp", {"ntpIP": None}),
]


@pytest.fixture(scope="module")
def fresh(runner: asyncio.Runner) -> Iterator[Core]:
    """A core that nobody has configured."""
    core = runner.run(start_core())
    runner.run(core.provision())
    yield core
    core.close()


async def get(core: Core, name: str) -> object:
    answer = await core.request("GET", f"/config/{name}", user=ADMIN)
    assert answer.status == 200
    return answer.json()


@pytest.mark.parametrize("name", DEFAULTS)
async def test_a_setting_that_was_never_set_has_its_default(fresh: Core, name: str) -> None:
    assert await get(fresh, name) == DEFAULTS[name]


@pytest.mark.parametrize(("name", "wanted"), GOOD)
async def test_a_setting_is_given_back_as_it_was_set(
    core: Core, name: str, wanted: dict[str, object]
) -> None:
    answer = await core.request("PUT", f"/config/{name}", user=ADMIN, json=wanted)
    assert answer.status == 204, answer
    assert await get(core, name) == wanted


async def test_ipv6_and_vlan_are_turned_off_by_a_null_and_left_out_then(core: Core) -> None:
    more = {"ipv6": {"cidr": "2001:db8::42/64", "gateway": None}, "vlan": 1}
    for wanted in (ADDRESS | more, ADDRESS | dict.fromkeys(more)):
        answer = await core.request("PUT", "/config/network", user=ADMIN, json=wanted)
        assert answer.status == 204, answer
    assert await get(core, "network") == ADDRESS


@pytest.mark.parametrize(("name", "wanted"), BAD)
async def test_a_bad_setting_is_refused_and_changes_nothing(
    core: Core, name: str, wanted: dict[str, object]
) -> None:
    before = await get(core, name)
    answer = await core.request("PUT", f"/config/{name}", user=ADMIN, json=wanted)
    assert answer.status == 400
    assert answer.message
    assert await get(core, name) == before


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_who_asks_for_the_network_learns_that_it_is_not_applied(
    core: Core, method: str
) -> None:
    body = None if method == "GET" else ADDRESS
    answer = await core.request(method, "/config/network", user=ADMIN, json=body)
    assert answer.headers["Keystead-Applied"].startswith("no")


async def test_settings_survive_a_restart(core: Core) -> None:
    wanted = {"ntsName": "time.example.com"}
    await core.request("PUT", "/config/ntp", user=ADMIN, json=wanted)
    again = await core.restarted()
    answer = await again.request("GET", "/config/ntp", user=ADMIN)
    assert answer.status == 412  # Locked
    await again.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert await get(again, "ntp") == wanted
