"""The policy of an image: which values a TPM's registers have where the image runs.

Who builds images signs the policy of each, once for each security version whose secrets the image
may open. A secret that is sealed under the builder's key and a security version is then released
to every such image, to later ones too, and to no image that is too old to have the signature.
Source: TPM 2.0 Library, part 3, TPM2_PolicyPCR and TPM2_PolicyAuthorize.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from struct import pack
from typing import Annotated, Final

import msgspec

from keystead.errors import InvalidInput
from keystead.platform.pcrs import PcrSelection

MAX_SECURITY_VERSION: Final = 1000
SIGNATURE_BYTES: Final = 64
"""The numbers r and s of an ECDSA signature with P-256, 32 bytes each."""

_POLICY_PCR: Final = (0x17F).to_bytes(4)
_BANKS: Final = {"sha256": 0x000B, "sha384": 0x000C, "sha512": 0x000D}
_SELECT_BYTES: Final = 3
_PURPOSE: Final = b"keystead"

SecurityVersion = Annotated[int, msgspec.Meta(ge=0, le=MAX_SECURITY_VERSION)]


class ImageKey(msgspec.Struct, frozen=True, array_like=True):
    """Whose images open a secret, and from which security version on."""

    public_pem: bytes
    security_version: SecurityVersion


class ImagePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signatures of one image, as the file has them (JSON)."""

    pcrs: str
    """The registers, in the form of `PcrSelection`."""
    signatures: dict[SecurityVersion, str]
    """In base64, by the security version of the secrets."""

    @classmethod
    def parse(cls, content: bytes) -> "ImagePolicy":
        """Return what is in a file.

        Raises InvalidInput if that is no policy, or has no registers or signatures.
        """
        try:
            policy = msgspec.json.decode(content, type=cls)
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"This is not a policy of an image: {error}") from None
        if not PcrSelection.parse(policy.pcrs).registers or not policy.signatures:
            raise InvalidInput("This policy of an image has no registers or no signatures.")
        for version in policy.signatures:
            policy.signature(version)
        return policy

    @property
    def security_version(self) -> int:
        """The security version of the image itself."""
        return max(self.signatures)

    def signature(self, security_version: int) -> bytes | None:
        """Return r and s, or None if the image may not open secrets of this version."""
        text = self.signatures.get(security_version)
        if text is None:
            return None
        try:
            found = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            found = b""
        if len(found) != SIGNATURE_BYTES:
            raise InvalidInput("A signature in the policy of the image is not 64 bytes in base64.")
        return found


def policy_reference(security_version: int) -> bytes:
    """Return what is signed together with a policy, as TPM2_PolicyAuthorize names it."""
    return _PURPOSE + security_version.to_bytes(8)


def pcr_policy(pcrs: PcrSelection, values: Mapping[int, bytes]) -> bytes:
    """Return the digest of a policy that holds while the registers have these values."""
    bits = sum(1 << register for register in pcrs.registers).to_bytes(_SELECT_BYTES, "little")
    selection = pack(">IHB", 1, _BANKS[pcrs.bank], _SELECT_BYTES) + bits
    digest = hashlib.sha256(b"".join(values[register] for register in pcrs.registers)).digest()
    start = bytes(hashlib.sha256().digest_size)
    return hashlib.sha256(start + _POLICY_PCR + selection + digest).digest()
