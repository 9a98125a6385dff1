"""Random templates, parameters and lengths, in memory that ends where the caller says it ends.

`KEYSTEAD_PKCS11_SEED=N` takes another sequence, `KEYSTEAD_PKCS11_CALLS` a longer one.
"""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.pkcs11.conftest import Token, need

PROGRAM = Path(__file__).with_name("random_calls.c")
SEED = int(os.environ.get("KEYSTEAD_PKCS11_SEED", "1"))
CALLS = os.environ.get("KEYSTEAD_PKCS11_CALLS", "50000")
REACHED = (
    "C_CreateObject",
    "C_DigestFinal",
    "C_FindObjects",
    "C_GetAttributeValue",
    "C_VerifyInit",
)


@pytest.fixture
def token_without_login(token: Token) -> Token:
    del token.settings["pin"], token.settings["administrator"]
    token.settings["instances"] = '["https://127.0.0.1:9"]'
    return token


def built(token: Token) -> Path:
    need("cc")
    program = token.folder / "random_calls"
    token.run("cc", "-O1", "-w", "-o", program, PROGRAM, "-ldl")
    return program


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_no_arguments_make_the_module_panic_or_touch_what_is_not_theirs(
    token_without_login: Token, seed: int
) -> None:
    said = token_without_login.run(
        built(token_without_login), token_without_login.module, str(seed), CALLS
    )
    lines = re.findall(r"^(C_\w+) (\d+)$", said, re.MULTILINE)
    done = {name: int(number) for name, number in lines}
    assert all(done.get(name, 0) > 10 for name in REACHED), said


def test_no_byte_is_read_before_it_is_written_and_none_is_lost(token_without_login: Token) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    said = token_without_login.run(
        *("valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full"),
        *("--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"),
        *(built(token_without_login), token_without_login.module, str(SEED), "1000"),
    )
    assert "C_Finalize 1" in said, said
