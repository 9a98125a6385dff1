"""Private keys of ML-DSA and ML-KEM in PKCS #8 (RFC 9881 and 9935, 6).

Each holds a seed, the key that it expands to, or both.

A key is kept as its seed. OpenSSL 3.5 writes both by default, which pyca does not load.
"""

from collections.abc import Callable, Mapping
from hmac import compare_digest
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PrivateKey,
    MLDSA65PrivateKey,
    MLDSA87PrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from keystead.algorithms._pycryptodome import MLDSA, MLKEM
from keystead.errors import InvalidInput

_SEED: Final = b"\x80"
_EXPANDED: Final = b"\x04"

Reader = Callable[[bytes, list[asn1.TLV]], PrivateKeyTypes]


@asn1.sequence
class _Both:
    seed: bytes
    expanded: bytes


def _read_seed(octets: bytes, expand: Callable[[bytes], bytes]) -> bytes:
    """Return the seed. Raises InvalidInput if there is none, or another key stands beside it.

    Raises ValueError if `octets` are neither of the three.
    """
    one = asn1.decode_der(asn1.TLV, octets)
    if one.tag_bytes == _SEED:
        return bytes(one.data)
    if one.tag_bytes == _EXPANDED:
        raise InvalidInput(
            "The private key is in its expanded form, from which its seed cannot be told; "
            "send the file with the seed."
        )
    both = one.parse(_Both)
    if not compare_digest(expand(both.seed), both.expanded):
        raise InvalidInput("The seed and the expanded key in the file do not belong together.")
    seed: bytes = both.seed
    return seed


def _ml_dsa(kind: Any, parameters: MLDSA.ParamSet) -> Reader:  # noqa: ANN401  pyca has no name for it
    def expand(seed: bytes) -> bytes:
        return MLDSA.construct(param_set=parameters, seed=seed).sk

    return _reader(kind, expand)


def _ml_kem(kind: Any, parameters: MLKEM.ParamSet) -> Reader:  # noqa: ANN401  same
    def expand(seed: bytes) -> bytes:
        return MLKEM.construct(param_set=parameters, seed=seed).expanded_dk

    return _reader(kind, expand)


def _reader(kind: Any, expand: Callable[[bytes], bytes]) -> Reader:  # noqa: ANN401  same
    def read(octets: bytes, _: list[asn1.TLV]) -> PrivateKeyTypes:
        key: PrivateKeyTypes = kind.from_seed_bytes(_read_seed(octets, expand))
        return key

    return read


SEED_READERS: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        "2.16.840.1.101.3.4.4.2": _ml_kem(MLKEM768PrivateKey, MLKEM.ML_KEM_768),
        "2.16.840.1.101.3.4.4.3": _ml_kem(MLKEM1024PrivateKey, MLKEM.ML_KEM_1024),
        "2.16.840.1.101.3.4.3.17": _ml_dsa(MLDSA44PrivateKey, MLDSA.ML_DSA_44),
        "2.16.840.1.101.3.4.3.18": _ml_dsa(MLDSA65PrivateKey, MLDSA.ML_DSA_65),
        "2.16.840.1.101.3.4.3.19": _ml_dsa(MLDSA87PrivateKey, MLDSA.ML_DSA_87),
    }
)
"""By the algorithm's object identifier."""
