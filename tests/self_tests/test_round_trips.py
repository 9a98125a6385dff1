"""A key that does not undo what it does is found."""

import pytest

from keystead import algorithms
from keystead.algorithms import ENCAPSULATE, ENCRYPT, SIGN
from keystead.errors import InvalidInput, SelfTestFailed
from keystead.self_tests import round_trips
from keystead.self_tests.known_answers import KEYS
from tests.algorithms.conftest import make_key


@pytest.mark.parametrize("name", algorithms.BY_NAME)
def test_a_new_key_of_every_type_is_consistent(name):
    round_trips.require_consistent(make_key(name))


@pytest.mark.parametrize("bits", [128, 192, 256, 136, 8192])
def test_a_generic_key_of_every_length_is_consistent(bits):
    round_trips.require_consistent(algorithms.BY_NAME["Generic"].generate(bits))


@pytest.mark.parametrize("known", KEYS, ids=lambda known: known.type)
def test_every_round_trip_of_a_type_works_with_its_known_key(known):
    row = algorithms.BY_NAME[known.type]
    tests = dict(round_trips.tests(row, known.private_key))
    there_and_back = {SIGN, ENCRYPT, ENCAPSULATE}
    assert len(tests) == sum(one.use in there_and_back for one in row.mechanisms)
    for test in tests.values():
        test()


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("EC_P256", "verify"),
        ("Ed448", "verify"),
        ("RSA", "verify_pkcs1"),
        ("EC_P256K1", "verify_ecdsa"),
        ("ML_DSA_65", "verify"),
    ],
)
def test_a_key_that_does_not_verify_what_it_signs_is_found(monkeypatch, name, method):
    key = make_key(name)
    replace_row(monkeypatch, name, method, lambda *_, **__: False)
    with pytest.raises(SelfTestFailed, match="not valid"):
        round_trips.require_consistent(key)


def test_a_key_that_refuses_to_sign_anything_is_found(monkeypatch):
    key = make_key("EC_P256")

    def refuse(_):
        raise InvalidInput("Not a digest.")

    monkeypatch.setattr(key, "_require_digest", refuse)
    with pytest.raises(SelfTestFailed, match="does not sign in any mode"):
        round_trips.require_consistent(key)


def test_a_key_that_does_not_decrypt_what_it_encrypts_is_found(monkeypatch):
    key = make_key("Generic")
    replace_row(monkeypatch, "Generic", "decrypt_cbc", lambda *_, **__: b"?")
    with pytest.raises(SelfTestFailed, match="decrypts to something else"):
        round_trips.require_consistent(key)


@pytest.mark.parametrize("name", ["ML_KEM_768", "ML_KEM_1024"])
def test_a_key_that_does_not_open_its_own_ciphertext_is_found(monkeypatch, name):
    key = make_key(name)
    replace_row(monkeypatch, name, "decapsulate", lambda *_: bytes(32))
    with pytest.raises(SelfTestFailed, match="does not open its own ciphertext"):
        round_trips.require_consistent(key)


@pytest.mark.parametrize("name", ["X25519", "X448"])
def test_a_key_that_does_not_agree_with_another_is_found(monkeypatch, name):
    key = make_key(name)
    other = make_key(name)
    monkeypatch.setattr(other, "public", make_key(name).public)
    monkeypatch.setattr(algorithms.BY_NAME[name].__class__, "generate", lambda *_: other)
    with pytest.raises(SelfTestFailed, match="do not agree"):
        round_trips.require_consistent(key)


def replace_row(monkeypatch, name, method, run):
    """Have the row whose function is this method run something else."""
    found = algorithms.mechanism_of

    def mechanism_of(algorithm, use, mode):
        row = found(algorithm, use, mode)
        if algorithm.name != name or row.run.__name__ != method:
            return row
        return algorithms.Mechanism(row.name, row.use, row.mode, run)

    monkeypatch.setattr(round_trips, "mechanism_of", mechanism_of)


def test_a_row_that_takes_no_message_is_a_failure():
    def refuse(*_):
        raise InvalidInput("No.")

    row = algorithms.Mechanism("x", algorithms.SIGN, "x", refuse)
    with pytest.raises(InvalidInput):
        round_trips._require_round_trip(make_key("EC_P256"), row)  # noqa: SLF001  no such row
