"""RSA (RFC 8017): decryption raw, with PKCS#1 v1.5 and OAEP; signatures PKCS#1 v1.5 and PSS."""

from math import lcm
from types import MappingProxyType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed

from keystead.algorithms._algorithm import (
    Algorithm,
    CertificateSigner,
    Mechanism,
    PrivateKey,
    PrivateParts,
    PublicParts,
    holds,
    pkcs8_pem,
    signature_rows,
    spki_pem,
)
from keystead.algorithms._pycryptodome import MD5, PKCS1_OAEP, PKCS1_v1_5
from keystead.algorithms._pycryptodome import RSA as PYCRYPTODOME_RSA
from keystead.algorithms._uses import DECRYPT, IV
from keystead.errors import DecryptionFailed, InvalidInput
from keystead.model.keys import PrivateMaterial

MIN_BITS = 1024
MAX_BITS = 8192
MAX_EXPONENT_BITS = 256  # FIPS 186-5, A.1.1
MAX_PRIME_LENGTH_DIFFERENCE = 2  # Of twice a prime's length from the modulus's, in bits.
MIN_PRIME_DISTANCE_BITS = 100  # FIPS 186-5, A.1.3: |p - q| > 2 ** (bits / 2 - 100)
PUBLIC_EXPONENT = 65537
PKCS1_OVERHEAD = 11  # 00 01, at least eight bytes FF, 00

_HASHES = MappingProxyType(
    {
        "MD5": hashes.MD5(),  # noqa: S303  part of the API; the caller chooses the mechanism
        "SHA1": hashes.SHA1(),  # noqa: S303  same
        "SHA224": hashes.SHA224(),
        "SHA256": hashes.SHA256(),
        "SHA384": hashes.SHA384(),
        "SHA512": hashes.SHA512(),
    }
)


