"""/config/time, /system/info, /metrics."""

import asyncio
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest

import keystead
from keystead.platform.device_key import PROVIDER_NAMES
from tests.support.core import ADMIN, UNLOCK, Answer, Core, Credentials, b64, start_core


@pytest.fixture
def clocked(runner: asyncio.Runner) -> Iterator[Core]:
    """A core of this test's own, provisioned at 2024-01-01T00:00:00Z."""
    core = runner.run(start_core())
    runner.run(core.provision())
    yield core
    core.close()


async def put_time(core: Core, time: object) -> Answer:
    return await core.request("PUT", "/config/time", user=ADMIN, json={"time": time})


async def get_time(core: Core) -> str:
    answer = await core.request("GET", "/config/time", user=ADMIN)
    assert answer.status == 200, answer
    assert set(answer.json()) == {"time"}
    return answer.json()["time"]


# --- time ----------------------------------------------------------------------------------------


async def test_the_time_is_the_one_of_provisioning_and_passes(clocked: Core) -> None:
    assert await get_time(clocked) == "2024-01-01T00:00:00Z"
    clocked.clock.advance(3661)
    assert await get_time(clocked) == "2024-01-01T01:01:01Z"


@pytest.mark.parametrize("fraction", [0, 0.1, 0.5, 0.9])
async def test_a_time_is_never_read_back_as_one_before_it(clocked: Core, fraction: float) -> None:
    clocked.clock.advance(fraction)
    for second in range(3):
        time = f"2031-02-03T04:05:0{second}Z"
        await put_time(clocked, time)
        assert await get_time(clocked) == time


