"""Shamir's secret sharing: published values, another implementation, and the promise of M of N."""

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest
import shamir_mnemonic
from hypothesis import given
from hypothesis import strategies as st
from shamir_mnemonic import shamir

from keystead.sealing import secret_sharing
from keystead.sealing.secret_sharing import interpolate, split

FIPS_197_PRODUCTS = [(0x57, 0x83, 0xC1), (0x57, 0x13, 0xFE), (0x57, 0x02, 0xAE), (0x57, 0x10, 0x07)]
"""FIPS 197, section 4.2: products of two bytes in the field."""
VECTORS = Path(__file__).parents[1] / "vectors" / "slip-0039" / "test-vectors.json"
SLIP_39 = json.loads(VECTORS.read_bytes())
"""Shares of one group or of several, and the secret, for the passphrase TREZOR."""
SLIP_39_PLACE = 255
"""Where SLIP-39's polynomials have the secret."""


@pytest.mark.parametrize(("first", "second", "product"), FIPS_197_PRODUCTS)
def test_bytes_are_multiplied_as_fips_197_does(first, second, product):
    times = secret_sharing._times  # noqa: SLF001 - the field's arithmetic itself is published
    assert times(first, second, 1) == times(second, first, 1) == product
    assert times(int.from_bytes(bytes([first, 0, first])), second, 3) == int.from_bytes(
        bytes([product, 0, product])
    ), "no byte touches its neighbour"


def secret_of(shares: Sequence[shamir_mnemonic.Share]) -> str:
    """Return what SLIP-39's shares give: those of each group first, and then the groups."""
    groups: dict[int, dict[int, bytes]] = defaultdict(dict)
    for share in shares:
        groups[share.group_index][share.index] = share.value
    values = {group: interpolate(members, SLIP_39_PLACE) for group, members in groups.items()}
    encrypted = interpolate(values, SLIP_39_PLACE)
    one = shares[0]
    sealed = shamir_mnemonic.shamir.EncryptedMasterSecret(
        one.identifier, one.extendable, one.iteration_exponent, encrypted
    )
    return sealed.decrypt(b"TREZOR").hex()


@pytest.mark.parametrize(("mnemonics", "secret"), SLIP_39)
def test_shares_of_slip_39_give_the_published_secret_and_one_less_does_not(
    mnemonics: list[str], secret: str
):
    shares = [shamir_mnemonic.Share.from_mnemonic(words) for words in mnemonics]
    assert secret_of(shares) == secret
    for fewer in combinations(shares, len(shares) - 1):
        assert secret_of(fewer) != secret


@given(
    values=st.dictionaries(
        st.integers(0, 254), st.binary(min_size=16, max_size=16), min_size=1, max_size=16
    ),
    place=st.integers(0, 255),
)
def test_interpolation_agrees_with_the_reference_implementation_of_slip_39(values, place):
    theirs = [shamir.RawShare(x, value) for x, value in values.items()]
    assert interpolate(values, place) == shamir._interpolate(theirs, place)  # noqa: SLF001


@pytest.mark.parametrize(("threshold", "shares"), [(2, 2), (2, 3), (3, 5), (5, 5), (4, 7)])
def test_every_combination_of_m_gives_the_secret_and_none_of_fewer(threshold, shares):
    secret = bytes(range(16))
    made = split(secret, threshold=threshold, shares=shares)
    for some in combinations(made, threshold):
        assert interpolate({place: made[place] for place in some}) == secret
    for few in combinations(made, threshold - 1):
        assert interpolate({place: made[place] for place in few}) != secret


def test_one_share_less_fits_every_secret():
    made = split(b"\x2a", threshold=3, shares=5)
    known = {1: made[1], 4: made[4]}
    fitting = {interpolate({**known, 2: bytes([guess])}) for guess in range(256)}
    assert len(fitting) == 256


@pytest.mark.parametrize(("threshold", "shares"), [(0, 2), (3, 2), (2, 256)])
def test_thresholds_that_make_no_sense_are_refused(threshold, shares):
    with pytest.raises(ValueError, match="threshold"):
        split(bytes(16), threshold=threshold, shares=shares)
