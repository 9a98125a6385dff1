"""Which passphrases do: the length that NetHSM asks for, and none of the commonest."""

from collections.abc import Callable

import pytest

from keystead.errors import InvalidInput
from keystead.model.passphrases import parse_new_passphrase, parse_passphrase
from keystead.model.secret import Secret

OF_NETHSM = [
    "adminadmin",
    "unlockunlock",
    "unlockiunlocki",
    "adminiadmini",
    "admiadmiadmi",
    "madmadadmin",
    "adminadminadmin",
    "operatoroperator",
    "backupbackup",
    "metricsmetrics",
    "Administrator",
    "AdminPassphrase",
    "UnlockPassphrase",
    "opPassphrase",
    "backupPassphrase",
    "metricsPassphrase",
    "test Passphrase",
    "passphrase",
    "unlock passphrase",
    "Not a secret passphrase",
    "My cool passphrase",
    "Some cool new passphrase",
    "This is my new unlock passphrase",
    "0123456789",
]
"""What documentation, scripts and test suites of NetHSM and its clients use."""


@pytest.mark.parametrize("parse", [parse_passphrase, parse_new_passphrase])
def test_a_passphrase_is_measured_in_bytes(parse: Callable[..., Secret]) -> None:
    assert parse("é" * 5).reveal() == ("é" * 5).encode()
    assert parse("x" * 200).reveal() == b"x" * 200
    for refused in ("short", "x" * 9, "x" * 201, "é" * 101, "\udcff" * 20):
        with pytest.raises(InvalidInput, match="adminPassphrase"):
            parse(refused, name="adminPassphrase")


@pytest.mark.parametrize(
    "common",
    [
        "1234567890",
        "qwertyuiop",
        "password123",
        "1q2w3e4r5t",
        "QwertyUiop",
        "mickeymouse",
        "Mickeymouse2024!",
        "strawberry1",
    ],
)
def test_one_of_the_commonest_is_refused_when_it_is_chosen_but_not_when_it_is_entered(
    common: str,
) -> None:
    with pytest.raises(InvalidInput, match=r"^newPassphrase is one of the commonest passwords"):
        parse_new_passphrase(common, name="newPassphrase")
    assert parse_passphrase(common).reveal() == common.encode()


@pytest.mark.parametrize("known", OF_NETHSM)
def test_what_clients_of_a_nethsm_are_tested_with_goes_on_working(known: str) -> None:
    assert parse_new_passphrase(known).reveal() == known.encode()
