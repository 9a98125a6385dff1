"""Modules that are left out while others are imported."""

import sys

import pytest

from keystead.imports import hollow, without


@pytest.fixture(autouse=True)
def unloaded(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)


def test_names_of_a_hollow_module_can_be_imported_and_derived_from():
    with hollow("colorsys"):
        from colorsys import rgb_to_hsv  # noqa: PLC0415 - it is what is tested

        class Derived(rgb_to_hsv):
            pass

        assert Derived()
        assert not hasattr(__import__("colorsys"), "__path__")
    with pytest.raises(TypeError):
        rgb_to_hsv(1, 2, 3)


def test_afterwards_an_import_finds_the_real_module():
    for left_out in (hollow, without):
        with left_out("colorsys"):
            assert sys.modules["colorsys"] is not None or left_out is without
        assert __import__("colorsys").rgb_to_hsv(1, 1, 1) == (0.0, 0.0, 1)


def test_a_module_that_was_loaded_before_is_the_same_afterwards():
    real = __import__("colorsys")
    with hollow("colorsys"):
        assert __import__("colorsys") is not real
    assert __import__("colorsys") is real


def test_a_module_that_is_left_out_is_not_found():
    with without("colorsys"), pytest.raises(ModuleNotFoundError, match="colorsys"):
        __import__("colorsys")


def test_modules_are_left_out_inside_of_each_other():
    with without("colorsys", "this"):
        with without("colorsys"), pytest.raises(ModuleNotFoundError):
            __import__("colorsys")
        with pytest.raises(ModuleNotFoundError):
            __import__("colorsys")


def test_after_an_error_the_real_module_can_be_loaded():
    with pytest.raises(ZeroDivisionError), without("colorsys"):
        raise ZeroDivisionError
    assert __import__("colorsys").rgb_to_hsv
