"""`keystead users`: list, add, show, remove, passphrase, tag, untag."""

from argparse import ArgumentParser

from keystead.cli import passphrases
from keystead.cli.command import Commands, Invocation, add_yes
from keystead.cli.completion import with_names
from keystead.client.client import segment


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead users`."""
    commands = Commands(parser)
    commands.add("list", _list, "list the users")
    adding = commands.add("add", _add, "add a user")
    adding.add_argument(
        "user_id", nargs="?", metavar="USER", help="NAME or NAMESPACE~NAME (default: made up)"
    )
    adding.add_argument(
        "--role", required=True, help="Administrator, Operator, Metrics, Backup or Auditor"
    )
    adding.add_argument("--real-name", default="", help="for people (default: the user's ID)")
    passphrases.add_options(adding, "new")
    add_user_id(commands.add("show", _show, "show a user"))
    removing = commands.add("remove", _remove, "remove a user")
    add_user_id(removing)
    add_yes(removing)
    changing = commands.add("passphrase", _passphrase, "set a user's passphrase")
    add_user_id(changing)
    passphrases.add_options(changing, "new")
    for name, run, summary in (
        ("tag", _tag, "give an Operator a tag, which lets it use keys with this tag"),
        ("untag", _untag, "take a tag from an Operator"),
    ):
        tagging = commands.add(name, run, summary)
        add_user_id(tagging)
        tagging.add_argument("tag")


def add_user_id(parser: ArgumentParser) -> None:
    """Give `parser` the argument that names a user; TAB completes it."""
    with_names(parser.add_argument("user_id", metavar="USER"), "/users", "user")


def _list(call: Invocation) -> None:
    call.screen.rows(call.client.get("/users"), {"user": "User"})


def _add(call: Invocation) -> None:
    given = call.given
    hsm = call.client
    content = {
        "realName": given.real_name or given.user_id or given.role,
        "role": given.role,
        "passphrase": passphrases.new(given, "new", "Passphrase of the new user"),
    }
    if given.user_id:
        hsm.put(f"/users/{segment(given.user_id)}", content)
        call.screen.done(f"The user {given.user_id} is added.")
    else:
        call.screen.record(hsm.post("/users", content))


def _show(call: Invocation) -> None:
    path = _path(call)
    user = {"user": call.given.user_id, **call.client.get(path)}
    if user.get("role") == "Operator":
        user["tags"] = call.client.get(f"{path}/tags")
    call.screen.record(user)


def _remove(call: Invocation) -> None:
    call.require_consent(f"Remove the user {call.given.user_id}?")
    call.client.delete(_path(call))
    call.screen.done(f"The user {call.given.user_id} is removed.")


def _passphrase(call: Invocation) -> None:
    hsm = call.client
    new = passphrases.new(call.given, "new", f"New passphrase of {call.given.user_id}")
    hsm.post(f"{_path(call)}/passphrase", {"passphrase": new})
    call.screen.done("The passphrase is changed.")


def _tag(call: Invocation) -> None:
    call.client.put(f"{_path(call)}/tags/{segment(call.given.tag)}")
    call.screen.done(f"The user {call.given.user_id} has the tag {call.given.tag}.")


def _untag(call: Invocation) -> None:
    call.client.delete(f"{_path(call)}/tags/{segment(call.given.tag)}")
    call.screen.done(f"The user {call.given.user_id} no longer has the tag {call.given.tag}.")


def _path(call: Invocation) -> str:
    return f"/users/{segment(call.given.user_id)}"
