"""ML-DSA (FIPS 204): signatures that a quantum computer does not forge; one row a parameter set."""

import msgspec
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PrivateKey,
    MLDSA65PrivateKey,
    MLDSA87PrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from keystead.algorithms._algorithm import (
    CertificateSigner,
    PrivateParts,
    RawKey,
    holds,
    require_data,
    signature_rows,
)
from keystead.algorithms._uses import CONTEXT
from keystead.errors import InvalidInput

SEED_BYTES = 32
MU_BYTES = 64
MAX_CONTEXT_BYTES = 255


class MlDsaKey(RawKey[MLDSA44PrivateKey | MLDSA65PrivateKey | MLDSA87PrivateKey]):
    """A key of one of the parameter sets of this module."""

    works_slowly = True

    def certificate_signer(self) -> CertificateSigner:
        """Sign without a digest (RFC 9881, 3)."""
        return CertificateSigner(self._key, None)

    def sign(self, message: bytes, context: bytes = b"") -> bytes:
        """Sign the message itself, of any length: "pure" and hedged (FIPS 204, 5.2)."""
        _require_context(context)
        return self._key.sign(message, context)

    def verify(self, message: bytes, signature: bytes, context: bytes = b"") -> bool:
        """Return whether `signature` is one of this message in this context by this key."""
        _require_context(context)
        return holds(self._key.public_key().verify, signature, message, context)

    def sign_mu(self, mu: bytes) -> bytes:
        """Sign a message by its representative, which the caller has made (FIPS 204, 6.2)."""
        _require_mu(mu)
        return self._key.sign_mu(mu)

    def verify_mu(self, mu: bytes, signature: bytes) -> bool:
        """Return whether `signature` is one of the message that `mu` represents."""
        _require_mu(mu)
        return holds(self._key.public_key().verify_mu, signature, mu)


class ParameterSet(msgspec.Struct, frozen=True):
    """A parameter set, by the library's class of its keys."""

    name: str
    kind: type[MLDSA44PrivateKey | MLDSA65PrivateKey | MLDSA87PrivateKey]

    mechanisms = (
        *signature_rows(
            "ML_DSA_Signature",
            "ML_DSA",
            sign=MlDsaKey.sign,
            verify=MlDsaKey.verify,
            options=(CONTEXT,),
        ),
        *signature_rows(
            "ML_DSA_Signature", "ML_DSA_MU", sign=MlDsaKey.sign_mu, verify=MlDsaKey.verify_mu
        ),
    )
    generates_slowly = True  # A new key is tested, with a signature.
    stores_public = True

    def generate(self, length: int | None) -> MlDsaKey:  # noqa: ARG002  the set says the length
        """Make a new key."""
        return MlDsaKey(self, self.kind.generate())

    def from_parts(self, parts: PrivateParts) -> MlDsaKey:
        """Make a key of its seed (xi in FIPS 204); every seed is one."""
        return MlDsaKey(self, self.kind.from_seed_bytes(require_data(self, parts, SEED_BYTES)))

    def adopt(self, parsed: PrivateKeyTypes) -> MlDsaKey | None:
        """Wrap a parsed key if it is of this parameter set."""
        return MlDsaKey(self, parsed) if isinstance(parsed, self.kind) else None


ML_DSA_44 = ParameterSet("ML_DSA_44", MLDSA44PrivateKey)
ML_DSA_65 = ParameterSet("ML_DSA_65", MLDSA65PrivateKey)
ML_DSA_87 = ParameterSet("ML_DSA_87", MLDSA87PrivateKey)


def _require_context(context: bytes) -> None:
    if len(context) > MAX_CONTEXT_BYTES:
        raise InvalidInput(
            f"The context of ML_DSA has up to {MAX_CONTEXT_BYTES} bytes, not {len(context)}."
        )


def _require_mu(mu: bytes) -> None:
    if len(mu) != MU_BYTES:
        raise InvalidInput(f"ML_DSA_MU signs a mu of {MU_BYTES} bytes, not {len(mu)}.")
