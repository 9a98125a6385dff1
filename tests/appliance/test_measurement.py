"""What a TPM measures of an image, as the builder predicts it."""

from pathlib import Path

import pytest

from keystead.appliance.measurement import measures_sbat, predicted

PARTS = (".initrd", ".cmdline", ".osrel", ".linux")
BY_SYSTEMD = "fa1d533870af61536874738fab65b38f4f35a65e6347c19b576aa03e4b3380bf"
"""What `systemd-measure calculate` (252.39) prints for the parts below, before any phase."""

WITH_SBAT = "a46bd33c3aa05907f8ad75c2a9c00f7fbd6d07526bd44a40ba51efb5d12b58bd"
"""What that of 257.13 prints, with `.sbat`."""


def written(folder: Path) -> dict[str, Path]:
    for name in PARTS:
        (folder / name).write_text(f"this is {name[1:]}\n")
    return {name: folder / name for name in PARTS}


def test_the_register_is_predicted_as_systemd_predicts_it(tmp_path: Path) -> None:
    assert predicted(written(tmp_path)) == BY_SYSTEMD


def test_what_a_newer_stub_measures_of_itself_is_predicted_too(tmp_path: Path) -> None:
    parts = written(tmp_path)
    parts[".sbat"] = tmp_path / ".sbat"
    parts[".sbat"].write_text("this is sbat\n")

    assert predicted(parts) == WITH_SBAT


@pytest.mark.parametrize(("version", "measures"), [("252.39-1", False), ("257.13-1", True)])
def test_the_version_of_the_stub_says_what_it_measures(version: str, *, measures: bool) -> None:
    stub = b"MZ..." + f"systemd-stub {version}\0".encode("utf-16-le") + b"..."

    assert measures_sbat(stub) is measures


def test_a_change_of_any_part_changes_the_register(tmp_path: Path) -> None:
    parts = written(tmp_path)
    values = {predicted(parts)}

    for name in PARTS:
        before = parts[name].read_text()
        parts[name].write_text(before + " ")
        values.add(predicted(parts))
        parts[name].write_text(before)

    assert len(values) == 1 + len(PARTS)
