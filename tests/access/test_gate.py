"""Every use of a private key passes the gate, which tells its recorder before the key works."""

import ast
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import keystead
from keystead.access.gate import CERTIFICATE_REQUEST, Attempt, Gate
from keystead.algorithms import BY_NAME, DECRYPT, SIGN
from keystead.errors import (
    ForbiddenByPolicy,
    InvalidInput,
    KeysteadError,
    NotAuthenticated,
    NotPermitted,
)
from keystead.model.ids import UserId, parse_key_id, parse_tag
from keystead.model.keys import KeyPath, KeyRecord, Permit
from keystead.model.policy import PolicyDocument, parse_policy
from keystead.model.users import Caller, Role, Standing
from keystead.storage.key_cache import StoredKey

PATH = KeyPath(None, parse_key_id("key"))


class Heard:
    """A recorder that remembers what it heard."""

    def __init__(self) -> None:
        self.decisions: list[tuple[str, str]] = []

    def permitted(self, attempt: Attempt) -> None:
        self.decisions.append(("permitted", attempt.mode))

    def refused(self, attempt: Attempt, reason: str) -> None:
        self.decisions.append((reason, attempt.mode))

    def not_used(self, attempt: Attempt, reason: str) -> None:
        self.decisions.append((reason, attempt.mode))


def stored(*mechanisms: str, tags: tuple[str, ...] = ()) -> StoredKey:
    private = BY_NAME["EC_P256"].generate(None)
    own = frozenset(parse_tag(tag) for tag in tags)
    return StoredKey(PATH, KeyRecord(private.material(), frozenset(mechanisms), own), 1, private)


def caller(role: Role = Role.OPERATOR, *, tags: tuple[str, ...] = ()) -> Caller:
    standing = Standing(frozenset(parse_tag(tag) for tag in tags))
    return Caller(UserId(None, "op"), role, standing)


def attempt(who: Caller, mode: str = "ECDSA", use=SIGN) -> Attempt:
    return Attempt(mode, 1, "192.0.2.1", lambda: 0.0, who, PATH, use)


def test_a_permitted_use_releases_the_key_after_the_recorder_has_heard_of_it():
    heard, key = Heard(), stored("ECDSA_Signature")
    permit, mechanism = Gate(heard, time.monotonic).permit(attempt(caller()), key)
    assert heard.decisions == [("permitted", "ECDSA")]
    assert mechanism.run(key.release(permit), bytes(32))


REFUSALS = [
    (stored("ECDSA_Signature", tags=("t",)), caller(), "ECDSA", SIGN, NotPermitted, "tag"),
    (stored(), caller(), "ECDSA", SIGN, InvalidInput, "Key mechanisms do not allow"),
    (stored("ECDSA_Signature"), caller(), "PKCS1", DECRYPT, InvalidInput, "Key mechanisms"),
    (stored("ECDSA_Signature"), caller(), "my passphrase", SIGN, InvalidInput, "Unknown sign mode"),
]


@pytest.mark.parametrize(("key", "who", "mode", "use", "error", "reason"), REFUSALS)
def test_a_refusal_names_its_rule_and_no_mode_that_no_key_has(key, who, mode, use, error, reason):
    heard = Heard()
    with pytest.raises(error, match=reason):
        Gate(heard, time.monotonic).permit(attempt(who, mode, use), key)
    ((said, shown),) = heard.decisions
    assert reason in said
    assert shown == ("" if mode == "my passphrase" else mode)


def test_a_use_that_waited_is_refused_by_the_policy_of_then():
    heard, key = Heard(), stored("ECDSA_Signature")
    gate = Gate(heard, time.monotonic)
    gate.permit(attempt(caller()), key)
    policy = parse_policy(PolicyDocument(enabled=False))
    changed = key.with_record(replace(key.record, policy=policy), 2)
    for mode in ("ECDSA", CERTIFICATE_REQUEST):
        with pytest.raises(ForbiddenByPolicy, match="enabled"):
            gate.require_still_permitted(attempt(caller(), mode), changed)
    assert [reason for reason, _ in heard.decisions[1:]] == [
        "The key's policy forbids every use: enabled is false."
    ] * 2


def test_a_revoked_caller_is_refused_also_after_its_use_was_permitted():
    heard, key, who = Heard(), stored("ECDSA_Signature"), caller()
    gate = Gate(heard, time.monotonic)
    gate.permit(attempt(who), key)
    who.standing.is_revoked = True
    for judge in (gate.permit, gate.require_still_permitted):
        with pytest.raises(NotAuthenticated):
            judge(attempt(who), key)
    assert len(heard.decisions) == 3


def test_a_certificate_request_is_a_signature_for_operators():
    request = CERTIFICATE_REQUEST
    gate = Gate(Heard(), time.monotonic)
    assert gate.permit_certificate_request(attempt(caller(), request), stored("ECDSA_Signature"))
    assert gate.permit_certificate_request(attempt(caller(Role.ADMINISTRATOR), request), stored())
    for key in (stored(), stored("ECDSA_Signature", tags=("t",))):
        with pytest.raises(KeysteadError):
            gate.permit_certificate_request(attempt(caller(), request), key)


def test_a_permit_is_for_one_key():
    with pytest.raises(ValueError, match="another key"):
        stored().release(Permit(KeyPath(None, parse_key_id("other"))))


def calls(name: str) -> Iterator[str]:
    """Yield the source files that call `name`, a function or a method."""
    root = Path(keystead.__file__).parent
    for file in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if called == name:
                    yield str(file.relative_to(root))


def test_only_the_gate_makes_permits_and_only_uses_of_keys_release_them():
    assert set(calls("Permit")) == {"access/gate.py"}
    released = {file for file in calls("release") if "key" in file}
    assert released == {"operations/use_keys.py"}
