"""Private keys of the `cryptography` library whose private half stays in the HSM.

    key = private_key(hsm, "issuing-ca")
    certificate = builder.sign(key, hashes.SHA256())

Python code that takes a private key and calls its methods signs with an HSM's key so: X.509, CSR,
CRL, OCSP, PKCS#7, SSH certificates, JWT. `private_bytes` and `private_numbers` raise
UnsupportedAlgorithm, for the HSM gives no private key out. What the HSM refuses is a ClientError.
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from keystead.client.client import Client, to_base64
from keystead.client.digest_info import digest_info

LONGEST_DIGEST_BITS: Final = 512
Buffer = bytes | bytearray | memoryview
_STAYS: Final = "The private key stays in the HSM."


def private_key(client: Client, key_id: str) -> "HsmRsaKey | HsmEllipticCurveKey | HsmEd25519Key":
    """Return a key of the HSM as a private key. Raises UnsupportedAlgorithm for another type."""
    match load_pem_public_key(client.public_pem(key_id)):
        case rsa.RSAPublicKey() as public:
            return HsmRsaKey(client, key_id, public)
        case ec.EllipticCurvePublicKey() as public:
            return HsmEllipticCurveKey(client, key_id, public)
        case ed25519.Ed25519PublicKey() as public:
            return HsmEd25519Key(client, key_id, public)
        case other:
            raise UnsupportedAlgorithm(f"{key_id} is a {type(other).__name__}.")


class _InHsm:
    """A key in the HSM, by its ID. The private half stays in the HSM."""

    def __init__(self, client: Client, key_id: str) -> None:
        self._client = client
        self._key_id = key_id

    def __copy__(self) -> Self:
        """Return itself: there is one key, in the HSM."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return itself."""
        return self

    def private_numbers(self) -> NoReturn:
        """Raise UnsupportedAlgorithm."""
        raise UnsupportedAlgorithm(_STAYS)

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        """Raise UnsupportedAlgorithm."""
        raise UnsupportedAlgorithm(_STAYS)

    def private_bytes_raw(self) -> NoReturn:
        """Raise UnsupportedAlgorithm."""
        raise UnsupportedAlgorithm(_STAYS)


class HsmRsaKey(_InHsm, rsa.RSAPrivateKey):
    """An RSA key in the HSM: PKCS#1 v1.5 and PSS, decryption with PKCS#1 v1.5 and OAEP."""

    def __init__(self, client: Client, key_id: str, public: rsa.RSAPublicKey) -> None:
        super().__init__(client, key_id)
        self._public = public

    @property
    def key_size(self) -> int:
        """The modulus in bits."""
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """Return the public half."""
        return self._public

    def sign(
        self,
        data: bytes,
        padding: padding.AsymmetricPadding,
        algorithm: Prehashed | hashes.HashAlgorithm | NoDigestInfo,
    ) -> bytes:
        """Sign. PSS has a salt as long as the digest and the same hash in MGF1."""
        mode, message = _to_sign(bytes(data), padding, algorithm)
        return self._client.sign(self._key_id, mode, message)

    def sign_many(
        self,
        data: Sequence[bytes],
        padding: padding.AsymmetricPadding,
        algorithm: Prehashed | hashes.HashAlgorithm | NoDigestInfo,
    ) -> list[bytes]:
        """Sign each of `data`, many in a request."""
        if not data:
            return []
        wanted = [_to_sign(bytes(one), padding, algorithm) for one in data]
        return self._client.sign_many(self._key_id, wanted[0][0], [one for _, one in wanted])

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> bytes:
        """Decrypt. OAEP has no label and the same hash in MGF1."""
        return self._client.decrypt(self._key_id, _decryption_mode(padding), bytes(ciphertext))


