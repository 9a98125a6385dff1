"""Generic keys: plain bytes, for AES and CMAC (those of an AES key's length), HMAC and HKDF."""

import secrets
from collections.abc import Callable, Iterator
from functools import cached_property
from io import BytesIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
    aes_key_wrap_with_padding,
)

from keystead.algorithms._algorithm import (
    Algorithm,
    Mechanism,
    PrivateKey,
    PrivateParts,
    holds,
    signature_rows,
)
from keystead.algorithms._key_derivation import HASHES, derive
from keystead.algorithms._uses import (
    AAD,
    DECRYPT,
    DERIVE,
    ENCRYPT,
    INFO,
    IV,
    LENGTH,
    SALT,
    TAG,
    Kdf,
)
from keystead.errors import DecryptionFailed, InvalidInput
from keystead.model.keys import PrivateMaterial

MIN_BITS = 128
MAX_BITS = 8192
BLOCK_BYTES = 16
AES_KEY_BYTES = (16, 24, 32)
STEP_BYTES = 256 * 1024
GCM_IV_BYTES = 12
GCM_TAG_BYTES = 16
MIN_WRAPPED_BYTES = 16
MAX_WRAPPED_BYTES = 4096
WRAP_BYTES = 8
"""What AES key wrap works on and adds: half a block."""


