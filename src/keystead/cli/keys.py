"""`keystead keys`: list, show, move, remove, label, tag, untag, public, csr, cert.

How keys are made is in `key_making`, what they do in `key_uses`, their rules in `policies`.
"""

from argparse import ArgumentParser
from pathlib import Path

from keystead.cli import key_derivation, key_making, key_uses, policies, subjects
from keystead.cli.command import Commands, Invocation, add_yes
from keystead.cli.key_arguments import add_key_id, add_output, key_path
from keystead.cli.parallel import in_parallel
from keystead.cli.screen import Row, write_file
from keystead.client.client import segment

_COLUMNS = {
    "id": "ID",
    "type": "Type",
    "mechanisms": "Mechanisms",
    "operations": "Uses",
    "label": "Label",
    "tags": "Tags",
}


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead keys`."""
    commands = Commands(parser)
    _add_list(commands)
    add_key_id(commands.add("show", _show, "show all that is public of a key"))
    key_making.add_commands(commands)
    _add_changes(commands)
    showing = commands.add("public", _public, "get the public key, PEM")
    add_key_id(showing)
    add_output(showing)
    requesting = commands.add("csr", _csr, "get a certificate signing request, PEM")
    add_key_id(requesting)
    subjects.add_options(requesting)
    add_output(requesting)
    _add_certificates(Commands(commands.add_group("cert", "the certificate beside a key")))
    policies.add_commands(commands)
    key_uses.add_commands(commands)
    key_derivation.add_command(commands)


def _add_list(commands: Commands) -> None:
    listing = commands.add("list", _list, "list the keys")
    listing.add_argument("prefix", nargs="?", default="", help="only IDs that begin so")
    listing.add_argument("--label", help="only keys with this label")
    listing.add_argument("--label-contains", metavar="TEXT", help="only keys whose label has this")
    listing.add_argument("--tag", help="only keys with this tag")
    listing.add_argument("--type", help="only keys of this type")
    listing.add_argument("--usable", action="store_true", help="only keys that this user may use")
    listing.add_argument("-l", "--long", action="store_true", help="types, mechanisms, uses, tags")


def _add_changes(commands: Commands) -> None:
    moving = commands.add("move", _move, "give a key another ID")
    add_key_id(moving)
    moving.add_argument("new_id", metavar="NEW_ID")
    removing = commands.add("remove", _remove, "remove a key for ever")
    add_key_id(removing)
    add_yes(removing)
    labelling = commands.add("label", _label, "label a key, or take its label off")
    add_key_id(labelling)
    labelling.add_argument("label", nargs="?", default="", help="without it, the label goes")
    tagging = commands.add("tag", _tag, "add a tag: only Operators with one of a key's tags use it")
    untagging = commands.add(
        "untag", _untag, "take a tag away: all Operators use a key without tags"
    )
    for parser in (tagging, untagging):
        add_key_id(parser)
        parser.add_argument("tag")


def _add_certificates(commands: Commands) -> None:
    getting = commands.add("get", _get_certificate, "get the certificate")
    add_key_id(getting)
    add_output(getting)
    setting = commands.add("set", _set_certificate, "store a certificate")
    add_key_id(setting)
    setting.add_argument("file", type=Path, metavar="FILE")
    add_key_id(commands.add("remove", _remove_certificate, "remove the certificate"))


def _list(call: Invocation) -> None:
    found = _found(call)
    if not call.given.long:
        call.screen.rows(found, {"id": "ID"})
        return

    def shown(item: Row) -> Row:
        return _flat(item["id"], call.client.key(item["id"]))

    if found and "type" in found[0]:
        rows = [_flat(item["id"], item) for item in found]
    else:
        rows = in_parallel("Keys", shown, found, connections=call.connections)
    call.screen.rows(rows, _COLUMNS)


def _found(call: Invocation) -> list[Row]:
    """Return the keys that are asked for: with details, if they are needed and the HSM has them."""
    given = call.given
    simple = _given(label=given.label, filter="" if given.usable else None)
    more = _given(labelContains=given.label_contains, tag=given.tag, type=given.type)
    if given.long or more:
        return list(call.client.list_keys(given.prefix, **simple, **more))
    path = f"/keys/{segment(given.prefix)}*" if given.prefix else "/keys"
    found: list[Row] = call.client.get(path, simple)
    return found


def _given(**conditions: str | None) -> dict[str, str]:
    return {name: value for name, value in conditions.items() if value is not None}


def _show(call: Invocation) -> None:
    key = call.client.key(call.given.key_id)
    call.screen.record({"id": call.given.key_id, **key})


def _flat(key_id: str, key: Row) -> Row:
    flat = {"id": key_id, **key, "tags": key.get("restrictions", {}).get("tags", [])}
    for name in ("publicPem", "hasCertificate"):  # Only a list with details has them.
        flat.pop(name, None)
    return flat


def _move(call: Invocation) -> None:
    call.client.post(f"{key_path(call)}/move", {"newId": call.given.new_id})
    call.screen.done(f"The key {call.given.key_id} has the ID {call.given.new_id} now.")


def _remove(call: Invocation) -> None:
    call.require_consent(f"Remove the key {call.given.key_id} for ever?")
    call.client.delete(key_path(call))
    call.screen.done(f"The key {call.given.key_id} is removed.")


def _label(call: Invocation) -> None:
    path = f"{key_path(call)}/label"
    if call.given.label:
        call.client.put(path, {"label": call.given.label})
    else:
        call.client.delete(path)
    call.screen.done("The label is changed.")


def _tag(call: Invocation) -> None:
    call.client.put(f"{key_path(call)}/restrictions/tags/{segment(call.given.tag)}")
    call.screen.done(
        f"The key {call.given.key_id} has the tag {call.given.tag}. "
        "Only Operators with one of its tags may use it."
    )


def _untag(call: Invocation) -> None:
    call.client.delete(f"{key_path(call)}/restrictions/tags/{segment(call.given.tag)}")
    call.screen.done(f"The key {call.given.key_id} no longer has the tag {call.given.tag}.")


def _public(call: Invocation) -> None:
    write_file(call.given.output, [call.client.public_pem(call.given.key_id)], is_text=True)


def _csr(call: Invocation) -> None:
    subject = subjects.subject_of(call.given)
    pem = call.client.post_for_bytes(f"{key_path(call)}/csr.pem", subject)
    write_file(call.given.output, [pem], is_text=True)


def _get_certificate(call: Invocation) -> None:
    content = call.client.get_bytes(f"{key_path(call)}/cert")
    write_file(call.given.output, [content], is_text=content.startswith(b"-----BEGIN "))


def _set_certificate(call: Invocation) -> None:
    content = call.given.file.read_bytes()
    call.client.put_bytes(f"{key_path(call)}/cert", content, "application/octet-stream")
    call.screen.done(f"The key {call.given.key_id} has a certificate now.")


def _remove_certificate(call: Invocation) -> None:
    call.client.delete(f"{key_path(call)}/cert")
    call.screen.done(f"The key {call.given.key_id} has no certificate now.")
