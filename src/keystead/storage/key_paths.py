"""Where keys lie: /key/<id> in the root namespace, /key/.<namespace>/<id> in another."""

from keystead.model.ids import NamespaceId
from keystead.model.keys import KeyPath

ROOT = "/key/"


def folder(namespace: NamespaceId | None) -> str:
    """Return what a namespace's key names begin with, relative to ROOT."""
    return "" if namespace is None else f".{namespace}/"


def name_of(path: KeyPath) -> str:
    """Return a key's record name, relative to ROOT."""
    return folder(path.namespace) + path.key_id
