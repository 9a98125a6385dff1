"""What the core knows of the machine's TPM."""

from pathlib import Path

from keystead.platform.measurements import measurements


def test_the_registers_that_only_a_restart_sets_back_are_read(tmp_path: Path) -> None:
    for number in range(24):
        (tmp_path / str(number)).write_text(f"{number:064X}\n")

    found = measurements(tmp_path)

    assert found == {str(number): f"{number:064x}" for number in range(16)}


def test_a_machine_without_a_tpm_has_no_registers(tmp_path: Path) -> None:
    assert measurements(tmp_path / "tpm0") == {}
