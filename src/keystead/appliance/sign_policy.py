"""Signs the policy of an image: what a TPM measures of it, for secrets up to its version."""

import base64

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keystead.client.measurements import BANK, published_registers
from keystead.errors import InvalidInput
from keystead.platform.image_policy import (
    MAX_SECURITY_VERSION,
    SIGNATURE_BYTES,
    ImagePolicy,
    pcr_policy,
    policy_reference,
)
from keystead.platform.pcrs import PcrSelection


def sign_policy(contents: bytes, key_pem: bytes, *, security_version: int) -> bytes:
    """Return the policy file of the image that `contents` (contents.json) describes.

    `key_pem` is a private key on P-256. The image opens secrets of its own `security_version` and
    of all earlier ones. Raises InvalidInput if the version is out of range, the key is not on
    P-256, or `contents` has no registers.
    """
    if not 0 <= security_version <= MAX_SECURITY_VERSION:
        raise InvalidInput(f"The security version must be 0 to {MAX_SECURITY_VERSION}.")
    key = _key(key_pem)
    values = published_registers(contents)
    pcrs = PcrSelection(BANK, tuple(sorted(values)))
    approved = pcr_policy(pcrs, values)
    signatures = {
        version: _signature(key, approved + policy_reference(version))
        for version in range(security_version + 1)
    }
    return msgspec.json.encode(ImagePolicy(str(pcrs), signatures)) + b"\n"


def _signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> str:
    half = SIGNATURE_BYTES // 2
    # Two builds of one image are to have the same policy (RFC 6979).
    method = ec.ECDSA(SHA256(), deterministic_signing=True)
    numbers = decode_dss_signature(key.sign(message, method))
    return base64.b64encode(b"".join(number.to_bytes(half) for number in numbers)).decode()


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, None)
    except (TypeError, ValueError):
        raise InvalidInput("The policy key is not a private key in PEM.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidInput("The policy key is not one on P-256, which every TPM verifies.")
    return key
