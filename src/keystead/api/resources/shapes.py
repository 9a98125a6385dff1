"""JSON shapes that more than one endpoint shares."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from keystead import algorithms
from keystead.api.http.encoding import decode_base64
from keystead.api.http.route import API_ROOT, Content, Created, Reply
from keystead.certificates.csr import SubjectName
from keystead.errors import InvalidInput
from keystead.model.ids import MAX_TAGS, KeyId, parse_label, parse_tag
from keystead.operations.manage_keys import KeyAttributes

KeyTypeName = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(algorithms.BY_NAME)})]
MechanismName = Annotated[
    str, msgspec.Meta(extra_json_schema={"enum": list(algorithms.MECHANISMS)})
]
_MECHANISMS: Final = frozenset(algorithms.MECHANISMS)

Length = Annotated[
    int,
    msgspec.Meta(ge=-(2**62), le=2**62 - 1, extra_json_schema={"minimum": 128, "maximum": 8192}),
]
"""The bits of a new key. As in NetHSM, 0 stands for none, and types of one length ignore it."""


_KEYS = f"{API_ROOT}/keys/"

LIST_STEP = 1000
"""IDs that are listed in one go, in less than a millisecond."""

MAX_NAMES = 1000
"""In a certificate signing request; certificate authorities take about a hundred."""

MIN_NONCE_BYTES: Final = 8


class ErrorMessage(msgspec.Struct):
    """What every refusal carries."""

    message: str


class Item(msgspec.Struct):
    """What is listed or was made, by its ID."""

    id: str


class Restrictions(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What limits the use of a key: the tags of which an Operator needs one."""

    tags: Annotated[list[str], msgspec.Meta(max_length=MAX_TAGS)] = []


class KeyAttributesRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What a new key is stored with; also the `arguments` part of a PEM import."""

    mechanisms: list[MechanismName]
    restrictions: Restrictions = msgspec.field(default_factory=Restrictions)
    label: str = ""

    def attributes(self) -> KeyAttributes:
        """Return the attributes. Raises InvalidInput if one is malformed or unknown."""
        mechanisms = frozenset(self.mechanisms)
        if not mechanisms <= _MECHANISMS:
            raise InvalidInput("Unknown key mechanism.")
        return KeyAttributes(
            mechanisms=mechanisms,
            tags=frozenset(map(parse_tag, self.restrictions.tags)),
            label=parse_label(self.label),
        )


class DistinguishedName(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What a certificate signing request says of its subject."""

    common_name: str
    country_name: str = ""
    state_or_province_name: str = ""
    locality_name: str = ""
    organization_name: str = ""
    organizational_unit_name: str = ""
    email_address: str = ""
    subject_alt_names: Annotated[list[str], msgspec.Meta(max_length=MAX_NAMES)] | None = None

    def subject(self) -> SubjectName:
        """Return the requested subject, in the type that `certificates` takes."""
        names = self.subject_alt_names
        return SubjectName(
            common_name=self.common_name,
            country=self.country_name,
            state=self.state_or_province_name,
            locality=self.locality_name,
            organization=self.organization_name,
            organizational_unit=self.organizational_unit_name,
            email=self.email_address,
            subject_alt_names=None if names is None else tuple(names),
        )


def json_reply(content: Content) -> Reply[Content]:
    """Return a 200 with `content` as JSON."""
    return Reply(200, msgspec.json.encode(content))


def created(key_id: KeyId) -> Created[Item]:
    """Return a 201 with the ID and the place of a new key."""
    return Reply(201, msgspec.json.encode(Item(key_id)), [("Location", _KEYS + key_id)])


async def id_list(name: str, ids: Sequence[object]) -> bytes:
    """Return `[{name: id}, …]` as JSON, in steps between which the event loop serves others."""
    steps = []
    for start in range(0, len(ids), LIST_STEP):
        some = [{name: str(one)} for one in ids[start : start + LIST_STEP]]
        steps.append(msgspec.json.encode(some)[1:-1])
        if len(some) == LIST_STEP:
            await asyncio.sleep(0)
    return b"[%b]" % b",".join(steps)


def decode_nonce(text: str, *, most: int) -> bytes:
    """Return the nonce of a request for an attestation, which is in base64.

    Raises InvalidInput unless it has MIN_NONCE_BYTES to `most` bytes.
    """
    nonce = decode_base64(text, name="nonce")
    if not MIN_NONCE_BYTES <= len(nonce) <= most:
        raise InvalidInput(f"nonce must have {MIN_NONCE_BYTES} to {most} bytes.")
    return nonce
