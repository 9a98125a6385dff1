"""The keys of a builder's own, and what is made with them."""

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keystead.__main__ import main
from keystead.appliance import uki
from keystead.appliance.secure_boot import SigningKeys, make_keys
from keystead.errors import InvalidInput
from keystead.sealing.update_image import IncomingImage, SigningKey, UpdateKey, make_header
from tests.appliance.conftest import NOW


@pytest.mark.parametrize("name", ["PK", "KEK", "db"])
def test_each_certificate_belongs_to_its_key(keys: Path, name: str) -> None:
    certificate = x509.load_pem_x509_certificate((keys / f"{name}.pem").read_bytes())
    key = load_pem_private_key((keys / f"{name}.key").read_bytes(), None)

    assert certificate.public_key() == key.public_key()
    assert certificate == x509.load_der_x509_certificate((keys / f"{name}.der").read_bytes())
    assert certificate.not_valid_before_utc == NOW


def test_the_update_key_signs_images_that_its_public_key_verifies(keys: Path) -> None:
    signing = SigningKey((keys / "update.key").read_bytes())
    header = make_header(
        version="1.2.3", security_version=1, release_notes="", size=1, chunks=[bytes(32)]
    )

    image = IncomingImage(UpdateKey((keys / "update.pem").read_bytes()))
    list(image.feed(signing.envelope(header)))

    assert image.header == header


def test_nobody_else_can_read_the_keys(keys: Path) -> None:
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {0o600}


def test_keys_never_replace_others(keys: Path) -> None:
    with pytest.raises(InvalidInput, match="exists"):
        make_keys(keys, now=NOW)


def test_the_command_makes_keys_that_the_builder_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "keys", str(tmp_path / "keys")]) == 0

    assert "secret" in capsys.readouterr().out
    assert SigningKeys.in_folder(tmp_path / "keys").key.is_file()


def test_a_folder_without_keys_builds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "build", "--keys", str(tmp_path), str(tmp_path / "out")]) == 1

    assert "keystead image keys" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_not_built_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "build", str(tmp_path)]) == 1

    assert "exists" in capsys.readouterr().err


def test_the_command_line_starts_process_1_and_locks_the_kernel() -> None:
    line = uki.command_line("usr/bin/python3.11")

    assert line.endswith(" rdinit=/usr/bin/python3.11 -- -I -m keystead.processes.machine")
    assert "lockdown=integrity module.sig_enforce=1" in line


def test_a_busy_host_that_delays_the_timer_is_no_reason_to_panic() -> None:
    assert "no_timer_check" in uki.command_line("usr/bin/python3.11").split()
