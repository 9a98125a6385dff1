"""The paths of keys: /key/<id> in the root, /key/.<namespace>/<id> in a namespace."""

from keystead.errors import InvalidInput
from keystead.model.ids import NamespaceId, parse_key_id, parse_namespace_id
from keystead.model.keys import KeyPath
from keystead.storage.sealed_records import AFTER_LAST_ID, FIRST_ID

ROOT = "/key/"


def folder(namespace: NamespaceId | None) -> str:
    """Return the prefix of the names of a namespace's keys, relative to ROOT."""
    return "" if namespace is None else f".{namespace}/"


def name_of(path: KeyPath) -> str:
    """Return a key's record name, relative to ROOT."""
    return folder(path.namespace) + path.key_id


def parse(name: str) -> KeyPath:
    """Return the path of a key with this record name, relative to ROOT.

    Raises InvalidInput if the ID of the key or namespace is not valid.
    """
    if not name.startswith("."):
        return KeyPath(None, parse_key_id(name))
    namespace, _, key_id = name[1:].partition("/")
    return KeyPath(parse_namespace_id(namespace), parse_key_id(key_id))


def limits(prefix: str) -> tuple[str, str] | None:
    """Return the range of key IDs that begin with `prefix`.

    Returns None if no ID can begin so: the range must not reach into other paths.
    """
    if not prefix:
        return FIRST_ID, AFTER_LAST_ID
    try:
        _ = parse_key_id(prefix)
    except InvalidInput:
        return None
    return prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)
