"""The agent's answers to messages that OpenSSH does not send."""

import pytest

from keystead.client.ssh_agent import Agent

FAILURE = b"\x05"


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"\x0d",
        b"\x0d\xff\xff\xff\xff",
        b"\x0d\x00\x00\x00\x09short",
        b"\x0d\x00\x00\x00\x03key\x00\x00\x00\x04data\x00\x00\x00\x00",
        b"\x11\x00\x00\x00\x03add",
        b"\x13",
        b"\x1b",
    ],
)
def test_what_is_cut_off_unknown_or_changes_keys_fails(request_):
    assert Agent([]).answer(request_) == FAILURE


def test_an_agent_without_keys_lists_none():
    assert Agent([]).answer(b"\x0b") == b"\x0c\x00\x00\x00\x00"
