"""Shares of the unlock passphrase as people write and type them."""

import msgspec
import pytest

from keystead.errors import NotPermitted
from keystead.sealing.unlock_shares import (
    MAX_SHARES,
    ShareSet,
    UnlockShare,
    WantedShares,
    combine,
    make_shares,
)

MADE = make_shares(WantedShares(3, MAX_SHARES))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def test_a_share_names_its_set_and_number_and_is_typed_in_groups():
    name = MADE.share_set.set_name
    for number, text in enumerate(MADE.texts, 1):
        assert text.startswith(f"{name}-{number:02}-")
        assert {len(group) for group in text.split("-")} == {2, 4}
        assert len(text) <= 50


def test_any_three_give_the_passphrase_and_two_do_not():
    shares = [UnlockShare.parse(text) for text in MADE.texts]
    expected = MADE.passphrase.reveal()
    assert combine(shares[:3]).reveal() == combine(shares[-3:]).reveal() == expected
    assert combine(shares[:2]).reveal() != expected
    assert 10 <= len(expected) <= 200


def test_case_spaces_and_digits_that_look_like_letters_do_not_matter():
    text = MADE.texts[0]
    meant = UnlockShare.parse(text).value.reveal()
    head, tail = text[:7], text[7:]
    alike = tail.replace("O", "0").replace("I", "1").replace("B", "8")
    for typed in (text.lower(), text.replace("-", ""), text.replace("-", " "), f" {text}\n"):
        assert UnlockShare.parse(typed).value.reveal() == meant
    assert UnlockShare.parse(head + alike).value.reveal() == meant


def test_every_typo_in_one_place_and_every_swap_of_neighbours_is_noticed():
    text = MADE.texts[4]
    typos = {
        text[:place] + other + text[place + 1 :] for place in range(len(text)) for other in "AZ27"
    }
    swaps = {
        text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        for place in range(len(text) - 1)
    }
    same = UnlockShare.parse(text).value.reveal()
    for typed in (typos | swaps) - {text}:
        if typed.replace("-", "") == text.replace("-", ""):
            continue
        with pytest.raises(NotPermitted, match="mistyped"):
            assert UnlockShare.parse(typed).value.reveal() != same


@pytest.mark.parametrize("text", ["", "-", "K7QD", "x" * 100_000, "K7QD-17-" + "A" * 32, "ßßßß"])
def test_what_is_no_share_is_mistyped(text):
    with pytest.raises(NotPermitted, match="mistyped"):
        UnlockShare.parse(text)


def test_a_share_of_another_set_is_none_of_this_one():
    other = make_shares(WantedShares(2, 2))
    for share in map(UnlockShare.parse, MADE.texts):
        MADE.share_set.require_member(share)
        with pytest.raises(NotPermitted, match="present set"):
            other.share_set.require_member(share)
    known = UnlockShare.parse(MADE.texts[0])
    forged = UnlockShare(known.set_name, 2, known.value)
    assert UnlockShare.parse(forged.text()).number == 2, "anyone can make a checksum"
    with pytest.raises(NotPermitted, match="present set"):
        MADE.share_set.require_member(forged)


def test_neither_shares_nor_what_is_kept_of_them_show_a_value():
    share = UnlockShare.parse(MADE.texts[0])
    assert share.value.reveal().hex() not in repr((share, MADE))
    assert MADE.texts[0] not in repr(MADE)
    stored = msgspec.json.encode(MADE.share_set)
    assert msgspec.json.decode(stored, type=ShareSet) == MADE.share_set


@pytest.mark.parametrize(("threshold", "shares"), [(1, 3), (4, 3), (2, 17), (0, 0)])
def test_numbers_of_shares_that_make_no_sense_are_refused(threshold, shares):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"threshold": threshold, "shares": shares}, WantedShares)
