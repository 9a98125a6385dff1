"""`keystead approvals`: list, show, request, approve, refuse."""

from argparse import ArgumentParser

from keystead.cli.command import Commands, Invocation
from keystead.cli.completion import with_names
from keystead.cli.key_arguments import add_key_id

_COLUMNS = {
    "id": "ID",
    "state": "State",
    "key": "Key",
    "namespace": "Namespace",
    "askedBy": "Asked by",
    "reason": "Reason",
    "approvedBy": "Approved by",
    "required": "Needed",
    "usesLeft": "Uses left",
    "endsAt": "Ends",
}


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead approvals`."""
    commands = Commands(parser)
    commands.add("list", _list, "list the approvals that this user may see")
    _add_approval(commands.add("show", _show, "show an approval"))
    asking = commands.add("request", _request, "ask for an approval to use a key")
    add_key_id(asking)
    asking.add_argument("--reason", required=True, help="what the approvers read")
    asking.add_argument("--uses", type=int, metavar="N", help="(default: as many as allowed)")
    _add_approval(commands.add("approve", _approve, "approve a use of a key"))
    _add_approval(commands.add("refuse", _refuse, "refuse a use of a key"))


def _add_approval(parser: ArgumentParser) -> None:
    with_names(parser.add_argument("approval", metavar="APPROVAL"), "/approvals", "id")


def _list(call: Invocation) -> None:
    call.screen.rows(call.client.approvals(), _COLUMNS)


def _show(call: Invocation) -> None:
    call.screen.record(call.client.approval(call.given.approval))


def _request(call: Invocation) -> None:
    given = call.given
    approval = call.client.request_approval(given.key_id, given.reason, uses=given.uses)
    call.screen.record({"id": approval})


def _approve(call: Invocation) -> None:
    call.client.approve(call.given.approval)
    call.screen.done(f"You have approved {call.given.approval}.")


def _refuse(call: Invocation) -> None:
    call.client.refuse(call.given.approval)
    call.screen.done(f"You have refused {call.given.approval}.")
