"""What a TPM measures of an image, as the builder predicts it."""

from pathlib import Path

from keystead.appliance.measurement import predicted

PARTS = (".initrd", ".cmdline", ".osrel", ".linux")
BY_SYSTEMD = "fa1d533870af61536874738fab65b38f4f35a65e6347c19b576aa03e4b3380bf"
"""What `systemd-measure calculate` (252.39) prints for the parts below, before any phase."""


def written(folder: Path) -> dict[str, Path]:
    for name in PARTS:
        (folder / name).write_text(f"this is {name[1:]}\n")
    return {name: folder / name for name in PARTS}


def test_the_register_is_predicted_as_systemd_predicts_it(tmp_path: Path) -> None:
    assert predicted(written(tmp_path)) == BY_SYSTEMD


def test_a_change_of_any_part_changes_the_register(tmp_path: Path) -> None:
    parts = written(tmp_path)
    values = {predicted(parts)}

    for name in PARTS:
        before = parts[name].read_text()
        parts[name].write_text(before + " ")
        values.add(predicted(parts))
        parts[name].write_text(before)

    assert len(values) == 1 + len(PARTS)
