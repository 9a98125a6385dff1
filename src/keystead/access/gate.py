"""The one gate before every use of a private key.

A key from the store cannot be used directly. The gate permits a use, or names the rule that refuses
it. It tells the recorder its decision, and only then is the key released.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from keystead.algorithms import (
    SIGN,
    VERIFY,
    Mechanism,
    Use,
    certificate_mode,
    is_mode,
    mechanism_of,
)
from keystead.errors import ForbiddenByPolicy, InvalidInput, KeysteadError
from keystead.model.keys import KeyPath, Permit, require_use
from keystead.model.policy import Policy, PolicyUse, Refusal, refusal
from keystead.model.users import Caller
from keystead.storage.approvals import ApprovedUses
from keystead.storage.key_cache import StoredKey
from keystead.storage.use_limits import UseLimits

CERTIFICATE_REQUEST = "certificate request"
"""Replaces the mode for a use that signs a certificate request."""


class Attempt(PolicyUse, frozen=True):
    """A requested use of a key. Its mode is that in the request, or CERTIFICATE_REQUEST."""

    caller: Caller
    key: KeyPath
    use: Use
    approval: ApprovedUses | None = None
    """The uses that were taken from an approval, if the key's policy asks for one."""


class _CountedPermit(Permit, frozen=True):
    """A permit for uses that were taken from the key's limits or from an approval."""

    limits: UseLimits | None
    attempt: Attempt
    taken_at: float
    """As `UseLimits.take` was told."""

    def give_back(self) -> None:
        """Give the uses back to the limits and to the approval."""
        attempt = self.attempt
        if self.limits is not None:
            self.limits.take(-attempt.uses, self.taken_at)
        if attempt.approval is not None:
            attempt.approval.give_back()


class Recorder(Protocol):
    """Gets every decision before a key is used."""

    def permitted(self, attempt: Attempt) -> None:
        """Record a permitted use."""
        ...

    def refused(self, attempt: Attempt, reason: str) -> None:
        """Record a refused use with the rule that refused it."""
        ...

    def not_used(self, attempt: Attempt, reason: str) -> None:
        """Record why nothing came of a permitted use, which does not count."""
        ...


