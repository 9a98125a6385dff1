"""The options of a process, which the supervisor writes and the process reads."""

import os
import socket
from pathlib import Path

import msgspec
import pytest

from keystead.processes import launch


class _Wanted(launch.Options, frozen=True, kw_only=True):
    data: Path
    listen: tuple[socket.socket, ...] = ()
    proxy: tuple[str, ...] = ()
    user_number: int | None = None


def read(*options):
    number = socket.socket().detach()
    given = launch.read_options(
        _Wanted, ["--parent=7", f"--control={number}", "--data=/a=b", *options]
    )
    with given.control:
        assert given.control.fileno() == number
    return given


def test_what_is_given_is_read_as_its_type():
    given = read("--user-number=12")
    assert (given.parent, given.data, given.user_number) == (7, Path("/a=b"), 12)
    assert given.is_filtered


def test_what_is_not_given_has_its_default():
    given = read()
    assert (given.listen, given.proxy, given.user_number) == ((), (), None)


def test_a_process_without_a_sandbox_is_told_by_the_operators_option():
    assert not read("--insecure-no-sandbox").is_filtered


@pytest.mark.parametrize("networks", [("10.0.0.0/8",), ("10.0.0.0/8", "fd00::/8")])
def test_an_option_that_may_be_repeated_has_all_its_values(networks):
    assert read(*(f"--proxy={network}" for network in networks)).proxy == networks


def test_a_socket_is_neither_waited_for_nor_handed_on():
    number = socket.socket().detach()
    os.set_inheritable(number, True)
    (inherited,) = read(f"--listen={number}").listen
    with inherited:
        assert inherited.fileno() == number
        assert not inherited.getblocking()
        assert not inherited.get_inheritable()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("--user-number=many", "user-number"),
        ("--user-number=", "user-number"),
        ("--unknown=1", "unknown field `unknown`"),
        ("--parent=8", "Expected `int`, got `array`"),
        ("--control=none", "control"),
        ("--data=/", "missing required field `control`"),
    ],
)
def test_an_option_that_is_wrong_unknown_twice_there_or_missing_is_refused(wrong, why):
    with pytest.raises(msgspec.ValidationError, match=why):
        launch.read_options(_Wanted, ["--parent=7", wrong])
