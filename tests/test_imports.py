"""Modules that are left out while others are imported."""

import sys
from types import ModuleType

import pytest

from keystead.imports import imported_as, without


def test_an_import_finds_the_module_that_stands_in_and_afterwards_the_real_one():
    import colorsys  # noqa: PLC0415 - a module that nothing here needs

    other = ModuleType("colorsys")
    with imported_as("colorsys", other):
        assert __import__("colorsys") is other
    assert __import__("colorsys") is colorsys


def test_a_module_that_is_left_out_is_not_found_and_can_be_loaded_afterwards():
    sys.modules.pop("colorsys", None)
    with imported_as("colorsys", None), pytest.raises(ModuleNotFoundError, match="colorsys"):
        __import__("colorsys")
    assert __import__("colorsys").rgb_to_hsv


def test_after_an_error_the_real_module_is_back():
    sys.modules.pop("colorsys", None)
    with pytest.raises(ZeroDivisionError), imported_as("colorsys", ModuleType("colorsys")):
        raise ZeroDivisionError
    assert "colorsys" not in sys.modules


def test_modules_are_left_out_inside_of_each_other():
    with without("colorsys", "this"):
        with without("colorsys"), pytest.raises(ModuleNotFoundError):
            __import__("colorsys")
        with pytest.raises(ModuleNotFoundError):
            __import__("colorsys")
    assert __import__("colorsys").rgb_to_hsv
