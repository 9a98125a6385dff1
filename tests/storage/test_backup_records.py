"""Which records a backup has, and what becomes of each record of one that is restored."""

import asyncio

import pytest

from keystead.errors import InvalidInput
from keystead.model.device_settings import LoggingSettings, NetworkSettings
from keystead.model.ids import NamespaceId
from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.sealing.backup import BackupOrigin
from keystead.storage import device_records, settings
from keystead.storage.backup_records import MAX_LOCAL_BYTES, RestoredRecords, shared_records
from keystead.storage.key_value_store import Change
from tests.support.memory_store import MemoryStore
from tests.support.stores import key_path, key_record, new_domain

DEVICE = "ABCDEFGHIJ"
LOCAL_KEY = Secret(bytes(32))
ROOT = f"/local/{DEVICE}/config/"


def version_1() -> RestoredRecords:
    return RestoredRecords(BackupOrigin(bytes(60), DEVICE, LOCAL_KEY))


def version_0() -> RestoredRecords:
    return RestoredRecords(BackupOrigin(bytes(60), None, None))


def sealed(name: str, value: bytes, *, path: str | None = None) -> tuple[str, bytes]:
    return ROOT + name, envelope.seal(LOCAL_KEY, path or ROOT + name, value)


@pytest.mark.parametrize(
    "path",
    [
        "/authentication/.version",
        "/authentication/admin",
        "/authentication/ns~admin",
        "/key/.version",
        "/key/mine",
        "/key/.ns/theirs",
        "/namespace/.version",
        "/namespace/ns",
        "/namespace/.deleted/ns",
    ],
)
def test_records_of_the_shared_stores_are_kept_as_they_are(path):
    for records in (version_0(), version_1()):
        assert records.is_shared(path, b"anything")
        assert records.ignored == []


@pytest.mark.parametrize(
    "path",
    [
        "/key/",
        "/key/../authentication/admin",
        "/key/ns/theirs",
        "/key/.ns/",
        "/key/.ns/sub/key",
        "/authentication/a b",
        "/namespace/-",
        "/something/else",
        "/config/something-else",
        "",
    ],
)
def test_records_that_are_not_known_are_left_out_and_named(path):
    for records in (version_0(), version_1()):
        assert not records.is_shared(path, b"anything")
        assert records.ignored == [path]


@pytest.mark.parametrize(
    "path",
    [
        "/.initialized",
        "/domain-key/attended",
        f"/local/{DEVICE}/domain-key/attended",
        "/local/ANOTHERONE/config/private-key",
        "/config/unattended-boot",
    ],
)
def test_records_of_no_use_elsewhere_are_left_out_in_silence(path):
    for records in (version_0(), version_1()):
        assert not records.is_shared(path, b"anything")
        assert records.ignored == []


def test_no_more_than_a_few_paths_are_named_and_none_at_length():
    records = version_1()
    for number in range(100):
        assert not records.is_shared(f"/unknown/{number}" + "x" * 1000, b"")
    assert len(records.ignored) == 20
    assert max(map(len, records.ignored)) == 200


def test_a_newer_layout_of_paths_is_refused():
    for layout in (b"0", b"1"):
        assert not version_1().is_shared("/config/version", layout)
    with pytest.raises(InvalidInput, match="newer layout"):
        version_1().is_shared("/config/version", b"2")


def test_settings_of_the_device_are_opened_with_the_key_in_the_file():
    records = version_1()
    assert not records.is_shared(*sealed("time-offset", b"-5"))
    assert records.setting(settings.TIME_OFFSET) == -5
    assert records.setting(settings.NETWORK) is None


def test_settings_that_do_not_open_or_are_too_long_are_left_out():
    records = version_1()
    assert not records.is_shared(*sealed("time-offset", b"-5", path="/elsewhere"))
    assert not records.is_shared(*sealed("private-key", bytes(MAX_LOCAL_BYTES)))
    assert records.setting(settings.TIME_OFFSET) is None
    assert records.setting(settings.TLS_KEY) is None


def test_a_setting_that_makes_no_sense_is_left_out_and_named():
    records = version_1()
    records.is_shared(*sealed("time-offset", b"soon"))
    assert records.setting(settings.TIME_OFFSET) is None
    assert records.ignored == [ROOT + "time-offset"]


def test_the_backup_key_is_shared_in_version_1_and_in_clear_in_version_0():
    path = "/config/backup-key"
    assert version_1().is_shared(path, bytes(60))
    records = version_0()
    assert not records.is_shared(path, b"k" * 32)
    assert records.setting(settings.BACKUP_KEY).reveal() == b"k" * 32


NETWORKS = [
    NetworkSettings("192.0.2.1", "255.255.255.0"),
    NetworkSettings("192.0.2.1", "255.255.255.128", "192.0.2.127"),
    NetworkSettings("192.0.2.1", "255.255.255.0", vlan=42),
]


@pytest.mark.parametrize("network", NETWORKS)
def test_network_settings_are_written_as_netHSM_does(network):  # noqa: N802 - its name
    stored = device_records.encode_network(network)
    assert stored.startswith(b'{"ipv4":{"cidr":"192.0.2.1/2')
    assert device_records.decode_network(stored) == network


def test_network_settings_of_a_real_device_are_read():
    stored = b'{"ipv4":{"cidr":"192.168.1.1/24","gateway":null},"ipv6":null}'
    assert device_records.decode_network(stored) == NetworkSettings("192.168.1.1", "255.255.255.0")


def test_logging_settings_without_an_address_log_nowhere():
    for stored in (
        b'{"port":514,"logLevel":"info"}',
        b'{"ipAddress":null,"port":514,"logLevel":"info"}',
    ):
        assert device_records.decode_logging(stored) == LoggingSettings("0.0.0.0", 514, "info")  # noqa: S104 - not a bind


@pytest.mark.parametrize("noise", [b"", b"short", bytes(6), bytes(20), bytes(12)])
def test_raw_settings_that_make_no_sense_are_refused(noise):
    for decode in (device_records.decode_raw_network, device_records.decode_raw_logging):
        if decode is device_records.decode_raw_network and noise == bytes(12):
            continue  # Zeros are addresses, and a netmask.
        with pytest.raises(ValueError):  # noqa: PT011 - that it is one is the promise
            decode(noise)


def test_a_backup_has_all_shared_records_and_no_key_without_its_namespace():
    async def scenario():
        store = MemoryStore()
        stores = await new_domain(store)
        await stores.namespaces.create(NamespaceId("ns"))
        for name, namespace in (("mine", None), ("theirs", "ns")):
            await stores.keys.put(key_path(name, namespace), key_record(), expected=None)
        await store.commit(
            [
                Change("/key/.gone/left", b"behind"),
                Change("/config/version", b"1"),
                Change("/local/device/config/x", b"own"),
            ]
        )
        return [record.path async for record in shared_records(store)]

    assert asyncio.run(scenario()) == [
        "/namespace/.version",
        "/namespace/ns",
        "/config/version",
        "/authentication/.version",
        "/key/.ns/theirs",
        "/key/.version",
        "/key/mine",
    ]
