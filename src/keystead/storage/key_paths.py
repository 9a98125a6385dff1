"""The paths of keys: /key/<id> in the root, /key/.<namespace>/<id> in a namespace."""

from keystead.model.ids import NamespaceId
from keystead.model.keys import KeyPath

ROOT = "/key/"


def folder(namespace: NamespaceId | None) -> str:
    """Return the prefix of the names of a namespace's keys, relative to ROOT."""
    return "" if namespace is None else f".{namespace}/"


def name_of(path: KeyPath) -> str:
    """Return a key's record name, relative to ROOT."""
    return folder(path.namespace) + path.key_id
