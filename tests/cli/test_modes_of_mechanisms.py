import pytest

from keystead import algorithms
from keystead.algorithms import DECRYPT, DERIVE, ENCRYPT, SIGN, VERIFY, Use
from keystead.cli.exit_status import UsageError
from keystead.cli.key_arguments import DECRYPTION, DERIVATION, ENCRYPTION, SIGNATURE, mode_of

KINDS = {
    SIGN: SIGNATURE,
    VERIFY: SIGNATURE,
    DECRYPT: DECRYPTION,
    ENCRYPT: ENCRYPTION,
    DERIVE: DERIVATION,
}
"""The uses that are a command without a mode of its own, and what they look for in a name."""


def modes_of(name: str, use: Use) -> set[str]:
    every = (one for row in algorithms.ALL for one in row.mechanisms)
    return {one.mode for one in every if (one.name, one.use) == (name, use)}


@pytest.mark.parametrize("name", sorted(algorithms.MECHANISMS))
def test_the_name_of_a_mechanism_gives_a_mode_for_its_uses_and_for_no_other(name):
    for use, kind in KINDS.items():
        if modes := modes_of(name, use):
            assert mode_of([name], kind) in modes
        else:
            with pytest.raises(UsageError, match=f"only: {name}"):
                mode_of([name], kind)


def test_the_mode_is_of_the_first_mechanism_that_fits_the_use():
    mechanisms = ["HKDF_SHA256", "AES_KeyWrap", "HMAC_SHA384", "HMAC_SHA256"]
    assert mode_of(mechanisms, SIGNATURE) == "HMAC_SHA384"
    assert mode_of(mechanisms, ENCRYPTION) == "AES_KW"
    with pytest.raises(UsageError, match="only: none"):
        mode_of([], SIGNATURE)
