"""What a member knows to be committed, read from its log, also from one that a crash has cut."""

import pytest

from keystead.etcd.write_ahead_log import committed_index

ENTRY = bytes([8, 2, 16, 1, 26, 3]) + b"abc"
"""A record of another type, with 3 bytes of data."""


def state(commit: int) -> bytes:
    data = bytes([8, 1, 16, 1, 24, commit])
    return bytes([8, 3, 16, 1, 26, len(data)]) + data


def framed(record: bytes) -> bytes:
    padding = -len(record) % 8
    head = len(record) | ((0x80 | padding) << 56 if padding else 0)
    return head.to_bytes(8, "little") + record + bytes(padding)


def written(place, *files: bytes):
    directory = place / "member" / "wal"
    directory.mkdir(parents=True)
    for number, content in enumerate(files):
        (directory / f"{number:016x}-{number * 100:016x}.wal").write_bytes(content)
    (directory / "0.tmp").write_bytes(framed(state(99)))
    return place


def test_the_last_state_counts(tmp_path):
    log = framed(state(3)) + framed(ENTRY) + framed(state(7)) + framed(ENTRY)
    assert committed_index(written(tmp_path, framed(state(1)), log + bytes(4096))) == 7


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 15])
def test_a_record_that_was_cut_off_does_not_count(tmp_path, cut):
    assert committed_index(written(tmp_path, framed(state(3)) + framed(state(7))[:cut])) == 3


def test_a_damaged_record_ends_the_log(tmp_path):
    damaged = framed(b"\xff" * 16)
    log = framed(state(3)) + damaged + framed(state(7))
    assert committed_index(written(tmp_path, log)) == 3


def test_a_file_without_a_state_leaves_it_to_the_one_before(tmp_path):
    assert committed_index(written(tmp_path, framed(state(5)), framed(ENTRY), b"")) == 5


def test_a_log_without_a_state_knows_of_nothing(tmp_path):
    assert committed_index(written(tmp_path, framed(ENTRY))) == 0
    assert committed_index(tmp_path / "missing") == 0
