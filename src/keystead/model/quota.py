"""The quota of a namespace."""

from typing import Annotated, Final

import msgspec

_Limit = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None


class Quota(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"
):
    """The most of each thing that a namespace may hold. None stands for no limit."""

    keys: _Limit = None
    users: _Limit = None
    key_bytes: _Limit = None
    """The bytes of its keys' records as they are stored: certificates, tags and labels included."""


UNLIMITED: Final = Quota()
