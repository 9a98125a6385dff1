"""What a firmware and process 1 find on the disk."""

import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from keystead.appliance import content, disk, initramfs, tools, uki
from keystead.appliance.build import STUB
from keystead.appliance.debian import STUB_PACKAGE
from keystead.appliance.secure_boot import SigningKeys
from keystead.errors import InvalidInput
from keystead.model.boot_slots import SLOT_BYTES, BootSlot
from tests.appliance.conftest import fetched

needs_tools = pytest.mark.skipif(
    not all(map(shutil.which, ("mcopy", "mkfs.vfat", "mkfs.ext4", "sfdisk", "qemu-img"))),
    reason="no mtools, dosfstools, e2fsprogs, fdisk or qemu-utils",
)
needs_signer = pytest.mark.skipif(
    not all(map(shutil.which, ("objcopy", "sbsign"))), reason="no binutils or sbsigntool"
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Stands in for an image, as a disk does not look into it."""
    path = tmp_path / "keystead.efi"
    path.write_bytes(b"an image" * 100_000)
    return path


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """The stub of Debian's package."""
    (package,) = fetched([STUB_PACKAGE], tmp_path)
    path = tmp_path / "stub"
    path.write_bytes(package.files[STUB])
    return path


@needs_tools
def test_the_firmware_finds_the_image_where_it_looks_for_one(image: Path, tmp_path: Path) -> None:
    raw, found = tmp_path / "disk.raw", tmp_path / "found"
    disk.write_disk(image, raw)

    tools.run("mcopy", "-i", f"{raw}@@1M", "::/EFI/BOOT/BOOTX64.EFI", found)

    assert found.read_bytes() == image.read_bytes()


@needs_tools
def test_process_1_finds_the_data_partition_by_its_name(image: Path, tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    disk.write_disk(image, raw)

    table = tools.run("sfdisk", "--dump", raw).decode()

    assert table.count('name="keystead-data"') == 1
    assert table.count("type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B") == 2


@needs_tools
def test_process_1_finds_both_slots_by_name_and_the_firmware_by_identifier(
    image: Path, tmp_path: Path
) -> None:
    raw = tmp_path / "disk.raw"
    disk.write_disk(image, raw)

    table = tools.run("sfdisk", "--dump", raw).decode()

    for slot in BootSlot:
        (line,) = [line for line in table.splitlines() if f'"{slot.partition_name}"' in line]
        assert f"uuid={slot.partition_id}".lower() in line.lower()
        assert f"size= {SLOT_BYTES // 512}" in " ".join(line.split())


@needs_tools
def test_what_an_update_puts_into_a_slot_is_what_a_new_disk_has_there(
    image: Path, tmp_path: Path
) -> None:
    raw, partition = tmp_path / "disk.raw", tmp_path / "slot"
    disk.write_disk(image, raw)
    disk.write_boot_partition(image, partition)

    content = partition.read_bytes()

    with raw.open("rb") as file:
        file.seek(1024 * 1024)
        assert file.read(len(content)) == content


def test_an_image_that_no_slot_can_hold_is_not_built(tmp_path: Path) -> None:
    with (tmp_path / "image").open("wb") as large:
        large.truncate(SLOT_BYTES)

    with pytest.raises(InvalidInput, match="does not fit into a boot slot"):
        disk.write_boot_partition(tmp_path / "image", tmp_path / "slot")


@needs_tools
def test_two_disks_with_the_same_image_are_identical(image: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.raw", tmp_path / "other.raw"
    disk.write_disk(image, one)
    disk.write_disk(image, other)

    tools.run("cmp", one, other)


@needs_tools
def test_another_format_has_the_same_content(image: Path, tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    disk.write_disk(image, raw)

    tools.run("qemu-img", "compare", raw, disk.convert(raw, "qcow2"))


def header_time(image: Path) -> bytes:
    """Return the time in the COFF header of a PE file."""
    content = image.read_bytes()
    header = int.from_bytes(content[0x3C:0x40], "little")
    assert content[header : header + 4] == b"PE\0\0"
    return content[header + 8 : header + 12]


@needs_signer
def test_the_time_of_the_build_is_not_in_the_image(stub: Path, tmp_path: Path) -> None:
    part, out = tmp_path / "part", tmp_path / "out.efi"
    part.write_bytes(b"a part")
    uki.join(stub, {".osrel": part}, out)

    assert header_time(out) == header_time(stub)


@needs_signer
def test_no_part_of_the_image_lies_on_another(stub: Path, tmp_path: Path) -> None:
    part, out = tmp_path / "part", tmp_path / "out.efi"
    part.write_bytes(b"a part" * 1000)
    uki.join(stub, {".osrel": part, ".cmdline": part}, out)

    lines = tools.run("objdump", "--section-headers", out).decode().splitlines()
    fields = [line.split() for line in lines if line.lstrip()[:1].isdigit()]
    places = sorted((int(address, 16), int(size, 16)) for _, _, size, address, *_ in fields)
    for (address, size), (following, _) in pairwise(places):
        assert address + size <= following
    assert len(places) > 2
    assert uki.section(out, ".osrel") == part.read_bytes()
    assert uki.section(out, ".none") == b""


@needs_signer
def test_a_signature_covers_every_part_of_the_image(stub: Path, keys: Path, tmp_path: Path) -> None:
    paths, out = {}, tmp_path / "out.efi"
    for section in (".osrel", ".cmdline", ".linux", ".initrd"):
        paths[section] = tmp_path / section
        paths[section].write_bytes(f"this is {section}".encode() * 100)
    uki.join(stub, paths, out)
    signing = SigningKeys.in_folder(keys)
    uki.sign(out, key=signing.key, certificate=signing.certificate)

    tools.run("sbverify", "--cert", signing.certificate, out)
    for section in paths:
        changed = tmp_path / "changed.efi"
        changed.write_bytes(out.read_bytes().replace(f"this is {section}".encode(), b"THIS"))
        with pytest.raises(InvalidInput, match="sbverify failed"):
            tools.run("sbverify", "--cert", signing.certificate, changed)


@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd")
def test_the_packed_root_file_system_unpacks_to_its_archive(tmp_path: Path) -> None:
    entries = content.with_directories([content.file("a/b", b"12345" * 1000, "pkg:x")])
    initramfs.pack(entries, tmp_path / "packed")

    plain = tools.run("zstd", "--decompress", "--stdout", tmp_path / "packed")

    assert b"12345" * 1000 in plain


def test_a_tool_that_is_missing_is_named() -> None:
    with pytest.raises(InvalidInput, match="no-such-tool is needed"):
        tools.run("no-such-tool")


def test_a_tool_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        tools.run("cat", tmp_path / "nothing")
