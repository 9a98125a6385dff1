import contextlib
import importlib
import pkgutil

import pytest

from keystead import algorithms
from keystead.algorithms import (
    DECRYPT,
    ENCRYPT,
    SIGN,
    USES,
    VERIFY,
    PrivateKey,
    PrivateParts,
    field_name,
)
from keystead.errors import DecryptionFailed, InvalidInput
from tests.support import beyond_nethsm, nethsm_api
from tests.support.uses import MESSAGES, OPTIONS

EVERY = [one for row in algorithms.ALL for one in row.mechanisms]


def test_the_key_types_are_nethsm_s_in_its_order_and_then_ours():
    assert list(algorithms.BY_NAME) == [*nethsm_api.ENUMS["KeyType"], *beyond_nethsm.KEY_TYPES]


def test_the_mechanisms_are_nethsm_s_and_ours():
    theirs, ours = nethsm_api.ENUMS["KeyMechanism"], beyond_nethsm.MECHANISMS
    assert set(algorithms.MECHANISMS) == {*theirs, *ours}, (
        "a new mechanism belongs in MECHANISMS of tests/support/beyond_nethsm.py"
    )


@pytest.mark.parametrize(
    ("use", "enum"), [(SIGN, "SignMode"), (DECRYPT, "DecryptMode"), (ENCRYPT, "EncryptMode")]
)
def test_the_modes_of_a_use_are_nethsm_s_and_ours(use, enum):
    modes = {one.mode for one in EVERY if one.use is use}
    assert modes == {*nethsm_api.ENUMS[enum], *beyond_nethsm.MODES[use.verb]}, (
        "a new mode belongs in MODES of tests/support/beyond_nethsm.py"
    )


def test_a_mode_stands_for_one_mechanism_of_a_key_type():
    for row in algorithms.ALL:
        modes = [(one.use, one.mode) for one in row.mechanisms]
        assert len(set(modes)) == len(modes), row.name


def test_a_mode_belongs_to_the_same_mechanism_whatever_the_key_type():
    names = {}
    for one in EVERY:
        assert names.setdefault((one.use, one.mode), one.name) == one.name


def test_whatever_signs_also_verifies():
    for row in algorithms.ALL:
        signs = {(one.name, one.mode, one.options) for one in row.mechanisms if one.use is SIGN}
        verifies = {
            (one.name, one.mode, one.options) for one in row.mechanisms if one.use is VERIFY
        }
        assert verifies == signs


def test_every_module_has_a_row_in_the_table():
    modules = [
        module.name
        for module in pkgutil.iter_modules(algorithms.__path__)
        if not module.name.startswith("_")
    ]
    for name in modules:
        module = importlib.import_module(f"keystead.algorithms.{name}")
        assert any(row in vars(module).values() for row in algorithms.ALL), name


def test_a_key_comes_back_from_storage_as_it_was(any_key: PrivateKey):
    again = algorithms.load(any_key.material())
    assert again.algorithm is any_key.algorithm
    assert again.material() == any_key.material()
    assert again.public() == any_key.public()


def test_a_key_from_storage_is_sound(any_key: PrivateKey):
    algorithms.load(any_key.material()).validate()


def test_a_key_refuses_every_mode_that_its_type_does_not_have(any_key: PrivateKey):
    own = {(one.use, one.mode) for one in any_key.algorithm.mechanisms}
    foreign = {(one.use, one.mode) for one in EVERY} - own
    assert foreign
    for how, mode in foreign:
        with pytest.raises(InvalidInput, match=f"do not allow it to {how.verb}"):
            algorithms.mechanism_of(any_key.algorithm, how, mode)
    for how in USES:
        with pytest.raises(InvalidInput, match=f"Unknown {how.verb} mode"):
            algorithms.mechanism_of(any_key.algorithm, how, "rot13")


def test_every_mechanism_works_or_says_what_does_not_fit(any_key: PrivateKey):
    for one in any_key.algorithm.mechanisms:
        options = {option.name: OPTIONS[option.name] for option in (*one.needs, *one.options)}
        for message in MESSAGES:
            with contextlib.suppress(InvalidInput, DecryptionFailed):
                messages = () if one.use.takes is None else (message,)
                result = one.run(any_key, *messages, **options)
                parts = result if isinstance(result, tuple) else (result,)
                kinds = list(one.use.gives.values())
                assert [type(part) for part in parts] == kinds[: len(parts)]


def test_a_mechanism_refuses_options_that_it_does_not_take_and_misses_those_that_it_needs():
    for one in EVERY:
        own = {option.name for option in (*one.needs, *one.options)}
        with pytest.raises(InvalidInput, match=f"{one.mode} does not take"):
            one.require_options({*own, "colour"})
        for option in one.needs:
            with pytest.raises(
                InvalidInput, match=f"{one.mode} needs the field {field_name(option.name)}"
            ):
                one.require_options(own - {option.name})


def test_no_type_makes_a_key_of_missing_parts():
    for row in algorithms.ALL:
        with pytest.raises(InvalidInput, match=f"{row.name} keys need the field"):
            row.from_parts(PrivateParts())


@pytest.mark.parametrize("length", [None, -1, 0, 127, 1023, 8193, 10**9])
def test_a_length_out_of_range_is_refused_by_the_types_that_need_one(length):
    for name in ("RSA", "Generic"):
        if (name, length) != ("Generic", 1023):
            with pytest.raises(InvalidInput, match=r"length|bits"):
                algorithms.BY_NAME[name].generate(length)


def test_a_private_key_shows_nothing_of_itself(any_key: PrivateKey):
    material = any_key.material()
    for shown in (any_key, material, PrivateParts(prime_p=b"\xaa\xbb", data=b"\xaa\xbb")):
        assert "PRIVATE" not in repr(shown)
        assert "xaa" not in repr(shown)
        assert str(material.raw or "PRIVATE") not in repr(shown)
