"""Every call of the SDK about the HSM as a whole: states, settings, what it says of itself."""

import time
from datetime import UTC, datetime, timedelta

import nethsm
import pytest
from nethsm import State, UnattendedBootStatus

from tests.support.server import PASSPHRASES, UNLOCK, Server, running_server

# The certificate is self-signed, for no address.
pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

NEW = "a new unlock passphrase"


def error(match: str):
    return pytest.raises(nethsm.NetHSMError, match=match)


def test_a_server_is_provisioned_locked_and_unlocked(server: Server) -> None:
    address = f"{server.host}:{server.port}"
    auth = nethsm.Authentication("admin", PASSPHRASES["admin"])
    with (
        nethsm.connect(address, None, verify_tls=False) as nobody,
        nethsm.connect(address, auth, verify_tls=False) as admin,
    ):
        assert nobody.get_state() is State.UNPROVISIONED
        with error("Precondition failed -- .* in the state Locked"):
            nobody.unlock(UNLOCK)
        nobody.provision(UNLOCK, PASSPHRASES["admin"])
        assert nobody.get_state() is State.OPERATIONAL
        with error("in the state Unprovisioned"):
            nobody.provision(UNLOCK, PASSPHRASES["admin"])
        now = datetime.now(UTC)
        assert abs(admin.get_config_time() - now) < timedelta(seconds=5)

        admin.lock()
        assert nobody.get_state() is State.LOCKED
        with error("in the state Operational"):
            admin.list_keys()
        with error("Access denied -- wrong unlock passphrase"):
            nobody.unlock("not the passphrase")
        with error("Too many requests"):
            nobody.unlock(UNLOCK)


def test_info_names_vendor_and_product(hsm) -> None:
    info = hsm.client().get_info()
    assert info.vendor
    assert info.product


def test_system_info_is_read(hsm) -> None:
    info = hsm.admin.get_system_info()
    assert info.software_version
    assert isinstance(info.tpm.attestation_keys, dict)
    assert isinstance(info.tpm.platform_configuration_registers, dict)


def test_a_stranger_is_told_so(hsm) -> None:
    with error("Unauthorized -- invalid username or password"):
        hsm.client("stranger").list_users()


def test_the_time_is_set_and_read(hsm) -> None:
    wanted = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    hsm.admin.set_time(wanted)
    assert timedelta() <= hsm.admin.get_config_time() - wanted < timedelta(seconds=5)
    hsm.admin.set_time("2024-01-01T00:00:00Z")
    assert hsm.admin.get_config_time().year == 2024


def test_unattended_boot_is_set_and_read(hsm) -> None:
    assert hsm.admin.get_config_unattended_boot() == "off"
    for status in (UnattendedBootStatus.ON, UnattendedBootStatus.OFF):
        hsm.admin.set_unattended_boot(status)
        assert hsm.admin.get_config_unattended_boot() == status.value


def test_logging_network_and_ntp_are_set_and_read(hsm) -> None:
    hsm.admin.set_logging_config("0.0.0.0", 1514, nethsm.LogLevel.DEBUG)  # noqa: S104 - no bind
    assert hsm.admin.get_config_logging() == nethsm.LoggingConfig(
        "0.0.0.0",  # noqa: S104 - no bind
        nethsm.LogLevel.DEBUG,
        1514,
    )
    for ipv6 in (None, nethsm.Ipv6Config("2001:db8::2/64", "2001:db8::1")):
        hsm.admin.set_network_config("192.0.2.2", "255.255.255.0", "192.0.2.1", ipv6)
        assert hsm.admin.get_config_network() == nethsm.NetworkConfig(
            "192.0.2.1", "192.0.2.2", "255.255.255.0", ipv6
        )
    hsm.admin.set_ntp_config("192.0.2.3", "time.example")
    assert hsm.admin.get_config_ntp() == nethsm.NtpConfig("192.0.2.3", "time.example")
    hsm.admin.set_ntp_config()
    assert hsm.admin.get_config_ntp() == nethsm.NtpConfig()


def test_the_unlock_passphrase_is_changed(hsm) -> None:
    hsm.admin.set_unlock_passphrase(NEW, UNLOCK)
    with error("Access denied|403"):
        hsm.admin.set_unlock_passphrase(UNLOCK, "not the passphrase")
    hsm.admin.lock()
    nobody = hsm.client()
    time.sleep(1.1)  # the address has just failed
    nobody.unlock(NEW)
    assert nobody.get_state() is State.OPERATIONAL


def test_reboots_a_factory_reset_and_a_shutdown_end_in_the_right_state(tmp_path) -> None:
    with running_server(tmp_path) as server:
        server.provision()
        address = f"{server.host}:{server.port}"
        auth = nethsm.Authentication("admin", PASSPHRASES["admin"])
        with nethsm.connect(address, auth, verify_tls=False) as admin:
            admin.reboot()
            server.wait_ready(times=2)
            assert admin.get_state() is State.LOCKED
            admin.unlock(UNLOCK)
            admin.set_unattended_boot(UnattendedBootStatus.ON)
            admin.reboot()
            server.wait_ready(times=3)
            assert admin.get_state() is State.OPERATIONAL
            admin.factory_reset()
            server.wait_ready(times=4)
            assert admin.get_state() is State.UNPROVISIONED
            admin.shutdown()
            assert server.wait() == 0