class GenericKey(PrivateKey):
    """A key of 16 to 1024 bytes. It has no public half."""

    def __init__(self, value: bytes) -> None:
        self.algorithm: Algorithm = GENERIC
        self._value = value
        self._keyed: dict[str, HMAC] = {}
        """An HMAC under this key for each hash that was used, for messages to begin with."""

    def material(self) -> PrivateMaterial:
        """Return the bytes."""
        return PrivateMaterial(raw=self._value)

    def encrypt_cbc(self, message: bytes, iv: bytes | None = None) -> tuple[bytes, bytes]:
        """Encrypt whole blocks with AES-CBC (NIST SP 800-38A); return ciphertext and IV.

        No padding is added. Without `iv`, a random one is made.
        """
        iv = secrets.token_bytes(BLOCK_BYTES) if iv is None else iv
        return _in_steps(self._cbc(message, iv).encryptor(), message), iv

    def decrypt_cbc(self, ciphertext: bytes, iv: bytes) -> bytes:
        """Decrypt whole blocks with AES-CBC, which cannot tell a wrong ciphertext."""
        return _in_steps(self._cbc(ciphertext, iv).decryptor(), ciphertext)

    def encrypt_gcm(self, message: bytes, aad: bytes = b"") -> tuple[bytes, bytes, bytes]:
        """Encrypt with AES-GCM (NIST SP 800-38D); return ciphertext, IV and 16-byte tag.

        The IV is always made here, at random: two messages under one IV give the authentication
        key away.
        """
        iv = secrets.token_bytes(GCM_IV_BYTES)
        if len(message) + len(aad) <= STEP_BYTES:
            sealed = self._gcm.encrypt(iv, message, aad)
            return sealed[:-GCM_TAG_BYTES], iv, sealed[-GCM_TAG_BYTES:]
        encryptor = Cipher(AES(self._aes_key()), GCM(iv)).encryptor()
        for step in _steps(aad):
            encryptor.authenticate_additional_data(step)
        ciphertext = _in_steps(encryptor, message)
        return ciphertext, iv, encryptor.tag

    def decrypt_gcm(self, ciphertext: bytes, iv: bytes, tag: bytes, aad: bytes = b"") -> bytes:
        """Decrypt with AES-GCM. Raises DecryptionFailed for whatever is not as it was encrypted."""
        for name, value, size in (("iv", iv, GCM_IV_BYTES), ("tag", tag, GCM_TAG_BYTES)):
            if len(value) != size:
                raise InvalidInput(f"The {name} of AES_GCM has {size} bytes, not {len(value)}.")
        try:
            if len(ciphertext) + len(aad) <= STEP_BYTES:
                return self._gcm.decrypt(iv, ciphertext + tag, aad)
            decryptor = Cipher(AES(self._aes_key()), GCM(iv, tag)).decryptor()
            for step in _steps(aad):
                decryptor.authenticate_additional_data(step)
            return _in_steps(decryptor, ciphertext)
        except InvalidTag:
            raise _decryption_failed() from None

    def wrap(self, message: bytes) -> bytes:
        """Wrap key data of whole half blocks with AES-KW (RFC 3394)."""
        key = self._aes_key()
        _require_wrappable("AES_KW", message, MIN_WRAPPED_BYTES, MAX_WRAPPED_BYTES)
        return aes_key_wrap(key, message)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Unwrap what `wrap` made. Raises DecryptionFailed for anything else."""
        key = self._aes_key()
        longest = MAX_WRAPPED_BYTES + WRAP_BYTES
        _require_wrappable("AES_KW", wrapped, MIN_WRAPPED_BYTES + WRAP_BYTES, longest)
        return _unwrapped(aes_key_unwrap, key, wrapped)

    def wrap_padded(self, message: bytes) -> bytes:
        """Wrap key data with AES-KWP (RFC 5649)."""
        key = self._aes_key()
        _require_length("AES_KWP", message, MIN_WRAPPED_BYTES, MAX_WRAPPED_BYTES)
        return aes_key_wrap_with_padding(key, message)

    def unwrap_padded(self, wrapped: bytes) -> bytes:
        """Unwrap what `wrap_padded` made. Raises DecryptionFailed for anything else.

        Other makers wrap as little as a byte.
        """
        key = self._aes_key()
        _require_wrappable("AES_KWP", wrapped, 2 * WRAP_BYTES, MAX_WRAPPED_BYTES + WRAP_BYTES)
        return _unwrapped(aes_key_unwrap_with_padding, key, wrapped)

    def cmac(self, message: bytes) -> bytes:
        """Return the AES-CMAC (NIST SP 800-38B) of `message`: 16 bytes."""
        return self._cmac(message).finalize()

    def cmac_holds(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is the whole CMAC of `message`, in constant time."""
        return holds(self._cmac(message).verify, signature)

    def _cmac(self, message: bytes) -> CMAC:
        cmac = CMAC(AES(self._aes_key()))
        for step in _steps(message):
            cmac.update(bytes(step))
        return cmac

    def hmac(self, digest: hashes.HashAlgorithm, message: bytes) -> bytes:
        """Return the HMAC (RFC 2104) of `message`, as long as the digest."""
        return self._hmac(digest, message).finalize()

    def hmac_holds(self, digest: hashes.HashAlgorithm, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is the whole HMAC of `message`, in constant time."""
        return holds(self._hmac(digest, message).verify, signature)

    def derive(self, kdf: Kdf) -> bytes:
        """Return what HKDF (RFC 5869) derives of the key."""
        return derive(self._value, kdf)

    def _hmac(self, digest: hashes.HashAlgorithm, message: bytes) -> HMAC:
        keyed = self._keyed.get(digest.name)
        if keyed is None:
            keyed = self._keyed[digest.name] = HMAC(self._value, digest)
        hmac = keyed.copy()
        hmac.update(message)  # In one go: it keeps the interpreter from nobody, unlike the others.
        return hmac

    @cached_property
    def _gcm(self) -> AESGCM:
        """Works on a short message in one call, with a key schedule made once."""
        return AESGCM(self._aes_key())

    def _aes_key(self) -> bytes:
        if len(self._value) not in AES_KEY_BYTES:
            raise InvalidInput(
                f"AES keys have 128, 192 or 256 bits; this one has {8 * len(self._value)}."
            )
        return self._value

    def _cbc(self, text: bytes, iv: bytes) -> Cipher[CBC]:
        key = self._aes_key()
        if len(iv) != BLOCK_BYTES:
            raise InvalidInput(f"The IV of AES_CBC has {BLOCK_BYTES} bytes, not {len(iv)}.")
        if len(text) % BLOCK_BYTES:
            raise InvalidInput(
                f"AES_CBC takes a multiple of {BLOCK_BYTES} bytes, not {len(text)}: "
                "it adds no padding."
            )
        return Cipher(AES(key), CBC(iv))


def _require_wrappable(mode: str, text: bytes, shortest: int, longest: int) -> None:
    _require_length(mode, text, shortest, longest)
    if len(text) % WRAP_BYTES:
        raise InvalidInput(f"{mode} takes a multiple of {WRAP_BYTES} bytes, not {len(text)}.")


def _require_length(mode: str, text: bytes, shortest: int, longest: int) -> None:
    if not shortest <= len(text) <= longest:
        raise InvalidInput(f"{mode} takes {shortest} to {longest} bytes, not {len(text)}.")


def _unwrapped(unwrap: Callable[[bytes, bytes], bytes], key: bytes, wrapped: bytes) -> bytes:
    try:
        return unwrap(key, wrapped)
    except InvalidUnwrap:
        raise _decryption_failed() from None


def _decryption_failed() -> DecryptionFailed:
    return DecryptionFailed("Decryption failure")


def _steps(text: bytes) -> Iterator[memoryview]:
    """Yield `text` in steps. Each keeps the interpreter from other threads, where AES works."""
    view = memoryview(text)
    for start in range(0, len(text), STEP_BYTES):
        yield view[start : start + STEP_BYTES]


def _in_steps(cipher: CipherContext, text: bytes) -> bytes:
    """Return what `cipher` makes of `text`."""
    done = BytesIO()
    for step in _steps(text):
        done.write(cipher.update(step))
    done.write(cipher.finalize())
    return done.getvalue()


def _hmac_rows(name: str, digest: hashes.HashAlgorithm) -> tuple[Mechanism, Mechanism]:
    def sign(key: GenericKey, message: bytes) -> bytes:
        return key.hmac(digest, message)

    def verify(key: GenericKey, message: bytes, signature: bytes) -> bool:
        return key.hmac_holds(digest, message, signature)

    return signature_rows(name, name, sign=sign, verify=verify)


def _hkdf_row(hash_name: str) -> Mechanism:
    def run(key: GenericKey, length: int, salt: bytes = b"", info: bytes = b"") -> bytes:
        return key.derive(Kdf(hkdf=hash_name, length=length, salt=salt, info=info))

    name = f"HKDF_{hash_name}"
    return Mechanism(name, DERIVE, name, run, needs=(LENGTH,), options=(SALT, INFO))


class _Generic:
    """The row of Generic keys."""

    name = "Generic"
    generates_slowly = False
    stores_public = False
    mechanisms = (
        Mechanism("AES_Encryption_CBC", ENCRYPT, "AES_CBC", GenericKey.encrypt_cbc, options=(IV,)),
        Mechanism("AES_Decryption_CBC", DECRYPT, "AES_CBC", GenericKey.decrypt_cbc, needs=(IV,)),
        Mechanism("AES_Encryption_GCM", ENCRYPT, "AES_GCM", GenericKey.encrypt_gcm, options=(AAD,)),
        Mechanism(
            "AES_Decryption_GCM",
            DECRYPT,
            "AES_GCM",
            GenericKey.decrypt_gcm,
            needs=(IV, TAG),
            options=(AAD,),
        ),
        Mechanism("AES_KeyWrap", ENCRYPT, "AES_KW", GenericKey.wrap),
        Mechanism("AES_KeyUnwrap", DECRYPT, "AES_KW", GenericKey.unwrap),
        Mechanism("AES_KeyWrap_Pad", ENCRYPT, "AES_KWP", GenericKey.wrap_padded),
        Mechanism("AES_KeyUnwrap_Pad", DECRYPT, "AES_KWP", GenericKey.unwrap_padded),
        *signature_rows("AES_CMAC", "AES_CMAC", sign=GenericKey.cmac, verify=GenericKey.cmac_holds),
        *_hmac_rows("HMAC_SHA256", hashes.SHA256()),
        *_hmac_rows("HMAC_SHA384", hashes.SHA384()),
        *_hmac_rows("HMAC_SHA512", hashes.SHA512()),
        *(_hkdf_row(hash_name) for hash_name in HASHES),
    )

    def generate(self, length: int | None) -> GenericKey:
        """Make a key of `length` bits, rounded up to bytes."""
        if length is None:
            raise InvalidInput(f"Generic keys need a length, of {MIN_BITS} to {MAX_BITS} bits.")
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
