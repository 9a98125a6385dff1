"""What the PKCS#11 module keeps of each signature: nothing.

`KEYSTEAD_PKCS11_SIGNATURES=N` makes more of them.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.pkcs11.conftest import Token, need

PROGRAM = Path(__file__).with_name("many_signatures.c")
SIGNATURES = int(os.environ.get("KEYSTEAD_PKCS11_SIGNATURES", "2000"))
SIGNATURES_UNDER_VALGRIND = max(SIGNATURES // 100, 100)
THREADS = "4"
MOST_GROWTH_KIB = 1024
"""The C library's heap grows by some pages of its own accord."""


def built(token: Token) -> Path:
    need("cc")
    program = token.folder / "many_signatures"
    token.run("cc", "-O1", "-w", "-o", program, PROGRAM, "-ldl", "-lpthread")
    return program


def test_the_memory_of_a_process_that_signs_does_not_grow(token: Token) -> None:
    said = token.run(built(token), token.module, THREADS, str(SIGNATURES))
    resident_kib = [int(line) for line in said.split()]
    print(f"{SIGNATURES} signatures, KiB resident after each tenth: {resident_kib}")  # noqa: T201
    # Connections, sessions and the list of keys come with the first rounds.
    assert resident_kib[-1] - resident_kib[1] < MOST_GROWTH_KIB, resident_kib


def test_signatures_lose_no_memory(token: Token) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    token.run(
        # It does not follow ring's assembly: what that encrypts counts as never written.
        *("valgrind", "--quiet", "--error-exitcode=9", "--undef-value-errors=no"),
        *("--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"),
        *(built(token), token.module, "2", str(SIGNATURES_UNDER_VALGRIND)),
    )
