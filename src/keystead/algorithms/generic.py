"""Generic keys: plain bytes, and AES-CBC (NIST SP 800-38A) with those of an AES key's length."""

import secrets

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from keystead.algorithms._algorithm import (
    Algorithm,
    Mechanism,
    PrivateKey,
    PrivateParts,
    Use,
)
from keystead.errors import InvalidInput
from keystead.model.keys import PrivateMaterial

MIN_BITS = 128
MAX_BITS = 8192
BLOCK_BYTES = 16
AES_KEY_BYTES = (16, 24, 32)


class GenericKey(PrivateKey):
    """A key of 16 to 1024 bytes. It has no public half."""

    def __init__(self, value: bytes) -> None:
        self.algorithm: Algorithm = GENERIC
        self._value = value

    def material(self) -> PrivateMaterial:
        """Return the bytes."""
        return PrivateMaterial(raw=self._value)

    def decrypt(self, mode: str, ciphertext: bytes, iv: bytes | None) -> bytes:
        """Decrypt whole blocks; the IV is required. CBC cannot tell a wrong ciphertext."""
        self._require_cbc(Use.DECRYPT, mode)
        if iv is None:
            raise InvalidInput("Decrypting with AES_CBC needs an IV.")
        decryptor = self._cipher(ciphertext, iv).decryptor()
        return decryptor.update(ciphertext) + decryptor.finalize()

    def encrypt(self, mode: str, message: bytes, iv: bytes | None) -> tuple[bytes, bytes]:
        """Encrypt whole blocks, without padding; a random IV is made for None."""
        self._require_cbc(Use.ENCRYPT, mode)
        iv = secrets.token_bytes(BLOCK_BYTES) if iv is None else iv
        encryptor = self._cipher(message, iv).encryptor()
        return encryptor.update(message) + encryptor.finalize(), iv

    def _require_cbc(self, use: Use, mode: str) -> None:
        if mode != "AES_CBC":
            raise self.cannot(use, mode)
        if len(self._value) not in AES_KEY_BYTES:
            raise InvalidInput(
                f"AES keys have 128, 192 or 256 bits; this one has {8 * len(self._value)}."
            )

    def _cipher(self, text: bytes, iv: bytes) -> Cipher[CBC]:
        if len(iv) != BLOCK_BYTES:
            raise InvalidInput(f"The IV of AES_CBC has {BLOCK_BYTES} bytes, not {len(iv)}.")
        if len(text) % BLOCK_BYTES:
            raise InvalidInput(
                f"AES_CBC takes a multiple of {BLOCK_BYTES} bytes, not {len(text)}: "
                "it adds no padding."
            )
        return Cipher(AES(self._value), CBC(iv))


class _Generic:
    """The row of Generic keys."""

    name = "Generic"
    generates_slowly = False
    needs_length = True
    mechanisms = (
        Mechanism("AES_Encryption_CBC", Use.ENCRYPT, "AES_CBC", takes_iv=True),
        Mechanism("AES_Decryption_CBC", Use.DECRYPT, "AES_CBC", takes_iv=True),
    )

    def generate(self, length: int | None) -> GenericKey:
        """Make a key of `length` bits, rounded up to bytes."""
        if length is None:
            raise InvalidInput("Generic keys need a length.")
        if not MIN_BITS <= length <= MAX_BITS:
            raise InvalidInput(f"Generic keys have {MIN_BITS} to {MAX_BITS} bits, not {length}.")
        return GenericKey(secrets.token_bytes((length + 7) // 8))

    def from_parts(self, parts: PrivateParts) -> GenericKey:
        """Make a key of its bytes."""
        if parts.data is None:
            raise InvalidInput("Generic keys need the field data.")
        if not MIN_BITS <= 8 * len(parts.data) <= MAX_BITS:
            raise InvalidInput(
                f"Generic keys have {MIN_BITS} to {MAX_BITS} bits, not {8 * len(parts.data)}."
            )
        return GenericKey(parts.data)

    def adopt(self, parsed: PrivateKeyTypes) -> None:
        """Nothing in a PEM is a Generic key."""


GENERIC = _Generic()
