"""Attestations: what the HSM signs about a key, for people who do not see the HSM."""

from typing import Literal

import msgspec

from keystead import __version__
from keystead.errors import InvalidInput
from keystead.model import policy
from keystead.model.ids import KeyId
from keystead.model.keys import Origin
from keystead.model.policy import Policy
from keystead.model.timestamps import format_timestamp
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_keys import find
from keystead.storage.key_cache import StoredKey

PRODUCT = "Keystead"


class SoftwareFacts(msgspec.Struct, frozen=True):
    """The device and the software that speak."""

    device_id: str
    software_digest: str | None
    """The SHA-256 over the installed files, if the process that runs the HSM knows it."""


class Attestation(msgspec.Struct, frozen=True, rename="camel"):
    """What the JWS of an attestation says."""

    key_id: str
    namespace: str | None
    type: str
    public_key: str | None
    """SubjectPublicKeyInfo in PEM. None for keys without a public half."""
    origin: Origin
    created: str | None
    """None for keys that were there before their origin was recorded."""
    mechanisms: list[str]
    policy_digest: str | None
    """The SHA-256 of the policy's canonical JSON in hexadecimal digits. None without a policy."""
    device_id: str
    version: str
    software_digest: str | None
    nonce: str
    """As it was sent."""
    time: str
    exportable: Literal[False] = False
    product: str = PRODUCT


async def attestation(
    context: CallerContext, key_id: KeyId, *, nonce: str, software: SoftwareFacts
) -> Attestation:
    """Return the facts about a key that are attested. Raises NotFound if there is no such key."""
    key = await find(context, key_id)
    record = key.record
    return Attestation(
        key_id=key_id,
        namespace=context.caller.namespace,
        type=key.algorithm.name,
        public_key=_public_pem(key),
        origin=record.origin,
        created=None if record.created is None else format_timestamp(record.created),
        mechanisms=sorted(record.mechanisms),
        policy_digest=_digest(record.policy),
        device_id=software.device_id,
        version=__version__,
        software_digest=software.software_digest,
        nonce=nonce,
        time=format_timestamp(context.now()),
    )


def _public_pem(key: StoredKey) -> str | None:
    try:
        return key.public_half(None).public_pem().decode()
    except InvalidInput:  # A Generic key has none.
        return None


def _digest(of: Policy | None) -> str | None:
    return None if of is None else policy.digest(of).hex()