class RsaKey(PrivateKey):
    """A two-prime RSA key of 1024 to 8192 bits."""

    works_slowly = True

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        if not MIN_BITS <= key.key_size <= MAX_BITS:
            raise InvalidInput(f"RSA keys have {MIN_BITS} to {MAX_BITS} bits, not {key.key_size}.")
        self.algorithm: Algorithm = RSA
        self._key = key
        self._twin: _Twin | None = None

    def material(self) -> PrivateMaterial:
        """Return the key as PKCS#8 PEM."""
        return PrivateMaterial(pem=pkcs8_pem(self._key))

    def validate(self) -> None:
        """Raise InvalidInput unless the primes are sound and all numbers fit. Takes 0.05 to 3 s."""
        numbers = self._key.private_numbers()
        _require_strength(numbers)
        _checked(numbers)

    def public(self) -> PublicParts:
        """Return modulus and public exponent."""
        numbers = self._key.public_key().public_numbers()
        return PublicParts(modulus=_octets(numbers.n), public_exponent=_octets(numbers.e))

    def public_pem(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo PEM."""
        return spki_pem(self._key.public_key())

    def certificate_signer(self) -> CertificateSigner:
        """Sign with PKCS#1 v1.5 and SHA-256, which every CA reads."""
        return CertificateSigner(self._key, hashes.SHA256())

    def sign_pss(self, digest: hashes.HashAlgorithm, message: bytes) -> bytes:
        """Sign a digest with PSS: the salt is as long as the digest, MGF1 uses the same hash."""
        scheme = self._pss(digest, message)
        return self._key.sign(message, scheme, Prehashed(digest))

    def verify_pss(self, digest: hashes.HashAlgorithm, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is one that `sign_pss` may make, with its length of salt."""
        scheme = self._pss(digest, message)
        verify = self._key.public_key().verify
        return holds(verify, signature, message, scheme, Prehashed(digest))

    def _pss(self, digest: hashes.HashAlgorithm, message: bytes) -> padding.PSS:
        size, mode = digest.digest_size, f"PSS_{digest.name.upper()}"
        if len(message) != size:
            raise InvalidInput(f"{mode} signs a digest of {size} bytes, not {len(message)}.")
        # RFC 8017, 9.1.1: emLen is of one bit less than the modulus.
        if (self._key.key_size + 6) // 8 < 2 * size + 2:
            raise InvalidInput(f"An RSA key of {self._key.key_size} bits is too short for {mode}.")
        return padding.PSS(padding.MGF1(digest), size)

    def sign_pkcs1(self, message: bytes) -> bytes:
        """Sign a DigestInfo, or anything else that fits, with PKCS#1 v1.5."""
        self._require_pkcs1(message)
        return self._key.sign(message, padding.PKCS1v15(), NoDigestInfo())

    def verify_pkcs1(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is the one that `sign_pkcs1` makes of `message`."""
        self._require_pkcs1(message)
        if len(signature) != self._size():  # RFC 8017, 8.2.2
            return False
        public = self._key.public_key()
        try:
            # pyca's verify refuses every signature of an empty message.
            return (
                public.recover_data_from_signature(signature, padding.PKCS1v15(), None) == message
            )
        except InvalidSignature:
            return False

    def _require_pkcs1(self, message: bytes) -> None:
        longest = self._size() - PKCS1_OVERHEAD
        if len(message) > longest:
            raise InvalidInput(
                f"PKCS1 with this key signs up to {longest} bytes, not {len(message)}."
            )

    def decrypt_raw(self, ciphertext: bytes) -> bytes:
        """Return as many bytes as the modulus has: the padding is the caller's matter."""
        number = int.from_bytes(ciphertext)
        if number >= self._key.public_key().public_numbers().n:
            raise InvalidInput("The ciphertext is larger than the key's modulus.")
        return self._pycryptodome().decrypt_raw(number)

    def decrypt_pkcs1(self, ciphertext: bytes) -> bytes:
        """Decrypt with PKCS#1 v1.5. A wrong padding is not an error.

        OpenSSL rejects it implicitly, by returning random-looking bytes that the key and the
        ciphertext determine (draft-irtf-cfrg-rsa-guidance). An answer that told good from bad
        padding would be the oracle of Bleichenbacher's attack.
        """
        return self._decrypt(ciphertext, padding.PKCS1v15())

    def decrypt_pkcs1_with_padding_errors(self, ciphertext: bytes) -> bytes:
        """Decrypt with PKCS#1 v1.5. Raises DecryptionFailed for a wrong padding: an oracle."""
        return self._pycryptodome().decrypt_pkcs1(ciphertext)

    def decrypt_oaep(self, digest: hashes.HashAlgorithm, ciphertext: bytes) -> bytes:
        """Decrypt with OAEP, without a label; MGF1 uses the same hash."""
        if isinstance(digest, hashes.MD5):  # OpenSSL has no OAEP with MD5.
            return self._pycryptodome().decrypt_oaep_md5(ciphertext)
        return self._decrypt(ciphertext, padding.OAEP(padding.MGF1(digest), digest, None))

    def _decrypt(self, ciphertext: bytes, scheme: padding.AsymmetricPadding) -> bytes:
        try:
            return self._key.decrypt(ciphertext, scheme)
        except ValueError:
            raise _decryption_failed() from None

    def _size(self) -> int:
        """Return the length of the modulus in bytes: k in RFC 8017."""
        return (self._key.key_size + 7) // 8

    def _pycryptodome(self) -> "_Twin":
        # Two threads may both make one; either serves.
        twin = self._twin
        if twin is None:
            twin = self._twin = _Twin(self._key.private_numbers())
        return twin


class _Twin:
    """The same key in pycryptodome: what OpenSSL does not offer, with blinding."""

    def __init__(self, numbers: rsa.RSAPrivateNumbers) -> None:
        public = numbers.public_numbers
        # Already checked, when the key was made or imported.
        self._key = PYCRYPTODOME_RSA.construct(
            (public.n, public.e, numbers.d, numbers.p, numbers.q), consistency_check=False
        )

    def decrypt_raw(self, number: int) -> bytes:
        """Return number^d mod n, as long as the modulus."""
        plaintext: bytes = self._key._decrypt_to_bytes(number)  # type: ignore[no-untyped-call]  # noqa: SLF001  no public, typed name for raw RSA
        # The result goes out unpadded: one with a fault in one half of the CRT would tell the
        # factors of the modulus (Boneh, DeMillo, Lipton 1997).
        if pow(int.from_bytes(plaintext), self._key.e, self._key.n) != number:
            raise ArithmeticError("an RSA operation gave a wrong result")
        return plaintext

    def decrypt_oaep_md5(self, ciphertext: bytes) -> bytes:
        """Decrypt with OAEP and MGF1, both with MD5."""
        try:
            return PKCS1_OAEP.new(self._key, hashAlgo=MD5).decrypt(ciphertext)
        except ValueError:
            raise _decryption_failed() from None

    def decrypt_pkcs1(self, ciphertext: bytes) -> bytes:
        """Decrypt with PKCS#1 v1.5. Every wrong padding raises the same DecryptionFailed."""
        try:
            message = PKCS1_v1_5.new(self._key).decrypt(ciphertext, sentinel=None)
        except ValueError:
            raise _decryption_failed() from None
        if message is None:
            raise _decryption_failed()
        return message


def _pss_rows(name: str, digest: hashes.HashAlgorithm) -> tuple[Mechanism, Mechanism]:
    def sign(key: RsaKey, message: bytes) -> bytes:
        return key.sign_pss(digest, message)

    def verify(key: RsaKey, message: bytes, signature: bytes) -> bool:
        return key.verify_pss(digest, message, signature)

    return signature_rows(f"RSA_Signature_PSS_{name}", f"PSS_{name}", sign=sign, verify=verify)


def _oaep_row(name: str, digest: hashes.HashAlgorithm) -> Mechanism:
    def decrypt(key: RsaKey, ciphertext: bytes) -> bytes:
        return key.decrypt_oaep(digest, ciphertext)

    mechanism, mode = f"RSA_Decryption_OAEP_{name}", f"OAEP_{name}"
    return Mechanism(mechanism, DECRYPT, mode, decrypt, ignores=(IV,))


class _Rsa:
    """The row of RSA."""

    name = "RSA"
    generates_slowly = True
    stores_public = False
    mechanisms = (
        Mechanism("RSA_Decryption_RAW", DECRYPT, "RAW", RsaKey.decrypt_raw, ignores=(IV,)),
        Mechanism(
            "RSA_Decryption_PKCS1",
            DECRYPT,
            "PKCS1",
            RsaKey.decrypt_pkcs1,
            ignores=(IV,),
            run_with_padding_errors=RsaKey.decrypt_pkcs1_with_padding_errors,
        ),
        *(_oaep_row(name, digest) for name, digest in _HASHES.items()),
        *signature_rows(
            "RSA_Signature_PKCS1", "PKCS1", sign=RsaKey.sign_pkcs1, verify=RsaKey.verify_pkcs1
        ),
        *(row for name, digest in _HASHES.items() for row in _pss_rows(name, digest)),
    )

    def generate(self, length: int | None) -> RsaKey:
        """Make a key of `length` bits with public exponent 65537."""
        if length is None:
            raise InvalidInput(f"RSA keys need a length, of {MIN_BITS} to {MAX_BITS} bits.")
        if not MIN_BITS <= length <= MAX_BITS:
            raise InvalidInput(f"RSA keys have {MIN_BITS} to {MAX_BITS} bits, not {length}.")
        return RsaKey(rsa.generate_private_key(PUBLIC_EXPONENT, length))

    def from_parts(self, parts: PrivateParts) -> RsaKey:
        """Make a key of its two primes and public exponent, checked. Takes up to 3 s."""
        p, q, e = (
            _number(octets, name)
            for octets, name in (
                (parts.prime_p, "primeP"),
                (parts.prime_q, "primeQ"),
                (parts.public_exponent, "publicExponent"),
            )
        )
        # Before anything costly: a check of a key of 64 kbit would take minutes.
        if not MIN_BITS <= (p * q).bit_length() <= MAX_BITS:
            raise InvalidInput(f"RSA keys have {MIN_BITS} to {MAX_BITS} bits.")
        _require_exponent(e)
        numbers = _numbers_of(p, q, e)
        _require_strength(numbers)
        return RsaKey(_checked(numbers))

    def adopt(self, parsed: PrivateKeyTypes) -> RsaKey | None:
        """Wrap a parsed RSA key."""
        return RsaKey(parsed) if isinstance(parsed, rsa.RSAPrivateKey) else None


RSA = _Rsa()


def _number(octets: bytes | None, name: str) -> int:
    if octets is None:
        raise InvalidInput(f"RSA keys need the field {name}.")
    if len(octets) > MAX_BITS // 8:
        raise InvalidInput(f"{name} is too large.")
    return int.from_bytes(octets)


def _octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def _require_exponent(exponent: int) -> None:
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > MAX_EXPONENT_BITS:  # noqa: PLR2004  the smallest RSA exponent
        raise InvalidInput(
            f"The public exponent is an odd number from 3 on, of up to {MAX_EXPONENT_BITS} bits."
        )


def _require_strength(numbers: rsa.RSAPrivateNumbers) -> None:
    """Raise InvalidInput for a key that is easy to factor (FIPS 186-5, A.1.1 and A.1.3).

    The bounds are a little wider than the standard's: primes may differ by a bit in length, as
    those of some generators do.
    """
    _require_exponent(numbers.public_numbers.e)
    bits = numbers.public_numbers.n.bit_length()
    for prime in (numbers.p, numbers.q):
        if abs(2 * prime.bit_length() - bits) > MAX_PRIME_LENGTH_DIFFERENCE:
            raise InvalidInput("Both primes of an RSA key have about half the bits of its modulus.")
    if abs(numbers.p - numbers.q).bit_length() <= bits // 2 - MIN_PRIME_DISTANCE_BITS:
        raise InvalidInput("The primes of the RSA key are too close to each other.")
    # The smallest one, whichever the key has: another is as good to whoever looks for it.
    if _private_exponent(numbers).bit_length() <= bits // 2:
        raise InvalidInput("The private exponent of the RSA key is too small.")


def _private_exponent(numbers: rsa.RSAPrivateNumbers) -> int:
    """Return e^-1 modulo the least common multiple of p - 1 and q - 1 (FIPS 186-5, A.1.1)."""
    try:
        return pow(numbers.public_numbers.e, -1, lcm(numbers.p - 1, numbers.q - 1))
    except ValueError:
        raise InvalidInput("The primes and the public exponent do not make an RSA key.") from None


def _numbers_of(p: int, q: int, e: int) -> rsa.RSAPrivateNumbers:
    try:
        d = pow(e, -1, (p - 1) * (q - 1))
        iqmp = rsa.rsa_crt_iqmp(p, q)
    except ValueError:
        raise InvalidInput("The primes and the public exponent do not make an RSA key.") from None
    return rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=d % (p - 1),
        dmq1=d % (q - 1),
        iqmp=iqmp,
        public_numbers=rsa.RSAPublicNumbers(e, p * q),
    )


def _checked(numbers: rsa.RSAPrivateNumbers) -> rsa.RSAPrivateKey:
    try:
        return numbers.private_key()
    except ValueError:
        raise InvalidInput("The numbers do not make a valid RSA key.") from None


def _decryption_failed() -> DecryptionFailed:
    return DecryptionFailed("Decryption failure")
