"""The SSH agent protocol (RFC 9987) for keys of the HSM: a request in, an answer out, no socket."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystead.client.errors import ClientError
from keystead.client.private_keys import HsmEd25519Key, HsmEllipticCurveKey, HsmRsaKey

LONGEST_MESSAGE: Final = 256 * 1024
"""In bytes, as OpenSSH's agent has it."""
LENGTH_BYTES: Final = 4

_FAILURE: Final = b"\x05"
_REQUEST_IDENTITIES: Final = b"\x0b"
_IDENTITIES: Final = b"\x0c"
_SIGN_REQUEST: Final = b"\x0d"
_SIGNED: Final = b"\x0e"

_RSA_HASHES: Final = {
    2: (b"rsa-sha2-256", hashes.SHA256()),
    4: (b"rsa-sha2-512", hashes.SHA512()),
}
"""By the flag of the request; without a flag it would be SHA-1."""
_CURVE_HASHES: Final = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}


@dataclass(frozen=True, slots=True)
class SshIdentity:
    """A key of the HSM as SSH has it."""

    comment: str
    key: HsmRsaKey | HsmEllipticCurveKey | HsmEd25519Key
    public_line: str
    """As in `authorized_keys`, without a comment."""

    @classmethod
    def of(cls, comment: str, key: HsmRsaKey | HsmEllipticCurveKey | HsmEd25519Key) -> Self:
        """Return the identity of a key. Raises ValueError for a curve that SSH lacks."""
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        return cls(comment, key, line.decode())

    @property
    def algorithm(self) -> bytes:
        """The name of the public key's algorithm."""
        return self.public_line.partition(" ")[0].encode()

    @property
    def blob(self) -> bytes:
        """The public key in SSH's encoding."""
        return base64.b64decode(self.public_line.partition(" ")[2])

    def sign(self, data: bytes, flags: int) -> bytes:
        """Return the signature in SSH's encoding (RFC 4253, 5656, 8332, 8709).

        Raises UnsupportedAlgorithm for RSA with SHA-1, ClientError if the HSM refuses.
        """
        match self.key:
            case rsa.RSAPrivateKey():
                name, algorithm = _rsa_hash(flags)
                return _string(name) + _string(self.key.sign(data, padding.PKCS1v15(), algorithm))
            case ec.EllipticCurvePrivateKey():
                scheme = ec.ECDSA(_CURVE_HASHES[self.key.key_size])
                numbers = decode_dss_signature(self.key.sign(data, scheme))
                return _string(self.algorithm) + _string(b"".join(map(_number, numbers)))
            case _:
                return _string(self.algorithm) + _string(self.key.sign(data))


class Agent:
    """Answers requests for identities and signatures, and no other."""

    def __init__(self, identities: Sequence[SshIdentity]) -> None:
        self._identities = {one.blob: one for one in identities}

    def answer(self, request: bytes) -> bytes:
        """Return the answer to a message; both are without their length."""
        try:
            if request[:1] == _REQUEST_IDENTITIES:
                return self._listed()
            if request[:1] == _SIGN_REQUEST:
                return self._signed(request[1:])
        except (ClientError, UnsupportedAlgorithm, KeyError, ValueError):
            pass
        return _FAILURE

    def _listed(self) -> bytes:
        entries = [
            _string(one.blob) + _string(one.comment.encode()) for one in self._identities.values()
        ]
        return _IDENTITIES + len(entries).to_bytes(4) + b"".join(entries)

    def _signed(self, content: bytes) -> bytes:
        blob, rest = _take_string(content)
        data, rest = _take_string(rest)
        signature = self._identities[blob].sign(data, int.from_bytes(rest[:4]))
        return _SIGNED + _string(signature)


def _rsa_hash(flags: int) -> tuple[bytes, hashes.HashAlgorithm]:
    for flag, found in _RSA_HASHES.items():
        if flags & flag:
            return found
    raise UnsupportedAlgorithm("RSA with SHA-1 is not supported.")


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(LENGTH_BYTES) + content


def _number(value: int) -> bytes:
    """Return a positive `mpint`: its first bit is the sign."""
    return _string(value.to_bytes(value.bit_length() // 8 + 1))


def _take_string(content: bytes) -> tuple[bytes, bytes]:
    """Return a string and what follows it. Raises ValueError if it is cut off."""
    length = int.from_bytes(content[:LENGTH_BYTES])
    end = LENGTH_BYTES + length
    if len(content) < end:
        raise ValueError("The message is cut off.")
    return content[LENGTH_BYTES:end], content[end:]
