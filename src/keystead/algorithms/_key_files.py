"""Private keys as other tools write them: PEM (RFC 7468) around PKCS #8, PKCS #1 or SEC 1.

What tools disagree on is settled here, so that one key has one form inside: EC scalars with too few
or too many leading zeros, curves written as explicit parameters, PKCS #8 of version 2 (RFC 5958).
DER is parsed by pyca's asn1 module, in Rust, into the shapes below: it follows them, and recurses
no deeper whatever a file holds.
"""

import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)
from cryptography.x509 import ObjectIdentifier

from keystead.algorithms._curve_parameters import curve_of, forms_of
from keystead.algorithms._seed_keys import SEED_READERS, Reader
from keystead.errors import InvalidInput

_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----")
_DER_SEQUENCE: Final = b"\x30"

NO_KEY: Final = "There is no valid private key in the PEM."
_UNSUPPORTED: Final = "The type of the private key is not supported."
_NOT_ITS_OWN: Final = "The public key in the file does not belong to the private key."
_ENCRYPTED: Final = "The PEM private key is encrypted."
_OTHER_LABELS: Final = {
    b"ENCRYPTED PRIVATE KEY": _ENCRYPTED,
    b"OPENSSH PRIVATE KEY": "The private key is in OpenSSH's format, not in PKCS #8.",
    b"DSA PRIVATE KEY": "DSA keys are not supported.",
}
_NOT_PRIVATE: Final = frozenset(
    {
        b"PUBLIC KEY",
        b"RSA PUBLIC KEY",
        b"CERTIFICATE",
        b"CERTIFICATE REQUEST",
        b"EC PARAMETERS",
    }
)

_PKCS8_VERSIONS: Final = (0, 1)


@asn1.sequence
class _Pkcs8:
    """OneAsymmetricKey (RFC 5958), which is PrivateKeyInfo (RFC 5208) without a public key."""

    version: int
    algorithm: list[asn1.TLV]
    octets: bytes
    attributes: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(0)]
    public: Annotated[asn1.BitString | None, asn1.Implicit(1)]


@asn1.sequence
class _RsaKey:
    """RSAPrivateKey (RFC 8017, A.1.2). Only the number of primes is asked for here."""

    version: int
    modulus: int
    public_exponent: int
    private_exponent: int
    prime1: int
    prime2: int
    exponent1: int
    exponent2: int
    coefficient: int
    other_primes: list[asn1.TLV] | None


@asn1.sequence
class _Field:
    kind: ObjectIdentifier
    prime: int


@asn1.sequence
class _Coefficients:
    a: bytes
    b: bytes
    seed: asn1.BitString | None


@asn1.sequence
class _Parameters:
    """SpecifiedECDomain (SEC 1, C.2) over a prime field."""

    version: int
    field: _Field
    coefficients: _Coefficients
    base: bytes
    order: int
    cofactor: int | None


@asn1.sequence
class _EcKey:
    """ECPrivateKey (RFC 5915)."""

    version: int
    scalar: bytes
    parameters: Annotated[ObjectIdentifier | _Parameters | None, asn1.Explicit(0)]
    public: Annotated[asn1.BitString | None, asn1.Explicit(1)]


def read_private_key(pem: bytes) -> PrivateKeyTypes:
    """Return the one private key of a PEM file; RSA keys are not validated.

    A public half beside a key must be its own. Raises InvalidInput, which says what
    the file holds instead.
    """
    label, der = _only_block(pem)
    try:
        match label:
            case b"RSA PRIVATE KEY":
                return _rsa_key(der)
            case b"EC PRIVATE KEY":
                return _ec_key(der, None)
            case _:
                return _pkcs8_key(der)
    except (ValueError, TypeError, OverflowError):
        raise InvalidInput(_why_not(label, der)) from None
    except UnsupportedAlgorithm:
        raise InvalidInput(_UNSUPPORTED) from None