class Gate:
    """Permits uses of keys, or refuses them."""

    def __init__(self, recorder: Recorder, monotonic: Callable[[], float]) -> None:
        """`monotonic` gives seconds, for limits on uses in a time."""
        self._recorder = recorder
        self._monotonic = monotonic

    def permit(self, attempt: Attempt, key: StoredKey) -> tuple[Permit, Mechanism]:
        """Return a permit for `key` and the mechanism that the attempt's mode means for it.

        Raises NotPermitted if the caller may not use the key, ForbiddenByPolicy if the key's policy
        refuses the use, NotAuthenticated if the caller was revoked, InvalidInput if the key's type
        or mechanisms do not have the mode, and WriteRefused if the journal is full.
        """
        try:
            mechanism = _usable(attempt, key)
            policy = key.record.policy
            permit = Permit(key.path) if policy is None else self._permit(policy, attempt, key)
        except KeysteadError as error:
            self._refuse_unused(attempt, error)
            raise
        self._record(attempt, permit)
        return permit, mechanism

    def permit_certificate_request(self, attempt: Attempt, key: StoredKey) -> Permit:
        """Return a permit to sign one certificate request. Raises as `permit` does.

        It is a signature, so an Operator needs a key that it may sign with. An Administrator, who
        may not sign, gets it for every key, as in NetHSM.
        """
        try:
            _require_certifiable(attempt, key)
            permit, policy = Permit(key.path), key.record.policy
            if policy is not None:
                permit = self._permit(policy, _as_signature(attempt, key), key)
        except KeysteadError as error:
            self._refuse_unused(attempt, error)
            raise
        self._record(attempt, permit)
        return permit

    def withdraw(self, attempt: Attempt, permit: Permit, reason: str) -> None:
        """Take back a permit with which the key did not work: the use counts nowhere."""
        permit.give_back()
        self._recorder.not_used(attempt, reason)

    def require_permitted_once_counted(self, attempt: Attempt, key: StoredKey) -> None:
        """Raise as `permit` does, except for what counts uses: limits and approvals."""
        try:
            if attempt.mode == CERTIFICATE_REQUEST:
                _require_certifiable(attempt, key)
                _require_uncounted_rules(_as_signature(attempt, key), key)
            else:
                _usable(attempt, key)
                _require_uncounted_rules(attempt, key)
        except KeysteadError as error:
            self._refuse(attempt, error)
            raise

    def require_still_permitted(self, attempt: Attempt, key: StoredKey) -> None:
        """Raise as `permit` does, for a use that was permitted and counted before."""
        self.require_permitted_once_counted(attempt, key)
        if asks_for_approval(attempt, key) and (not attempt.approval or attempt.approval.is_void):
            error = ForbiddenByPolicy("The approval of this use is void.")
            self._refuse(attempt, error)
            raise error

    def _permit(self, policy: Policy, attempt: Attempt, key: StoredKey) -> Permit:
        """Return a permit, and take the uses from the limits of the key's policy.

        Raises ForbiddenByPolicy if the policy does not allow the use. Uses under `maxUses` have
        been leased before: see `operations.use_permits`.
        """
        if attempt.use is VERIFY and _is_public(attempt, key):
            return Permit(key.path)
        limits, uses, approval = key.limits, attempt.uses, attempt.approval
        approved = 0 if approval is None or approval.is_void else approval.uses
        leased, now = 0, 0.0
        wait: float | None = 0.0
        if limits is not None:
            leased = limits.leased
            if limits.max_per_minute is not None:
                now = self._monotonic()
                wait = limits.minute.wait(uses, limits.max_per_minute, now)
        # By position: Python calls a function with names of arguments in twice the time.
        found = refusal(policy, attempt, leased, wait, approved)
        if found is not None:
            raise _forbidden(found)
        if limits is not None:
            limits.take(uses, now)
        elif approval is None:
            return Permit(key.path)  # Nothing is counted, so nothing can be given back.
        return _CountedPermit(key.path, limits, attempt, now)

    def _record(self, attempt: Attempt, permit: Permit) -> None:
        """Record a permitted use. Nothing is counted if a full journal refuses it."""
        try:
            self._recorder.permitted(attempt)
        except KeysteadError:
            permit.give_back()
            raise

    def _refuse_unused(self, attempt: Attempt, error: KeysteadError) -> None:
        """Record a refusal before the key works, and give back what an approval gave for it."""
        if attempt.approval is not None:
            attempt.approval.give_back()
        self._refuse(attempt, error)

    def _refuse(self, attempt: Attempt, error: KeysteadError) -> None:
        # An unknown mode is not shown, because it may be any input of the client.
        if attempt.mode != CERTIFICATE_REQUEST and not is_mode(attempt.use, attempt.mode):
            attempt = msgspec.structs.replace(attempt, mode="")
        self._recorder.refused(attempt, error.message)


def _usable(attempt: Attempt, key: StoredKey) -> Mechanism:
    caller, record = attempt.caller, key.record
    if caller.standing.is_revoked:
        caller.require_unrevoked()
    if record.tags:
        require_use(caller, record.tags)
    mechanism = mechanism_of(key.algorithm, attempt.use, attempt.mode)
    if mechanism.name not in record.mechanisms:
        raise InvalidInput(f"Key mechanisms do not allow it to {attempt.use.verb}.")
    return mechanism


def _require_certifiable(attempt: Attempt, key: StoredKey) -> None:
    attempt.caller.require_unrevoked()
    if attempt.caller.is_administrator:
        return
    require_use(attempt.caller, key.record.tags)
    signing = {row.name for row in key.algorithm.mechanisms if row.use is SIGN}
    if key.record.mechanisms.isdisjoint(signing):
        raise InvalidInput(f"Key mechanisms do not allow it to {SIGN.verb}.")


def asks_for_approval(attempt: Attempt, key: StoredKey) -> bool:
    """Whether the key's policy asks for an approval of the attempt."""
    policy = key.record.policy
    return policy is not None and policy.needs_approval and not _is_public(attempt, key)


def _is_public(attempt: Attempt, key: StoredKey) -> bool:
    """Whether the use needs no more than the public half, which policies do not protect."""
    return attempt.use is VERIFY and key.has_public_half


def _as_signature(attempt: Attempt, key: StoredKey) -> Attempt:
    """Return the attempt to sign a certificate request, with the mode that it signs in."""
    return msgspec.structs.replace(attempt, mode=certificate_mode(key.algorithm))


def _require_uncounted_rules(attempt: Attempt, key: StoredKey) -> None:
    policy = key.record.policy
    if policy is not None and not _is_public(attempt, key):
        found = refusal(policy, attempt)
        if found is not None:
            raise _forbidden(found)


def _forbidden(found: Refusal) -> ForbiddenByPolicy:
    return ForbiddenByPolicy(found.message, retry_after_seconds=found.retry_after_seconds)
