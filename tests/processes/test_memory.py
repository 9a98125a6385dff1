"""As many passphrases are checked at once as fit into the memory, and one at least."""

import os
from pathlib import Path

import pytest

from keystead.processes.platform.settings import (
    AttestationSettings,
    DeviceKeySettings,
    PlatformSettings,
)
from keystead.processes.stderr_log import log_to_stderr
from keystead.processes.supervisor import findings, memory
from keystead.processes.supervisor.listening import Address
from keystead.processes.supervisor.supervisor import ServeOptions, passphrase_checks
from keystead.sealing.passphrase import UNLOCK_COST, VERIFIER_COST

MIB = 1024 * 1024


@pytest.mark.parametrize("cost", [UNLOCK_COST, VERIFIER_COST])
def test_the_memory_of_a_check_is_that_of_scrypt(cost):
    assert memory.CHECK_BYTES == 128 * cost.n * cost.r


@pytest.mark.parametrize(("edges", "others"), [(1, 0), (2, 16), (9, 128)])
@pytest.mark.parametrize(("mib", "checks"), [(0, 0), (171, 0), (172, 1), (188, 2), (4096, 4)])
def test_what_all_else_takes_comes_first(monkeypatch, edges, others, mib, checks):
    monkeypatch.setattr(memory, "memory_bytes", lambda: (mib + others) * MIB)
    assert memory.room(edges=edges, has_tpm=False).checks == checks
    monkeypatch.setattr(memory, "memory_bytes", lambda: (mib + others + 8) * MIB)
    assert memory.room(edges=edges, has_tpm=True).checks == checks


@pytest.mark.parametrize(
    ("settings", "has_tpm"),
    [
        (PlatformSettings(), False),
        (PlatformSettings(device_key=DeviceKeySettings(provider="tpm2")), True),
        (PlatformSettings(attestation=AttestationSettings("/dev/tpmrm0", "sha256:7", "log")), True),
        (PlatformSettings(tpm_counter="/dev/tpmrm0"), True),
    ],
)
def test_each_use_of_a_tpm_needs_its_memory(settings, has_tpm):
    assert settings.has_tpm is has_tpm


def test_a_control_group_and_those_around_it_limit_the_memory(tmp_path):
    machine = memory.memory_bytes(tmp_path, tmp_path / "missing")
    assert machine == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    ours = tmp_path / "cgroup"
    ours.write_text("4:memory:/other\n0::/system.slice/keystead.service\n")
    group = tmp_path / "system.slice/keystead.service"
    group.mkdir(parents=True)

    (group / "memory.max").write_text("max\n")
    assert memory.memory_bytes(tmp_path, ours) == machine
    (group / "memory.high").write_text(f"{300 * MIB}\n")
    assert memory.memory_bytes(tmp_path, ours) == 300 * MIB
    (group.parent / "memory.max").write_text(f"{200 * MIB}\n")
    assert memory.memory_bytes(tmp_path, ours) == 200 * MIB
    (tmp_path / "memory.max").write_text(f"{100 * MIB}\n")
    assert memory.memory_bytes(tmp_path, ours) == 100 * MIB


@pytest.mark.parametrize(("mib", "checks"), [(100, 1), (172, 1), (188, 2), (4096, 4)])
def test_one_passphrase_is_checked_also_where_none_fits_and_the_log_says_so(
    monkeypatch, capsys, mib, checks
):
    monkeypatch.setattr(memory, "memory_bytes", lambda: mib * MIB)
    options = ServeOptions(Path("data"), Address("localhost", 0), 1, PlatformSettings())
    assert passphrase_checks(options, log_to_stderr("supervisor")) == checks
    assert ('"has_mib": 100, "needs_mib": 172' in capsys.readouterr().err) is (mib == 100)


@pytest.mark.parametrize(("mib", "is_warning"), [(171, True), (172, False)])
def test_too_little_memory_for_one_passphrase_is_a_warning(monkeypatch, mib, is_warning):
    monkeypatch.setattr(memory, "memory_bytes", lambda: mib * MIB)
    found = findings.about_memory(edges=1, has_tpm=False)
    assert found.is_warning is is_warning
    assert f"{mib} MiB" in found.text
