"""Requests that may change something, as the journal records them."""

from collections.abc import Mapping
from typing import Any, Final

from keystead.api.http.route import Call, Reply
from keystead.journal.audit.entries import JournalEntry, rfc3339
from keystead.journal.log import REQUEST
from keystead.model.users import Caller, Role
from keystead.operations.audit_actions import Action
from keystead.storage.journaled import record_for

_CREATED: Final = 201


def begin_action(call: Call[Any]) -> None:
    """Have the commits of the request recorded. Raises WriteRefused if the journal is full."""
    row, audit = call.route, call.hsm.audit
    if not row.works_with_full_journal:
        audit.require_room()
    caller = call.authenticated
    key, target = _named(row.path, call.parameters) if "{" in row.path else ("", "")
    entry = JournalEntry(
        rfc3339(call.hsm.time.now()),
        f"{row.method} {row.path}",
        "" if caller is None else str(caller.user_id),
        call.request.client,
        namespace=_namespace(caller) if key else "",
        key=key,
        target=target,
        request=REQUEST.get() or 0,
    )
    is_needed = audit.settings.when_full == "refuse" and not row.works_with_full_journal
    call.action = Action(audit, entry, is_needed=is_needed, is_use=Role.OPERATOR in row.roles)
    record_for(call.action)


def _named(path: str, parameters: Mapping[str, str]) -> tuple[str, str]:
    """Return the ID of the key in the path of a request, and what else is named there."""
    # The router also gives parameters of rows for other methods on the same path.
    named = {name: text for name, text in parameters.items() if f"{{{name}}}" in path}
    key = named.pop("key_id", "")
    return key, " ".join(named.values())


async def end_action(call: Call[Any], action: Action, reply: Reply[Any]) -> None:
    """Record the outcome. It is durable after this, as far as the store can write."""
    record_for(None)
    if reply.status == _CREATED:
        _name_made(call, action.entry, reply)
    await call.hsm.audit.finish(action, reply.status)


def name_target(call: Call[Any], target: str) -> None:
    """Have the entry of the request name what its path does not."""
    if call.action is not None:
        call.action.entry.target = target


def _name_made(call: Call[Any], entry: JournalEntry, reply: Reply[Any]) -> None:
    location = next((value for name, value in reply.headers if name == "Location"), "")
    place, _, made = location.rpartition("/")
    if place.endswith("/keys") and not entry.key:
        entry.key, entry.namespace = made, _namespace(call.authenticated)
    else:
        entry.target = entry.target or made


def _namespace(caller: Caller | None) -> str:
    return "" if caller is None else caller.namespace or ""
