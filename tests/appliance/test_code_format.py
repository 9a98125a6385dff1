"""Code objects, written with each constant once."""

import ast
import marshal
from pathlib import Path
from types import CodeType

import pytest

import keystead
from keystead.appliance.code_format import code_bytes

MODULES = sorted(Path(keystead.__file__).parent.rglob("*.py"))
EVERY_KIND = """
def all_kinds(given, /, *, named=None, **rest):
    text = "one \\N{SNOWMAN} \\udc80", "a" * 1, "b b", "x" * 300, b"bytes"
    numbers = 1, -1, 2**31, -(2**31) - 1, 10**40, -(10**40), 1.5, -0.0, 0.0, 2j, True, False, ...
    same = (1, 2.5, "b b"), (1, 2.5, "b b"), (1.0, True, 1), (True, 1, 1.0)
    return [given for _ in text if given in {"p", "q", "r r"}], numbers, same, lambda: (given, rest)
"""


def plain(code: CodeType) -> bytes:
    """Return the code as Python writes it, without references. It shows types and signs."""
    return marshal.dumps(code, 2)


def compiled(source: str) -> CodeType:
    return compile(ast.parse(source), "/x.py", "exec", dont_inherit=True)


def loaded(written: bytes) -> CodeType:
    code = marshal.loads(written)  # noqa: S302 - made here
    assert isinstance(code, CodeType)
    return code


def test_every_module_is_read_as_it_was_compiled() -> None:
    for path in MODULES:
        code = compiled(path.read_text())
        assert plain(loaded(code_bytes(code))) == plain(code), path


def test_constants_of_every_kind_keep_their_type_and_sign() -> None:
    code = compiled(EVERY_KIND)

    assert plain(loaded(code_bytes(code))) == plain(code)


def test_a_tuple_of_many_is_read_as_it_was() -> None:
    code = compiled(f"many = {tuple(range(300))}, {tuple(range(255))}, {tuple(range(256))}")

    assert plain(loaded(code_bytes(code))) == plain(code)


def test_a_repeated_constant_is_written_once() -> None:
    text = "a constant with blanks, which Python does not keep for all modules"
    code = compiled("\n".join(f"def f{number}(): return {text!r}" for number in range(10)))

    written = code_bytes(code)

    assert written.count(text.encode()) == 1
    assert plain(code).count(text.encode()) == 10


def test_what_is_written_does_not_depend_on_who_refers_to_the_constants() -> None:
    code = compiled(EVERY_KIND)
    first = code_bytes(code)
    also_referred_to = [*code.co_consts, *code.co_names]

    assert code_bytes(loaded(first)) == first == code_bytes(code)
    assert also_referred_to


def test_constants_that_no_source_has_are_refused() -> None:
    code = compiled("1").replace(co_consts=([],))

    with pytest.raises(ValueError, match="a value of the type '\\['"):
        code_bytes(code)
