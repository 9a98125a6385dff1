"""The signed policy of an image, as a TPM checks it (TPM2_PolicyAuthorize)."""

import hashlib
from struct import pack
from typing import Final

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2B_PUBLIC,
    TPMA_OBJECT,
    TPML_PCR_SELECTION,
    TPMT_SIGNATURE,
    TSS2_Exception,
)

from keystead.platform.image_policy import ImageKey, ImagePolicy, policy_reference
from keystead.platform.tpm_failed import TpmFailed

_POLICY_AUTHORIZE: Final = (0x16A).to_bytes(4)
"""TPM_CC_PolicyAuthorize."""
_ECDSA_SHA256: Final = pack(">HH", 0x0018, 0x000B)
_NUMBER_BYTES: Final = 32


def authorized(image: ImageKey) -> bytes:
    """Return the digest of a policy that each signed image satisfies."""
    start = bytes(hashlib.sha256().digest_size)
    name = bytes(_public(image).get_name())
    signed = hashlib.sha256(start + _POLICY_AUTHORIZE + name).digest()
    return hashlib.sha256(signed + policy_reference(image.security_version)).digest()


def authorize(esys: ESAPI, session: ESYS_TR, image: ImageKey, policy: ImagePolicy | None) -> None:
    """Have the TPM note in `session` that the running image is signed.

    Raises TpmFailed if there is no policy, if it is for an older version, or if another image was
    booted.
    """
    if policy is None:
        raise TpmFailed("it opens with the signed policy of an image, and none is configured.")
    signature = policy.signature(image.security_version)
    if signature is None:
        raise TpmFailed(
            f"the image that runs has security version {policy.security_version} and is too old: "
            f"the key was sealed by one of version {image.security_version}."
        )
    esys.policy_pcr(session, None, TPML_PCR_SELECTION.parse(policy.pcrs))
    approved = bytes(esys.policy_get_digest(session))
    reference = policy_reference(image.security_version)
    digest = hashlib.sha256(approved + reference).digest()
    # The TPM signs its word that the signature is good, for which the key needs a hierarchy.
    key = esys.load_external(_public(image), hierarchy=ESYS_TR.OWNER)
    try:
        ticket = esys.verify_signature(key, digest, _signature(signature))
    except TSS2_Exception as error:
        raise TpmFailed(
            f"what was booted is not the image that the policy was signed for: of the PCRs "
            f"{policy.pcrs}, at least one is another."
        ) from error
    finally:
        esys.flush_context(key)
    esys.policy_authorize(session, approved, _public(image).get_name(), ticket, reference)


def _public(image: ImageKey) -> TPM2B_PUBLIC:
    try:
        return TPM2B_PUBLIC.from_pem(
            image.public_pem, objectAttributes=TPMA_OBJECT.SIGN_ENCRYPT | TPMA_OBJECT.USERWITHAUTH
        )
    except ValueError as error:
        raise TpmFailed("the key of the image policies is not a public key in PEM.") from error


def _signature(numbers: bytes) -> TPMT_SIGNATURE:
    halves = (numbers[:_NUMBER_BYTES], numbers[_NUMBER_BYTES:])
    marshalled = _ECDSA_SHA256 + b"".join(pack(">H", len(half)) + half for half in halves)
    signature, _ = TPMT_SIGNATURE.unmarshal(marshalled)
    return signature
