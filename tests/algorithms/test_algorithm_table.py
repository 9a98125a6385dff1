import importlib
import pkgutil
from collections.abc import Callable

import pytest

from keystead import algorithms
from keystead.algorithms import PrivateKey, PrivateParts, Use
from keystead.errors import InvalidInput, KeysteadError


def test_the_key_types_are_those_of_the_api_in_its_order(nethsm_api):
    assert list(algorithms.BY_NAME) == nethsm_api["components"]["schemas"]["KeyType"]["enum"]


def test_the_mechanisms_are_those_of_the_api(nethsm_api):
    assert set(algorithms.MECHANISMS) == set(
        nethsm_api["components"]["schemas"]["KeyMechanism"]["enum"]
    )


@pytest.mark.parametrize(
    ("use", "schema"),
    [(Use.SIGN, "SignMode"), (Use.DECRYPT, "DecryptMode"), (Use.ENCRYPT, "EncryptMode")],
)
def test_the_modes_of_a_use_are_those_of_the_api(nethsm_api, use, schema):
    modes = [mode for one_use, mode in algorithms.BY_MODE if one_use is use]
    assert sorted(modes) == sorted(nethsm_api["components"]["schemas"][schema]["enum"])


def test_a_name_and_a_mode_stand_for_one_mechanism():
    every = {mechanism for row in algorithms.ALL for mechanism in row.mechanisms}
    assert len(every) == len(algorithms.MECHANISMS) == len(algorithms.BY_MODE) == 20


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
    own = {(mechanism.use, mechanism.mode) for mechanism in any_key.algorithm.mechanisms}
    attempts = {
        Use.SIGN: lambda mode: any_key.sign(mode, bytes(32)),
        Use.DECRYPT: lambda mode: any_key.decrypt(mode, bytes(256), bytes(16)),
        Use.ENCRYPT: lambda mode: any_key.encrypt(mode, bytes(256), bytes(16)),
    }
    foreign = {*algorithms.BY_MODE, *((use, "rot13") for use in Use)} - own
    assert foreign
    for use, mode in foreign:
        with pytest.raises(InvalidInput, match=rf"{any_key.algorithm.name} keys cannot \w+ with"):
            attempts[use](mode)


def message_of(attempt: Callable[[str], object], mode: str) -> str:
    try:
        attempt(mode)
    except KeysteadError as error:
        return error.message
    return ""


def test_a_key_has_what_each_of_its_mechanisms_needs(any_key: PrivateKey):
    attempts = {
        Use.SIGN: lambda mode: any_key.sign(mode, b"?"),
        Use.DECRYPT: lambda mode: any_key.decrypt(mode, b"?", bytes(16)),
        Use.ENCRYPT: lambda mode: any_key.encrypt(mode, b"?", bytes(16)),
    }
    for mechanism in any_key.algorithm.mechanisms:
        assert "cannot" not in message_of(attempts[mechanism.use], mechanism.mode)


def test_no_type_makes_a_key_of_missing_parts():
    for row in algorithms.ALL:
        with pytest.raises(InvalidInput, match=f"{row.name} keys need the field"):
            row.from_parts(PrivateParts())


@pytest.mark.parametrize("length", [None, -1, 0, 127, 1023, 8193, 10**9])
def test_a_length_out_of_range_is_refused_by_the_types_that_need_one(length):
    for row in algorithms.ALL:
        if row.needs_length and not (row.name == "Generic" and length == 1023):
            with pytest.raises(InvalidInput, match=r"length|bits"):
                row.generate(length)


def test_a_private_key_shows_nothing_of_itself(any_key: PrivateKey):
    material = any_key.material()
    for shown in (any_key, material, PrivateParts(prime_p=b"\xaa\xbb", data=b"\xaa\xbb")):
        assert "PRIVATE" not in repr(shown)
        assert "xaa" not in repr(shown)
        assert str(material.raw or "PRIVATE") not in repr(shown)
