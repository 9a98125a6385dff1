"""Every row of the algorithm table is tested at start, and a wrong answer is found."""

import msgspec
import pytest

from keystead import algorithms, self_tests
from keystead.algorithms import ENCAPSULATE, ENCRYPT, SIGN
from keystead.errors import SelfTestFailed
from keystead.self_tests import entropy, known_answers
from keystead.self_tests.known_answers import KEYS

WITH_RANDOM_PARTS = {SIGN, ENCRYPT, ENCAPSULATE}
"""Uses whose results are checked by verifying and decrypting them."""


def test_every_type_has_a_known_key():
    assert [known.type for known in KEYS] == list(algorithms.BY_NAME)


def test_every_row_has_a_known_answer():
    found = {(known.type, one.use, one.mode) for known in KEYS for one in known.answers}
    needed = {
        (row.name, one.use.verb, one.mode)
        for row in algorithms.ALL
        for one in row.mechanisms
        if one.use not in WITH_RANDOM_PARTS
    }
    assert found == needed, "an answer is added to scripts/known_answers.py, which is then run"


def test_every_row_is_tested_and_passes():
    results = dict(self_tests.results())
    rows = {
        f"{row.name} {one.use.verb} {one.mode}" for row in algorithms.ALL for one in row.mechanisms
    }
    assert set(results) == {"entropy source", *rows}
    assert set(results.values()) == {None}
    assert self_tests.first_failure() is None


ANSWERS = [(known, answer) for known in KEYS for answer in known.answers]


@pytest.mark.parametrize(
    ("known", "answer"),
    ANSWERS,
    ids=[f"{known.type}-{answer.use}-{answer.mode}" for known, answer in ANSWERS],
)
def test_a_wrong_answer_is_found(known, answer):
    if answer.result is True:
        signature = answer.options["signature"]
        altered = bytes([signature[0] ^ 1]) + signature[1:]
        wrong = msgspec.structs.replace(answer, options=answer.options | {"signature": altered})
    else:
        wrong = msgspec.structs.replace(answer, result=answer.result[:-1] + b"?")
    known = msgspec.structs.replace(known, answers=(wrong,))
    ((name, test),) = known_answers.tests(known, known.private_key)
    assert name == f"{known.type} {answer.use} {answer.mode}"
    with pytest.raises(SelfTestFailed, match="not the known one"):
        test()


def test_a_key_type_that_finds_everything_valid_is_found(monkeypatch):
    row = algorithms.mechanism_of(algorithms.BY_NAME["EC_P256"], algorithms.VERIFY, "ECDSA")
    monkeypatch.setattr(
        known_answers.algorithms,
        "mechanism_of",
        lambda *_: algorithms.Mechanism(row.name, row.use, row.mode, lambda *_, **__: True),
    )
    assert self_tests.first_failure() == "RSA verify PKCS1: An altered signature is valid."


def test_whatever_a_test_raises_is_a_failure_with_its_reason(monkeypatch):
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(entropy, "healthy_sample", broken)
    assert self_tests.first_failure() == "entropy source: ZeroDivisionError"
