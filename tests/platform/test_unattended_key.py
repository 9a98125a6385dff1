"""The file of the unattended key, and both halves of the way to it."""

import stat
from pathlib import Path

import pytest

from keystead.errors import StartRefused, StoreUnavailable, WriteRefused
from keystead.platform.data_directory import DataDirectory
from keystead.platform.unattended_key import (
    RemoteUnattendedKey,
    UnattendedKeyFile,
    UnattendedKeyService,
)
from keystead.wire.connection import ConnectionEnded
from keystead.wire.platform_messages import KeepUnattendedKey, UnattendedKeyKept

KEY = b"k" * 32


def test_a_key_is_kept_for_its_owner_only_and_replaced_by_nothing(tmp_path: Path):
    file = UnattendedKeyFile(tmp_path)
    assert file.read() is None
    file.keep(KEY)
    assert file.read() == KEY
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.keep(b"")
    assert file.read() == b""
    assert list(tmp_path.iterdir()) == [file.path]


def test_a_key_that_is_replaced_is_overwritten_where_it_was(tmp_path: Path):
    file = UnattendedKeyFile(tmp_path)
    file.keep(KEY)
    with file.path.open("rb") as still_open:
        file.keep(b"")
        assert still_open.read() == bytes(32)


@pytest.mark.parametrize("length", [1, 31, 33])
def test_a_file_of_another_length_holds_no_key(tmp_path: Path, length: int):
    file = UnattendedKeyFile(tmp_path)
    file.path.write_bytes(bytes(length))
    assert file.read() == b""


def test_a_link_is_not_followed(tmp_path: Path):
    (tmp_path / "elsewhere").write_bytes(KEY)
    file = UnattendedKeyFile(tmp_path)
    file.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartRefused, match="The unattended key"):
        UnattendedKeyService(file)


def test_a_factory_reset_destroys_it(tmp_path: Path):
    directory = DataDirectory.open(tmp_path / "data")
    directory.unattended_key.keep(KEY)
    (directory.path / "unattended.key.new").write_bytes(KEY)
    directory.reset()
    assert [entry.name for entry in directory.path.iterdir()] == ["keystead.lock"]
    directory.close()


class Exchanges:
    """A connection to the service; None: it has ended."""

    def __init__(self, service: UnattendedKeyService | None) -> None:
        self.service = service

    def next_id(self) -> int:
        return 7

    async def ask(self, message: KeepUnattendedKey) -> UnattendedKeyKept:
        if self.service is None:
            raise ConnectionEnded("the other end is gone")
        return await self.service.answer(message)


async def test_the_core_has_it_written_and_knows_what_is_there(tmp_path: Path):
    file = UnattendedKeyFile(tmp_path)
    service = UnattendedKeyService(file)
    assert service.take() is None
    remote = RemoteUnattendedKey(Exchanges(service))
    await remote.keep(KEY)
    assert file.read() == remote.content == KEY
    service.close()


async def test_what_the_disk_refuses_is_told_and_changes_nothing(tmp_path: Path):
    service = UnattendedKeyService(UnattendedKeyFile(tmp_path / "gone"))
    remote = RemoteUnattendedKey(Exchanges(service))
    with pytest.raises(WriteRefused, match="No such file"):
        await remote.keep(KEY)
    assert remote.content is None
    service.close()


async def test_a_platform_that_is_gone_is_a_store_that_is_out_of_reach():
    with pytest.raises(StoreUnavailable):
        await RemoteUnattendedKey(Exchanges(None)).keep(KEY)
