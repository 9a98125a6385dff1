"""Who is logged in: by a name and a PIN, by both in one, after a change, and no more."""

import pytest

from tests.pkcs11.conftest import Token
from tests.pkcs11.test_processes import run

OK, PIN_INCORRECT, NOT_LOGGED_IN, READ_ONLY = 0x0, 0xA0, 0x101, 0xB5
BEGINNING = f"""
from ctypes import c_char_p
from tests.pkcs11.bare import *
PIN_INCORRECT, NOT_LOGGED_IN, READ_ONLY = {PIN_INCORRECT}, {NOT_LOGGED_IN}, {READ_ONLY}
USER = ULONG(1)
module = Module()
module.Initialize(None)
session = module.open(READ_WRITE)

def text(value):
    return c_char_p(value), ULONG(len(value))

def log_in(pin, name=None):
    if name is None:
        return module.call("C_Login", session, USER, *text(pin))
    return module.call("C_LoginUser", session, USER, *text(pin), *text(name))

def signs():
    module.sign(session, module.find(session, b"EC_P256"))
"""
NO_NAMES = [
    b"operator/cert",
    b"../info",
    b"../health/alive",
    b"operator?",
    b"operator#",
    b"a b",
    b"a HTTP/1.1\r\nHost: a\r\n\r\nGET /api/v1/info",
    b"a%2fb",
    b"~",
]
"""Paths that are made of them may lead to what everybody may ask for, or to nothing."""


@pytest.fixture
def unnamed(token: Token) -> Token:
    """A token whose configuration names no user."""
    for name in ("user", "pin", "administrator"):
        del token.settings[name]
    return token


def test_a_user_is_named_beside_the_pin(unnamed: Token) -> None:
    pin = unnamed.server.passphrases["operator"].encode()
    run(
        unnamed,
        f"""
        assert log_in({pin!r}, b"nobody") == PIN_INCORRECT
        assert log_in({pin!r}, b"operator:") == PIN_INCORRECT
        assert log_in({pin!r}, b"operator") == 0
        signs()
        """,
        beginning=BEGINNING,
    )


@pytest.mark.parametrize("in_pin", [False, True])
def test_a_name_that_no_user_can_have_is_a_wrong_pin(unnamed: Token, *, in_pin: bool) -> None:
    """A program may take the answer of C_Login for that of a check of passphrases."""
    run(
        unnamed,
        f"""
        for name in {NO_NAMES}:
            if {in_pin}:
                answer = log_in(name + b":a passphrase")
            else:
                answer = log_in(b"a passphrase", name)
            assert answer == PIN_INCORRECT, (name, hex(answer))
        """,
        beginning=BEGINNING,
    )


def test_who_logs_out_uses_no_key_any_more(unnamed: Token) -> None:
    pin = unnamed.server.passphrases["operator"].encode()
    run(
        unnamed,
        f"""
        assert log_in({pin!r}, b"operator") == 0
        key = module.find(session, b"EC_P256")
        module.SignInit(session, ctypes.byref(Mechanism(CKM_ECDSA, None, 0)), key)
        module.Logout(session)
        room, length = ctypes.create_string_buffer(64), ULONG(64)
        arguments = session, bytes(32), ULONG(32), room, ctypes.byref(length)
        assert module.call("C_Sign", *arguments) == NOT_LOGGED_IN
        assert module.call("C_Logout", session) == NOT_LOGGED_IN
        wanted, found = Template({{CKA_ID: b"EC_P256"}}), ULONG()
        module.FindObjectsInit(session, wanted.array, wanted.count)
        module.FindObjects(session, ctypes.byref(key), ULONG(1), ctypes.byref(found))
        assert found.value == 0
        """,
        beginning=BEGINNING,
    )


def test_a_changed_pin_is_the_users_passphrase(unnamed: Token) -> None:
    unnamed.server.add_user("changes-pin", "Operator")
    old = unnamed.server.passphrases["changes-pin"].encode()
    new = b"another passphrase of mine"
    run(
        unnamed,
        f"""
        assert log_in(b"changes-pin:" + {old!r}) == 0
        reading = module.open()
        changes = (*text({old!r}), *text({new!r}))
        assert module.call("C_SetPIN", reading, *changes) == READ_ONLY
        wrong = (*text(b"a wrong one"), *text({new!r}))
        assert module.call("C_SetPIN", session, *wrong) == PIN_INCORRECT
        module.SetPIN(session, *changes)
        signs()
        """,
        beginning=BEGINNING,
    )
    run(unnamed, f"assert log_in({new!r}, b'changes-pin') == 0\nsigns()", beginning=BEGINNING)