def _only_block(pem: bytes) -> tuple[bytes, bytes]:
    """Return label and contents of the one block that holds a private key."""
    blocks = list(_blocks(pem))
    keys = [(label, body) for label, body in blocks if label.endswith(b"PRIVATE KEY")]
    if len(keys) > 1:
        raise InvalidInput("There are several private keys in the PEM; send one.")
    if not keys:
        raise InvalidInput(_no_block(pem, [label for label, _ in blocks]))
    ((label, body),) = keys
    if label in _OTHER_LABELS:
        raise InvalidInput(_OTHER_LABELS[label])
    if b"ENCRYPTED" in body:  # A Proc-Type header (RFC 1421).
        raise InvalidInput(_ENCRYPTED)
    if label not in {b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY"}:
        raise InvalidInput(_UNSUPPORTED)
    try:
        return label, binascii.a2b_base64(b"".join(body.split()), strict_mode=True)
    except binascii.Error:
        raise InvalidInput(NO_KEY) from None


def _blocks(pem: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield label and contents of each block.

    Each byte is looked at once: a pattern over a whole block would look for the end of a thousand
    beginnings in all that follows, for minutes, and hold up the process.
    """
    position = 0
    while begin := _BEGIN.search(pem, position):
        position = pem.find(b"-----END %b-----" % begin[1], begin.end())
        if position < 0:
            return
        yield begin[1], pem[begin.end() : position]


def _no_block(pem: bytes, labels: list[bytes]) -> str:
    for label in labels:
        if label in _NOT_PRIVATE:
            return f"The PEM holds no private key, only: {label.decode().lower()}."
    if pem.startswith(_DER_SEQUENCE):
        return "The key is not PEM but DER or PKCS #12; openssl pkey or openssl pkcs12 converts it."
    return NO_KEY


def _why_not(label: bytes, der: bytes) -> str:
    """Return what to say of contents that are not what the label says."""
    shapes = {b"PRIVATE KEY": _Pkcs8, b"EC PRIVATE KEY": _EcKey, b"RSA PRIVATE KEY": _RsaKey}
    for name, shape in shapes.items():
        if label != name and _is_a(shape, der):
            return (
                f"The label of the PEM is {label.decode()}, and its contents are a {name.decode()}."
            )
    return NO_KEY


def _is_a(shape: type[Any], der: bytes) -> bool:
    try:
        asn1.decode_der(shape, der)
    except ValueError:
        return False
    return True


def _pkcs8_key(der: bytes) -> PrivateKeyTypes:
    parsed = asn1.decode_der(_Pkcs8, der)
    kind, *parameters = parsed.algorithm
    read = _READERS.get(kind.parse(ObjectIdentifier).dotted_string)
    if read is None or parsed.version not in _PKCS8_VERSIONS:
        raise InvalidInput(_UNSUPPORTED)
    key = read(parsed.octets, parameters)
    if parsed.public is not None:
        _require_own(parsed.public.as_bytes(), key)
    return key


def _require_own(public: bytes, key: PrivateKeyTypes) -> None:
    """Raise InvalidInput unless `public` is the public half of `key`, in its type's own form."""
    own = key.public_key()
    match own:
        case ec.EllipticCurvePublicKey():
            forms = forms_of(own)
        case rsa.RSAPublicKey():
            forms = {own.public_bytes(Encoding.DER, PublicFormat.PKCS1)}
        case _:
            forms = {own.public_bytes(Encoding.Raw, PublicFormat.Raw)}
    if public not in forms:
        raise InvalidInput(_NOT_ITS_OWN)


def _rsa_key(der: bytes) -> PrivateKeyTypes:
    if asn1.decode_der(_RsaKey, der).other_primes is not None:
        raise InvalidInput("RSA keys of more than two primes are not supported.")
    return load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)


def _ec_key(der: bytes, curve: ec.EllipticCurve | None) -> PrivateKeyTypes:
    """Return the key of an ECPrivateKey, which may leave its curve to the PKCS #8 around it."""
    parsed = asn1.decode_der(_EcKey, der)
    if parsed.version != 1:
        raise InvalidInput(NO_KEY)
    if parsed.parameters is not None:
        inner = _curve(parsed.parameters)
        if curve is not None and inner.name != curve.name:
            raise InvalidInput("The private key names two different curves.")
        curve = inner
    if curve is None:
        raise InvalidInput("The private key does not name its curve; in PKCS #8 it would.")
    size = (curve.group_order.bit_length() + 7) // 8
    scalar = int.from_bytes(parsed.scalar)
    if len(parsed.scalar) > size + 1 or not 0 < scalar < curve.group_order:
        raise InvalidInput("The scalar is not between 1 and the order of the curve.")
    key = ec.derive_private_key(scalar, curve)
    if parsed.public is not None:
        _require_own(parsed.public.as_bytes(), key)
    return key


def _curve_in(parameters: list[asn1.TLV]) -> ec.EllipticCurve | None:
    if not parameters:
        return None
    (one,) = parameters
    try:
        return _curve(one.parse(ObjectIdentifier))
    except ValueError:
        return _curve(one.parse(_Parameters))


def _curve(parameters: ObjectIdentifier | _Parameters) -> ec.EllipticCurve:
    """Return the named curve; explicit parameters must be exactly those of one."""
    if isinstance(parameters, ObjectIdentifier):
        try:
            return ec.get_curve_for_oid(parameters)()
        except LookupError:
            raise InvalidInput("The curve of the private key is not supported.") from None
    coefficients = parameters.coefficients
    curve = curve_of(
        prime=parameters.field.prime,
        a=int.from_bytes(coefficients.a),
        b=int.from_bytes(coefficients.b),
        base=parameters.base,
        order=parameters.order,
    )
    if curve is None or parameters.cofactor not in {1, None}:
        raise InvalidInput(
            "The private key has explicit parameters, which are not those of a named curve."
        )
    return curve


def _refuse(reason: str) -> Reader:
    def refuse(_: bytes, __: list[asn1.TLV]) -> PrivateKeyTypes:
        raise InvalidInput(reason)

    return refuse


_READERS: Final[Mapping[str, Reader]] = {
    "1.2.840.113549.1.1.1": lambda key, _: _rsa_key(key),
    "1.2.840.113549.1.1.10": _refuse("RSA keys for RSASSA-PSS alone are not supported."),
    "1.2.840.10045.2.1": lambda key, parameters: _ec_key(key, _curve_in(parameters)),
    "1.3.101.112": lambda key, _: Ed25519PrivateKey.from_private_bytes(asn1.decode_der(bytes, key)),
    "1.3.101.113": lambda key, _: Ed448PrivateKey.from_private_bytes(asn1.decode_der(bytes, key)),
    "1.3.101.110": lambda key, _: X25519PrivateKey.from_private_bytes(asn1.decode_der(bytes, key)),
    "1.3.101.111": lambda key, _: X448PrivateKey.from_private_bytes(asn1.decode_der(bytes, key)),
    "1.2.840.10040.4.1": _refuse("DSA keys are not supported."),
    **SEED_READERS,
}
"""By the object identifier: RSA, RSASSA-PSS, EC, Ed25519, Ed448, X25519, X448, DSA; the seeds."""
