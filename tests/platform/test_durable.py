"""Removing directories: all that is in them, and nothing that they only lead to."""

import os
from pathlib import Path

import pytest

from keystead.platform import durable


def _files(directory: Path) -> None:
    deep = directory / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x")
    (directory / "file").write_bytes(b"x")
    (directory / "empty").mkdir()


def test_a_directory_is_removed_with_all_that_is_in_it(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    _files(gone)
    durable.remove_tree(gone)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_does_not_exist_needs_no_removal(tmp_path: Path) -> None:
    durable.remove_tree(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    kept, gone = tmp_path / "kept", tmp_path / "gone"
    _files(kept)
    gone.mkdir()
    (gone / "to a directory").symlink_to(kept)
    (gone / "to a file").symlink_to(kept / "file")
    (gone / "to nothing").symlink_to(tmp_path / "none")
    durable.remove_tree(gone)
    assert not gone.exists()
    assert (kept / "a" / "b" / "file").read_bytes() == b"x"
    assert (kept / "file").exists()


def test_a_link_is_not_taken_for_the_directory_that_it_leads_to(tmp_path: Path) -> None:
    kept, link = tmp_path / "kept", tmp_path / "link"
    _files(kept)
    link.symlink_to(kept)
    with pytest.raises(OSError, match="Not a directory"):
        durable.remove_tree(link)
    assert (kept / "a" / "b" / "file").exists()


def test_a_directory_of_an_open_one_is_removed(tmp_path: Path) -> None:
    _files(tmp_path / "gone")
    (tmp_path / "kept").mkdir()
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        durable.remove_all("gone", dir_fd=descriptor)
    finally:
        os.close(descriptor)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_part_that_cannot_be_removed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    _files(gone)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("the file system is read-only")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError):
        durable.remove_tree(gone)
    assert (gone / "file").exists()
