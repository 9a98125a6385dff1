"""`keystead namespaces`: list, add, remove, quota."""

from argparse import ArgumentParser

from keystead.cli.command import Commands, Invocation, add_yes
from keystead.cli.completion import with_names
from keystead.cli.screen import say
from keystead.client.client import segment


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead namespaces`."""
    commands = Commands(parser)
    commands.add("list", _list, "list the namespaces")
    adding = commands.add("add", _add, "add a namespace")
    adding.epilog = (
        "Add its first Administrator, NAMESPACE~NAME, before: only users of a namespace manage it."
    )
    adding.add_argument("namespace", metavar="NAMESPACE")
    removing = commands.add("remove", _remove, "remove a namespace and its keys")
    _add_namespace(removing)
    add_yes(removing)
    limiting = commands.add("quota", _quota, "show or set what a namespace may hold")
    _add_namespace(limiting)
    for option, what in (("keys", "keys"), ("users", "users"), ("key-bytes", "bytes of its keys")):
        limiting.add_argument(f"--{option}", type=int, metavar="N", help=f"at most N {what}")
    limiting.add_argument("--no-limits", action="store_true", help="take all limits away")


def _add_namespace(parser: ArgumentParser) -> None:
    with_names(parser.add_argument("namespace", metavar="NAMESPACE"), "/namespaces", "id")


def _list(call: Invocation) -> None:
    call.screen.rows(call.client.get("/namespaces"), {"id": "Namespace"})


def _add(call: Invocation) -> None:
    name: str = call.given.namespace
    users = [user["user"] for user in call.client.get("/users")]
    call.client.put(_path(call))
    call.screen.done(f"The namespace {name} is added.")
    if not any(user.startswith(f"{name}~") for user in users):
        say(
            "It has no users, and only its own Administrators add some. Remove it, add "
            f"{name}~NAME with the role Administrator, and add the namespace again."
        )


def _remove(call: Invocation) -> None:
    call.require_consent(f"Remove the namespace {call.given.namespace} and all its keys for ever?")
    call.client.delete(_path(call))
    call.screen.done(f"The namespace {call.given.namespace} and its keys are removed.")


def _quota(call: Invocation) -> None:
    given, path = call.given, f"{_path(call)}/quota"
    wanted = {"keys": given.keys, "users": given.users, "keyBytes": given.key_bytes}
    limits = {name: number for name, number in wanted.items() if number is not None}
    if limits or given.no_limits:
        call.client.put(path, limits if given.no_limits else {**call.client.get(path), **limits})
    call.screen.record(call.client.get(path))


def _path(call: Invocation) -> str:
    return f"/namespaces/{segment(call.given.namespace)}"