@pytest.mark.parametrize(
    ("time", "read"),
    [
        ("2031-02-03T04:05:06Z", "2031-02-03T04:05:06Z"),
        ("2031-02-03t04:05:06z", "2031-02-03T04:05:06Z"),
        ("2031-02-03 04:05:06Z", "2031-02-03T04:05:06Z"),
        ("2031-02-03T04:05:06.789Z", "2031-02-03T04:05:06Z"),
        ("2031-02-03T04:05:06+00:00", "2031-02-03T04:05:06Z"),
        ("1970-01-01T00:00:00-00:00", "1970-01-01T00:00:00Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
async def test_a_time_that_was_set_is_read_back(clocked: Core, time: str, read: str) -> None:
    answer = await put_time(clocked, time)
    assert (answer.status, answer.body) == (204, b"")
    assert await get_time(clocked) == read


@pytest.mark.parametrize(
    "time",
    [
        "",
        "now",
        "2031-02-03",
        "2031-02-03T04:05:06",
        "2031-02-03T04:05:06+01:00",
        "2031-02-03T04:05:06-00:30",
        "2031-02-30T04:05:06Z",
        "2031-02-03T24:05:06Z",
        "2031-02-03T04:60:06Z",
        "2031-02-03T04:05:61Z",
        "9999-12-31T23:59:60Z",
        "2031-2-3T4:5:6Z",
        "12031-02-03T04:05:06Z",
        "\uff12031-02-03T04:05:06Z",
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2031-02-03T04:05:06Z\n",
        1,
        None,
    ],
)
async def test_anything_but_a_timestamp_in_utc_is_400(clocked: Core, time: object) -> None:
    answer = await put_time(clocked, time)
    assert answer.status == 400
    assert answer.message
    assert await get_time(clocked) == "2024-01-01T00:00:00Z"


async def test_date_follows_the_time(clocked: Core) -> None:
    await put_time(clocked, "2040-05-06T07:08:09Z")
    answer = await clocked.request("GET", "/info")
    assert answer.headers["Date"] == "Sun, 06 May 2040 07:08:09 GMT"


async def test_the_time_outlives_a_restart(clocked: Core) -> None:
    await put_time(clocked, "2040-05-06T07:08:09Z")
    clocked.clock.advance(60)
    restarted = await clocked.restarted()
    answer = await restarted.request("GET", "/info")
    assert answer.headers["Date"] == "Sun, 06 May 2040 07:09:09 GMT"
    await restarted.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert await get_time(restarted) == "2040-05-06T07:09:09Z"


async def test_the_end_of_the_calendar_is_no_end_of_service(clocked: Core) -> None:
    await put_time(clocked, "9999-12-31T23:59:59Z")
    clocked.clock.advance(3600)
    answer = await clocked.request("GET", "/config/time", user=ADMIN)
    assert answer.status == 200
    assert parsedate_to_datetime(answer.headers["Date"]).year == 9999
    assert (await put_time(clocked, "2024-01-01T00:00:00Z")).status == 204


async def test_a_machine_clock_set_back_is_no_end_of_service(clocked: Core) -> None:
    await put_time(clocked, "1970-01-01T00:00:00Z")
    clocked.clock.advance(-3600)
    answer = await clocked.request("GET", "/config/time", user=ADMIN)
    assert answer.json() == {"time": "1970-01-01T00:00:00Z"}


async def test_setting_the_time_neither_ends_nor_prolongs_a_brake(clocked: Core) -> None:
    wrong = ("nobody", "not a passphrase")
    assert (await clocked.request("GET", "/keys", user=wrong)).status == 401
    await put_time(clocked, "2040-05-06T07:08:09Z")
    assert (await clocked.request("GET", "/keys", user=wrong)).status == 429


# --- system info ---------------------------------------------------------------------------------


async def test_system_info_has_every_field_of_nethsm_s_and_no_other(
    core: Core, operator: Credentials
) -> None:
    info = (await core.request("GET", "/system/info", user=ADMIN)).json()
    # A client that is generated for Go or Java refuses what its description does not have.
    assert set(info) == {
        "softwareVersion",
        "softwareBuild",
        "firmwareVersion",
        "hardwareVersion",
        "deviceId",
        "akPub",
        "pcr",
    }
    assert isinstance(info["akPub"], dict)
    assert isinstance(info["pcr"], dict)
    assert (await core.request("GET", "/system/info", user=operator)).status == 403


async def test_system_info_shows_what_the_tpm_has_measured() -> None:
    measured = {"0": "01" * 32, "2": "23" * 32, "11": "ab" * 32}
    core = await start_core(measurements=measured)
    await core.provision()

    info = (await core.request("GET", "/system/info", user=ADMIN)).json()
    assert info["pcr"] == {"0": "01" * 32, "2": "23" * 32}

    info = (await core.request("GET", "/system/info?details=true", user=ADMIN)).json()
    assert info["pcr"] == measured
    core.close()


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
async def test_system_info_says_what_keeps_the_device_key(provider: str) -> None:
    core = await start_core(device_key_provider=provider)
    await core.provision()

    info = (await core.request("GET", "/system/info?details=true", user=ADMIN)).json()

    assert info["deviceKey"] == provider
    core.close()


async def test_clients_find_the_generation_of_the_api_in_the_software_s_version(core: Core) -> None:
    info = (await core.request("GET", "/system/info", user=ADMIN)).json()
    assert info["softwareVersion"].split(".")[0] == "5"
    assert info["softwareBuild"] == f"{keystead.__version__}-{keystead.SECURITY_VERSION}"


async def test_the_device_id_stays_over_a_restart(core: Core) -> None:
    first = (await core.request("GET", "/system/info", user=ADMIN)).json()
    restarted = await core.restarted()
    await restarted.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert (await restarted.request("GET", "/system/info", user=ADMIN)).json() == first


# --- metrics -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def meter(runner: asyncio.Runner, core: Core) -> Credentials:
    return runner.run(core.add_user("meter", "Metrics"))


GC = ("compactions", "major bytes", "major collections", "minor collections")
"""What NetHSM's clients look for, though another collector has other numbers."""


async def metrics(core: Core, user: Credentials) -> dict[str, str]:
    answer = await core.request("GET", "/metrics", user=user)
    assert answer.status == 200, answer
    return answer.json()


async def test_metrics_are_texts_of_numbers(core: Core, meter: Credentials) -> None:
    found = await metrics(core, meter)
    assert {"uptime", "log errors", "log warnings", "kv write", "http response total"} <= set(found)
    assert {f"gc {what}" for what in GC} <= set(found)
    assert all(isinstance(value, str) for value in found.values())
    assert all(float(value) >= 0 for value in found.values())


async def test_key_operations_are_counted(
    core: Core, meter: Credentials, operator: Credentials
) -> None:
    before = await metrics(core, meter)
    await core.generate("ec", "EC_P256", "ECDSA_Signature")
    mechanisms = ("AES_Encryption_CBC", "AES_Decryption_CBC")
    await core.generate("aes", "Generic", *mechanisms, length=256)
    block = b64(bytes(16))
    for path, wanted in [
        ("ec/sign", {"mode": "ECDSA", "message": b64(bytes(32))}),
        ("ec/sign", {"mode": "ECDSA", "message": b64(bytes(31))}),
        ("aes/encrypt", {"mode": "AES_CBC", "message": block}),
        ("aes/encrypt", {"mode": "AES_CBC", "message": block}),
        ("aes/decrypt", {"mode": "AES_CBC", "encrypted": block, "iv": block}),
    ]:
        await core.request("POST", f"/keys/{path}", user=operator, json=wanted)
    after = await metrics(core, meter)
    counted = {
        name: int(after[name]) - int(before[name])
        for name in ("generate", "sign", "encrypt", "decrypt")
    }
    assert counted == {"generate": 2, "sign": 1, "encrypt": 2, "decrypt": 1}


async def test_responses_are_counted_by_status(core: Core, meter: Credentials) -> None:
    before = await metrics(core, meter)
    for path in ("/nope", "/nope", "/info"):
        await core.request("GET", path)
    after = await metrics(core, meter)

    def gain(name: str) -> int:
        return int(after[name]) - int(before.get(name, "0"))

    # The first reading of the metrics is counted in the second.
    assert gain("http response 404") == 2
    assert gain("http response 200") == 2
    assert gain("http response total") == 4


async def test_writes_are_counted(core: Core, meter: Credentials) -> None:
    before = await metrics(core, meter)
    await core.generate("written", "EC_P256", "ECDSA_Signature")
    after = await metrics(core, meter)
    # The key, and its record for the journal.
    assert int(after["kv write"]) - int(before["kv write"]) == 2


async def test_uptime_passes(core: Core, meter: Credentials) -> None:
    before = int((await metrics(core, meter))["uptime"])
    core.clock.advance(17)
    assert int((await metrics(core, meter))["uptime"]) == before + 17


async def test_only_metrics_users_see_them(core: Core, operator: Credentials) -> None:
    for user in (ADMIN, operator):
        assert (await core.request("GET", "/metrics", user=user)).status == 403
    assert (await core.request("GET", "/metrics")).status == 401


async def test_a_metrics_user_sees_nothing_else(core: Core, meter: Credentials) -> None:
    for path in ("/keys", "/users", "/config/time", "/system/info", "/namespaces"):
        assert (await core.request("GET", path, user=meter)).status == 403


async def test_an_unattended_start_is_told(fresh_core: Core):
    await fresh_core.provision()
    for status in ("on", "off"):
        wanted = {"status": status}
        path = "/config/unattended-boot"
        answer = await fresh_core.request("PUT", path, user=ADMIN, json=wanted)
        assert answer.status == 204
        again = await fresh_core.restarted()
        told = [line for line in again.log_lines if "unlocked without a passphrase" in line]
        assert len(told) == (1 if status == "on" else 0)
