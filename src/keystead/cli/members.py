"""`keystead cluster status`, `ca`, `add`, `join`, `promote` and `remove`: a cluster's members."""

import json
import time
from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path
from typing import Final

from keystead.cli import passphrases
from keystead.cli.command import Commands, Invocation, add_yes
from keystead.cli.completion import with_names
from keystead.cli.exit_status import UsageError
from keystead.cli.screen import write_file
from keystead.client.client import Json, segment
from keystead.client.errors import WrongState
from keystead.client.json_text import parse_json

_MEMBERS: Final = "/cluster/members"
_AUTHORITY: Final = "/config/tls/cluster-ca.pem"
_PEM: Final = "application/x-pem-file"
_COLUMNS: Final = {"id": "ID", "name": "HSM", "urls": "URL", "learner": "Learner"}
_JOIN_SECONDS: Final = 900
"""How long a join may take: it is answered once the member is promoted."""
_ASK_AGAIN_SECONDS: Final = 1.0


def add_members(commands: Commands) -> None:
    """Add the commands for the members of a running cluster."""
    commands.add("status", _status, "list the members of the cluster")
    trusting = commands.add("ca", _trust, "set the authority that members know each other by")
    trusting.add_argument("file", type=Path, metavar="PEM", help="its certificate")
    adding = commands.add("add", _add, "declare a new member; its HSM then joins")
    adding.add_argument(
        "url", metavar="https://HOST:PORT", help="where the others will reach the new member"
    )
    adding.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="what its HSM joins with"
    )
    adding.add_argument(
        "--witness",
        action="store_true",
        help="it is an etcd without an HSM: FILE gets nothing that opens a record",
    )
    joining = commands.add("join", _join, "make this HSM the member that another has declared")
    joining.add_argument("file", type=Path, metavar="FILE", help="what 'cluster add' has written")
    joining.set_defaults(timeout=_JOIN_SECONDS)
    passphrases.add_options(joining, "backup")
    promoting = commands.add("promote", _promote, "make a learner a full member")
    promoting.add_argument(
        "--wait",
        type=int,
        default=300,
        metavar="SECONDS",
        help="how long it may take until it has all records (default: 300)",
    )
    removing = commands.add("remove", _remove, "remove a member, which loses its records")
    for parser in (promoting, removing):
        _add_member(parser)
    for parser in (joining, removing):
        add_yes(parser)


def _add_member(parser: ArgumentParser) -> None:
    with_names(parser.add_argument("member", metavar="MEMBER", help="its ID"), _MEMBERS, "id")


def _status(call: Invocation) -> None:
    try:
        members = call.client.get(_MEMBERS)
    except WrongState as error:
        raise WrongState(_failure(call) or error.message, error.status) from error
    call.screen.rows(members, _COLUMNS)


def _failure(call: Invocation) -> str:
    """Return why the HSM is Failed, or nothing if it is in another state."""
    if call.client.state() != "Failed":
        return ""
    return " ".join(log["msg"] for log in call.client.get("/health/diagnose")["clusterLogs"])


def _trust(call: Invocation) -> None:
    call.client.put_bytes(_AUTHORITY, call.given.file.read_bytes(), _PEM)
    call.screen.done("Members of the cluster are known by certificates of this authority.")


def _add(call: Invocation) -> None:
    added = call.client.post(_MEMBERS, {"urls": [call.given.url]})
    (member,) = (one["id"] for one in added["members"] if not one["name"])
    if call.given.witness:
        # With the kit, the disk of the witness would be enough to guess the passphrases.
        del added["joinerKit"]
    write_file(call.given.output, [json.dumps(added, indent=2).encode()])
    if call.given.witness:
        call.screen.done(
            f"The new member is {member}. On its machine, run 'keystead cluster witness configure' "
            f"with {call.given.output}."
        )
        return
    call.screen.done(
        f"The new member is {member}. On its HSM, run 'keystead cluster join "
        f"{call.given.output}', and here, meanwhile, 'keystead cluster promote {member}'."
    )


def _join(call: Invocation) -> None:
    added = _read(call.given.file)
    call.require_consent("Give up all records of this HSM for those of the cluster?")
    members = [{"name": one["name"], "urls": one["urls"]} for one in added["members"]]
    passphrase = passphrases.present(call.given, "backup", "Backup passphrase of the cluster")
    call.client.post(
        "/cluster/join",
        {"members": members, "joinerKit": added["joinerKit"], "backupPassphrase": passphrase},
    )
    call.screen.done(
        "This HSM is a member, and Locked. The unlock passphrase of the HSM that declared it "
        "unlocks it: run 'keystead unlock'."
    )


def _promote(call: Invocation) -> None:
    path = f"{_path(call)}/promote"
    end = time.monotonic() + call.given.wait
    while not _is_promoted(call, path, is_last=time.monotonic() >= end):
        time.sleep(_ASK_AGAIN_SECONDS)
    call.screen.done(f"The member {call.given.member} is a full member now.")


def _is_promoted(call: Invocation, path: str, *, is_last: bool) -> bool:
    """Ask for the promotion. A member that has not all records yet is promoted later."""
    try:
        call.client.post(path)
    except WrongState:
        if is_last or call.client.state() != "Operational":
            raise
        return False
    return True


def _remove(call: Invocation) -> None:
    call.require_consent(
        f"Remove {call.given.member}? Its HSM must be reset before it can be used."
    )
    call.client.delete(_path(call))
    call.screen.done(f"The member {call.given.member} is removed.")


def _path(call: Invocation) -> str:
    return f"{_MEMBERS}/{segment(call.given.member)}"


def _read(path: Path) -> dict[str, Json]:
    """Return what `cluster add` has written. Raises UsageError if it is something else."""
    with suppress(ValueError, AttributeError):
        added: dict[str, Json] = parse_json(path.read_bytes())
        if added.keys() >= {"members", "joinerKit"}:
            return added
    raise UsageError(f"{path} is not what 'keystead cluster add' writes.")
