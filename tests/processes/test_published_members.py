"""What a captured member can publish of itself, as `keystead cluster force-new` reads it."""

import asyncio

import pytest

from keystead.clusters import _listed
from keystead.processes.supervisor.lone_member import PublishedMember, reached


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:99999999", "https://[:2380", "no URL", "unix://peer.sock", ""]
)
def test_a_member_without_a_url_that_could_be_reached_is_not_reached(url: str) -> None:
    assert asyncio.run(reached([PublishedMember(1, "other", [url])])) == []


def test_the_name_of_a_member_commands_no_terminal() -> None:
    assert "\x1b" not in _listed([PublishedMember(1, "\x1b]0;other\x07", ["https://\x1b[2J:1"])])


def test_a_member_is_one_line_whatever_it_calls_itself() -> None:
    name, url = "m1\n    3 m3 https://192.0.2.3:2380", "https://192.0.2.2:2380\n\t"
    assert _listed([PublishedMember(2, name, [url]), PublishedMember(4, "m4")]).count("\n") == 1
