"""Identifiers. They are parsed once at the API boundary and are valid after that."""

import re
from functools import lru_cache
from typing import NewType, Self

import msgspec

from keystead.errors import InvalidInput

MAX_ID_LENGTH = 128
MAX_USER_ID_LENGTH = 2 * MAX_ID_LENGTH + 1
"""A namespace, `~` and a name: NetHSM's description says 128 for them all, its code for each."""
MAX_TAGS = 1000
MAX_LABEL_BYTES = 32
NAMESPACE_SEPARATOR = "~"
RESERVED_KEY_IDS = frozenset({"generate"})
"""Words that the API uses in place of a key ID. A restored key may have one as its ID."""
RECENT_KEY_IDS = 4096
"""The number of valid key IDs that are remembered. The same keys are used again and again."""

KeyId = NewType("KeyId", str)
NamespaceId = NewType("NamespaceId", str)
MemberId = NewType("MemberId", str)
Tag = NewType("Tag", str)
Label = NewType("Label", str)

_is_id = re.compile(rf"[a-zA-Z0-9][a-zA-Z0-9_.-]{{0,{MAX_ID_LENGTH - 1}}}", re.ASCII).fullmatch


def _check_id(text: str) -> str:
    if _is_id(text):
        return text
    if not text:
        raise InvalidInput("ID cannot be shorter than 1 character.")
    if len(text) > MAX_ID_LENGTH:
        raise InvalidInput(f"ID cannot be longer than {MAX_ID_LENGTH} characters.")
    raise InvalidInput(
        "ID may only contain letters, digits and '_', '-', '.', "
        "and must begin with a letter or digit."
    )


@lru_cache(maxsize=RECENT_KEY_IDS)
def parse_key_id(text: str) -> KeyId:
    """Return `text` as a key ID: 1 to 128 of `a-z A-Z 0-9 _ - .`, first one alphanumeric."""
    return KeyId(_check_id(text))


def parse_new_key_id(text: str) -> KeyId:
    """Return `text` as the ID of a new key. Raises InvalidInput for RESERVED_KEY_IDS."""
    key_id = parse_key_id(text)
    if key_id in RESERVED_KEY_IDS:
        raise InvalidInput(f"No new key can have the ID {key_id}: the API has a path of this name.")
    return key_id


def parse_namespace_id(text: str) -> NamespaceId:
    """Return `text` as a namespace ID. It has the form of a key ID."""
    return NamespaceId(_check_id(text))


def parse_member_id(text: str) -> MemberId:
    """Return `text` as the ID of a cluster member. It has the form of a key ID."""
    return MemberId(_check_id(text))


def parse_tag(text: str) -> Tag:
    """Return `text` as a tag. It has the form of a key ID."""
    return Tag(_check_id(text))


def with_tag(tags: frozenset[Tag], tag: Tag) -> frozenset[Tag]:
    """Return the tags with one more. Raises InvalidInput if there are more than MAX_TAGS."""
    if tag not in tags and len(tags) >= MAX_TAGS:
        raise InvalidInput(f"There cannot be more than {MAX_TAGS} tags.")
    return tags | {tag}


def parse_label(text: str) -> Label:
    """Return `text` as a key label: at most 32 bytes of UTF-8. An empty text means no label."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("The label is not valid UTF-8.") from error
    if len(encoded) > MAX_LABEL_BYTES:
        raise InvalidInput(f"The label cannot be longer than {MAX_LABEL_BYTES} bytes.")
    return Label(text)


class UserId(msgspec.Struct, frozen=True, order=True):
    """A user's full name: `name` in the root namespace, `namespace~name` elsewhere."""

    namespace: NamespaceId | None
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name` or `namespace~name`. Raises InvalidInput unless each part is a valid ID."""
        namespace, separator, name = text.rpartition(NAMESPACE_SEPARATOR)
        if not separator:
            return cls(None, _check_id(text))
        return cls(parse_namespace_id(namespace), _check_id(name))

    def __str__(self) -> str:
        if self.namespace is None:
            return self.name
        return f"{self.namespace}{NAMESPACE_SEPARATOR}{self.name}"
