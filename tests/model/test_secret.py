"""A secret can be overwritten where it is."""

import os
import weakref

import pytest

from keystead.model.secret import Secret


@pytest.mark.parametrize("size", [2, 16, 32, 1000])
def test_wiping_overwrites_the_bytes_wherever_they_were_given_to(size):
    secret = Secret(os.urandom(size))
    revealed, copied = secret.reveal(), secret.copy()
    before = bytes(bytearray(revealed))
    secret.wipe()
    assert revealed == secret.reveal() == bytes(size)
    assert copied.reveal() == before


@pytest.mark.parametrize("value", [b"", b"x"])
def test_what_all_of_the_interpreter_shares_is_left_alone(value):
    Secret(value).wipe()
    assert Secret(value).reveal() == bytes(bytearray(value)) == value


def test_what_is_made_of_a_secret_is_made_once_and_dropped_when_it_is_wiped():
    secret, dropped = Secret(b"secret"), []

    class Made:
        def __init__(self, content):
            self.content = content
            weakref.finalize(self, dropped.append, content)

    assert secret.kept(Made) is secret.kept(Made)
    assert secret.copy().kept(Made) is not secret.kept(Made)
    dropped.clear()
    secret.wipe()
    assert dropped == [b"secret"]
