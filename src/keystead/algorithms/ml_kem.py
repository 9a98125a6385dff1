"""ML-KEM (FIPS 203): secrets that a quantum computer does not find; one row a parameter set."""

import msgspec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from keystead.algorithms._algorithm import (
    Mechanism,
    PrivateParts,
    RawKey,
    require_data,
)
from keystead.algorithms._uses import DECAPSULATE, ENCAPSULATE
from keystead.errors import InvalidInput

SEED_BYTES = 64


class MlKemKey(RawKey[MLKEM768PrivateKey | MLKEM1024PrivateKey]):
    """A key of one of the parameter sets of this module."""

    def __init__(
        self, algorithm: "ParameterSet", key: MLKEM768PrivateKey | MLKEM1024PrivateKey
    ) -> None:
        super().__init__(algorithm, key)
        self._ciphertext_bytes = algorithm.ciphertext_bytes

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the 32-byte secret of a ciphertext (FIPS 203, algorithm 21).

        A ciphertext of the right length that was not made for this key has a secret too, which
        nobody else can know (implicit rejection). Raises InvalidInput for another length.
        """
        if len(ciphertext) != self._ciphertext_bytes:
            raise InvalidInput(
                f"A ciphertext of {self.algorithm.name} has {self._ciphertext_bytes} bytes, "
                f"not {len(ciphertext)}."
            )
        return self._key.decapsulate(ciphertext)

    def encapsulate(self) -> tuple[bytes, bytes]:
        """Return a ciphertext for this key, and its secret (FIPS 203, algorithm 20)."""
        secret, ciphertext = self._key.public_key().encapsulate()
        return ciphertext, secret


class ParameterSet(msgspec.Struct, frozen=True):
    """A parameter set, by the library's class of its keys."""

    name: str
    kind: type[MLKEM768PrivateKey | MLKEM1024PrivateKey]
    ciphertext_bytes: int

    mechanisms = (
        Mechanism("ML_KEM_Decapsulation", DECAPSULATE, "ML_KEM", MlKemKey.decapsulate),
        Mechanism("ML_KEM_Decapsulation", ENCAPSULATE, "ML_KEM", MlKemKey.encapsulate),
    )
    generates_slowly = False
    stores_public = True

    def generate(self, length: int | None) -> MlKemKey:  # noqa: ARG002  the set says the length
        """Make a new key."""
        return MlKemKey(self, self.kind.generate())

    def from_parts(self, parts: PrivateParts) -> MlKemKey:
        """Make a key of its seed (d ‖ z in FIPS 203); every seed is one."""
        return MlKemKey(self, self.kind.from_seed_bytes(require_data(self, parts, SEED_BYTES)))

    def adopt(self, parsed: PrivateKeyTypes) -> MlKemKey | None:
        """Wrap a parsed key if it is of this parameter set."""
        return MlKemKey(self, parsed) if isinstance(parsed, self.kind) else None


ML_KEM_768 = ParameterSet("ML_KEM_768", MLKEM768PrivateKey, 1088)
ML_KEM_1024 = ParameterSet("ML_KEM_1024", MLKEM1024PrivateKey, 1568)
