"""IDs, labels, secrets: valid once they exist, and silent about themselves."""

import copy

import pytest

from keystead.errors import InvalidInput
from keystead.model.device_settings import LoggingSettings
from keystead.model.ids import UserId, parse_key_id, parse_label, parse_tag
from keystead.model.secret import Secret


@pytest.mark.parametrize("text", ["a", "0", "a.b-c_d", "Z" * 128])
def test_an_id_of_the_alphabet_is_taken_as_it_is(text: str) -> None:
    assert parse_key_id(text) == text


@pytest.mark.parametrize(
    "text", ["", ".a", "-a", "_a", "a/b", "a b", "a\n", "é", "a~b", "Z" * 129, "\udcff"]
)
def test_anything_else_is_no_id(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_key_id(text)
    with pytest.raises(InvalidInput):
        parse_tag(text)


@pytest.mark.parametrize("text", ["admin", "ns~admin", "n.s~a-b", f"{'n' * 128}~{'u' * 128}"])
def test_a_user_id_reads_back_as_it_was_written(text: str) -> None:
    assert str(UserId.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "~", "~a", "ns~", "a~b~c", "ns~" + "a" * 129, "n" * 129 + "~a", "a" * 129, " a"]
)
def test_anything_else_is_no_user_id(text: str) -> None:
    with pytest.raises(InvalidInput):
        UserId.parse(text)


def test_a_label_is_measured_in_bytes() -> None:
    assert parse_label("✓" * 10) == "✓" * 10
    with pytest.raises(InvalidInput, match="32"):
        parse_label("✓" * 11)
    with pytest.raises(InvalidInput, match="UTF-8"):
        parse_label("\udcff")


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret(b"hunter2hunter2")
    assert "hunter2" not in f"{secret!r} {secret} {[secret]}"
    for leak in (copy.copy, copy.deepcopy, hash, lambda one: one == secret):
        with pytest.raises(TypeError):
            leak(secret)


@pytest.mark.parametrize(
    ("address", "is_off"),
    [("0.0.0.0", True), ("::", True), ("0:0::0", True), ("192.0.2.9", False), ("::1", False)],  # noqa: S104 - not a bind
)
def test_syslog_to_no_address_is_off(address, is_off):
    assert LoggingSettings(address, 514, "info").is_off is is_off
