"""Shamir's secret sharing: published values, another implementation, and the promise of M of N."""

from itertools import combinations

import pytest
import shamir_mnemonic
from hypothesis import given
from hypothesis import strategies as st
from shamir_mnemonic import shamir

from keystead.sealing import secret_sharing
from keystead.sealing.secret_sharing import interpolate, split

FIPS_197_PRODUCTS = [(0x57, 0x83, 0xC1), (0x57, 0x13, 0xFE), (0x57, 0x02, 0xAE), (0x57, 0x10, 0x07)]
"""FIPS 197, section 4.2: products of two bytes in the field."""
SLIP_39_SHARES = (
    (
        "shadow pistol academic always adequate wildlife fancy gross oasis cylinder mustang wrist "
        "rescue view short owner flip making coding armed"
    ),
    (
        "shadow pistol academic acid actress prayer class unknown daughter sweater depict flip "
        "twice unkind craft early superior advocate guest smoking"
    ),
)
"""SLIP-39, test vector 4: two shares of three, for the passphrase TREZOR."""
SLIP_39_SECRET = "b43ceb7e57a0ea8766221624d01b0864"


@pytest.mark.parametrize(("first", "second", "product"), FIPS_197_PRODUCTS)
def test_bytes_are_multiplied_as_fips_197_does(first, second, product):
    times = secret_sharing._times  # noqa: SLF001 - the field's arithmetic itself is published
    assert times(first, second, 1) == times(second, first, 1) == product
    assert times(int.from_bytes(bytes([first, 0, first])), second, 3) == int.from_bytes(
        bytes([product, 0, product])
    ), "no byte touches its neighbour"


def test_shares_of_slip_39_give_the_published_secret():
    shares = [shamir_mnemonic.Share.from_mnemonic(words) for words in SLIP_39_SHARES]
    encrypted = interpolate({share.index: share.value for share in shares}, 255)
    first = shares[0]
    sealed = shamir_mnemonic.shamir.EncryptedMasterSecret(
        first.identifier, first.extendable, first.iteration_exponent, encrypted
    )
    assert sealed.decrypt(b"TREZOR").hex() == SLIP_39_SECRET


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