class HsmEllipticCurveKey(_InHsm, ec.EllipticCurvePrivateKey):
    """A key on an elliptic curve in the HSM: ECDSA with any hash, and ECDH."""

    def __init__(self, client: Client, key_id: str, public: ec.EllipticCurvePublicKey) -> None:
        super().__init__(client, key_id)
        self._public = public

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """The order in bits."""
        return self._public.curve.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public half."""
        return self._public

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign; the signature is DER. The HSM chooses the nonce."""
        return self._client.sign(self._key_id, "ECDSA", self._fitted(data, signature_algorithm))

    def sign_many(
        self, data: Iterable[Buffer], signature_algorithm: ec.EllipticCurveSignatureAlgorithm
    ) -> list[bytes]:
        """Sign each of `data`, many in a request; the signatures are DER."""
        digests = (self._fitted(one, signature_algorithm) for one in data)
        return self._client.sign_many(self._key_id, "ECDSA", digests)

    def _fitted(self, data: Buffer, scheme: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        digest = _digest(bytes(data), scheme.algorithm)
        # The HSM takes a digest as long as the curve. ECDSA reads one as a number, of which it
        # takes the first bits: zeros before a shorter one and less of a longer one change nothing.
        size = min(self.key_size, LONGEST_DIGEST_BITS) // 8
        return digest[:size].rjust(size, b"\0")

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Return the secret that ECDH gives; the key's mechanisms must allow it."""
        del algorithm  # There is one.
        return agree(self._client, self._key_id, peer_public_key)


class HsmEd25519Key(_InHsm, ed25519.Ed25519PrivateKey):
    """An Ed25519 key in the HSM."""

    def __init__(self, client: Client, key_id: str, public: ed25519.Ed25519PublicKey) -> None:
        super().__init__(client, key_id)
        self._public = public

    def public_key(self) -> ed25519.Ed25519PublicKey:
        """Return the public half."""
        return self._public

    def sign(self, data: Buffer) -> bytes:
        """Sign the message (RFC 8032)."""
        return self._client.sign(self._key_id, "EdDSA", bytes(data))

    def sign_many(self, data: Iterable[Buffer]) -> list[bytes]:
        """Sign each of the messages, many in a request."""
        return self._client.sign_many(self._key_id, "EdDSA", map(bytes, data))


def agree(client: Client, key_id: str, peer: PublicKeyTypes) -> bytes:
    """Return the secret of ECDH between a key of the HSM and another party's public key."""
    spki = peer.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    content = {"mode": "ECDH", "publicKey": to_base64(spki)}
    return base64.b64decode(client.use(key_id, "derive", content)["secret"])


def _to_sign(
    data: bytes,
    scheme: padding.AsymmetricPadding,
    algorithm: Prehashed | hashes.HashAlgorithm | NoDigestInfo,
) -> tuple[str, bytes]:
    """Return the HSM's mode, and what is sent to be signed."""
    if isinstance(algorithm, NoDigestInfo):
        if not isinstance(scheme, padding.PKCS1v15):
            raise UnsupportedAlgorithm("Data without a hash is for PKCS#1 v1.5 only.")
        return "PKCS1", data
    digest, name = _digest(data, algorithm), _hash_of(algorithm).name
    match scheme:
        case padding.PKCS1v15():
            return "PKCS1", digest_info(name, digest)
        case padding.PSS():
            _require_usual_pss(scheme, _hash_of(algorithm))
            return f"PSS_{name.upper()}", digest
        case _:
            raise UnsupportedAlgorithm(f"The padding {scheme.name} is not supported.")


def _require_usual_pss(scheme: padding.PSS, algorithm: hashes.HashAlgorithm) -> None:
    salt = scheme._salt_length  # noqa: SLF001 - the library has no public name for it
    lengths = (padding.PSS.DIGEST_LENGTH, algorithm.digest_size)
    if salt not in lengths or _mgf_hash(scheme) != algorithm.name:
        raise UnsupportedAlgorithm(
            "The HSM signs PSS with a salt as long as the digest and the same hash in MGF1."
        )


def _decryption_mode(scheme: padding.AsymmetricPadding) -> str:
    match scheme:
        case padding.PKCS1v15():
            return "PKCS1"
        case padding.OAEP(algorithm=algorithm):
            has_label = bool(scheme._label)  # noqa: SLF001 - the library has no public name for it
            if has_label or _mgf_hash(scheme) != algorithm.name:
                raise UnsupportedAlgorithm(
                    "The HSM decrypts OAEP without a label and with the same hash in MGF1."
                )
            return f"OAEP_{algorithm.name.upper()}"
        case _:
            raise UnsupportedAlgorithm(f"The padding {scheme.name} is not supported.")


def _mgf_hash(scheme: padding.PSS | padding.OAEP) -> str:
    name: str = scheme.mgf._algorithm.name  # noqa: SLF001 - as above
    return name


def _digest(data: bytes, algorithm: Prehashed | hashes.HashAlgorithm) -> bytes:
    if isinstance(algorithm, Prehashed):
        if len(data) != _hash_of(algorithm).digest_size:
            raise ValueError("The data is not as long as a digest of this hash.")
        return data
    hashed = hashes.Hash(algorithm)
    hashed.update(data)
    return hashed.finalize()


def _hash_of(algorithm: Prehashed | hashes.HashAlgorithm) -> hashes.HashAlgorithm:
    """Return the hash, of a digest that is ready too."""
    if isinstance(algorithm, Prehashed):
        return algorithm._algorithm  # noqa: SLF001 - the library has no public name for it
    return algorithm
