"""`keystead keys policy`: show, set, remove."""

from pathlib import Path

from keystead.cli.command import Commands, Invocation
from keystead.cli.exit_status import UsageError
from keystead.cli.key_arguments import add_key_id, read_input
from keystead.client.json_text import parse_json


def add_commands(commands: Commands) -> None:
    """Add the commands below `keystead keys policy`."""
    below = Commands(commands.add_group("policy", "the rules that each use of a key must satisfy"))
    add_key_id(below.add("show", _show, "show the policy of a key"))
    setting = below.add("set", _set, "set the policy of a key")
    add_key_id(setting)
    setting.add_argument("file", type=Path, metavar="FILE", help="the policy, JSON; - is stdin")
    add_key_id(below.add("remove", _remove, "remove the policy of a key"))


def _show(call: Invocation) -> None:
    call.screen.record(call.client.policy(call.given.key_id))


def _set(call: Invocation) -> None:
    try:
        policy = parse_json(read_input(call.given.file))
    except ValueError as error:
        raise UsageError(f"{call.given.file} is not JSON: {error}.") from None
    call.client.set_policy(call.given.key_id, policy)
    call.screen.done(f"The key {call.given.key_id} has this policy now.")


def _remove(call: Invocation) -> None:
    call.client.remove_policy(call.given.key_id)
    call.screen.done(f"The key {call.given.key_id} has no policy now.")
