"""How much a namespace may hold."""

from typing import Annotated, Final

import msgspec

_Limit = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None


class Quota(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"
):
    """The most that a namespace may hold of each; without a number there is no limit."""

    keys: _Limit = None
    users: _Limit = None
    key_bytes: _Limit = None
    """The bytes of its keys' records as they are stored: certificates, tags and labels included."""


UNLIMITED: Final = Quota()
