"""A TPM's quote over the registers of a machine, verified without the machine.

Source: TPM 2.0 Library, part 2: TPMS_ATTEST (10.12.12), TPMT_SIGNATURE (11.3.4), in which all
numbers are big-endian.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from keystead.client.attestations import AttestationInvalid
from keystead.client.event_log import ALGORITHMS, Reader, replay
from keystead.client.json_text import parse_json
from keystead.client.measurements import BANK, published_registers
from keystead.errors import InvalidInput

_GENERATED: Final = b"\xffTCG"
"""TPM_GENERATED: a restricted key signs nothing from outside that begins so."""
_QUOTE: Final = 0x8018
_ECDSA: Final = 0x0018
_SHA256: Final = 0x000B
_CLOCK_BYTES: Final = 8 + 4 + 4 + 1
_FIRMWARE_BYTES: Final = 8
_U8: Final = Struct(">B")
_U16: Final = Struct(">H")
_U32: Final = Struct(">I")


@dataclass(frozen=True, slots=True)
class _Quoted:
    nonce: bytes
    bank: str
    registers: tuple[int, ...]
    digest: bytes


def verify_quote(
    answer: bytes, *, key_pem: bytes, nonce: bytes, measurements: bytes | None = None
) -> dict[str, Any]:
    """Return what a quote proves: the values of the registers.

    `answer` is what POST /system/attestation gave. `key_pem` is the attestation key, from a source
    that is trusted. `measurements` is the `contents.json` of the image that is expected to run.
    Raises AttestationInvalid unless the key signed these values for this nonce, the event log
    leads to them, and they are those of the image.
    """
    given = _parse(answer)
    quote = _base64(given, "quote")
    _verify_signature(key_pem, _base64(given, "signature"), quote)
    quoted = _quoted(Reader(quote))
    if not hmac.compare_digest(quoted.nonce, nonce):
        raise AttestationInvalid("The quote is for another nonce: it may be an old one.")
    values = _values(given, quoted)
    events = _require_explained(_base64(given, "eventLog"), quoted.bank, values)
    expected = {} if measurements is None else published_registers(measurements)
    _require_published(expected, quoted.bank, values)
    return {
        "bank": quoted.bank,
        "pcr": {str(register): value.hex() for register, value in values.items()},
        "events": events,
        "asPublished": [str(register) for register in expected],
    }


def pem_of(public_der: bytes) -> bytes:
    """Return an attestation key as PEM. Raises InvalidInput if it is no public key."""
    try:
        key = load_der_public_key(public_der)
    except ValueError:
        raise InvalidInput("The attestation key is not a public key.") from None
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _parse(answer: bytes) -> dict[str, Any]:
    try:
        found = parse_json(answer)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise AttestationInvalid("This is not a quote: it is not a JSON object.")
    return found


def _base64(given: Mapping[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(given[name], validate=True)
    except (binascii.Error, KeyError, TypeError, ValueError):
        raise AttestationInvalid(f"This is not a quote: {name} is not base64.") from None


def _verify_signature(key_pem: bytes, signature: bytes, quote: bytes) -> None:
    try:
        key = load_pem_public_key(key_pem)
    except ValueError:
        raise InvalidInput("The attestation key is not a public key in PEM.") from None
    if not isinstance(key, EllipticCurvePublicKey):
        raise InvalidInput("The attestation key is not an EC key.")
    reader = Reader(signature)
    if (reader.number(_U16), reader.number(_U16)) != (_ECDSA, _SHA256):
        raise AttestationInvalid("The quote's signature is not one of ECDSA with SHA-256.")
    r, s = (int.from_bytes(reader.take(reader.number(_U16))) for _ in range(2))
    if not reader.is_at_end:
        raise AttestationInvalid("The quote's signature has bytes after its end.")
    try:
        key.verify(encode_dss_signature(r, s), quote, ECDSA(SHA256()))
    except InvalidSignature:
        raise AttestationInvalid("The signature is NOT that of this attestation key.") from None


def _quoted(reader: Reader) -> _Quoted:
    if reader.take(len(_GENERATED)) != _GENERATED or reader.number(_U16) != _QUOTE:
        raise AttestationInvalid("What the TPM signed is not a quote.")
    reader.take(reader.number(_U16))  # The name of the key.
    nonce = reader.take(reader.number(_U16))
    reader.take(_CLOCK_BYTES + _FIRMWARE_BYTES)
    if reader.number(_U32) != 1:
        raise AttestationInvalid("The quote is not about one bank of registers.")
    bank = ALGORITHMS.get(reader.number(_U16), "unknown")
    selected = int.from_bytes(reader.take(reader.number(_U8)), "little")
    registers = tuple(n for n in range(selected.bit_length()) if selected >> n & 1)
    digest = reader.take(reader.number(_U16))
    return _Quoted(nonce, bank, registers, digest)


def _values(given: Mapping[str, Any], quoted: _Quoted) -> dict[int, bytes]:
    """Return the registers' values, if they are those that were signed."""
    said = given.get("pcr")
    texts = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    if set(texts) != set(map(str, quoted.registers)) or given.get("bank") != quoted.bank:
        raise AttestationInvalid("The registers are not those that the quote is about.")
    try:
        values = {register: bytes.fromhex(texts[str(register)]) for register in quoted.registers}
    except (TypeError, ValueError):
        raise AttestationInvalid("A register's value is not hexadecimal.") from None
    if hashlib.sha256(b"".join(values.values())).digest() != quoted.digest:
        raise AttestationInvalid("The registers' values are NOT those that the TPM signed.")
    return values


def _require_explained(log: bytes, bank: str, values: Mapping[int, bytes]) -> int:
    """Raise AttestationInvalid unless the log leads to the values. Return its number of events."""
    if not log:
        return 0
    replayed = replay(log, bank)
    empty = bytes(hashlib.new(bank).digest_size)
    wrong = [n for n, value in values.items() if replayed.registers.get(n, empty) != value]
    if wrong:
        raise AttestationInvalid(
            f"The event log does NOT lead to the value of PCR {', '.join(map(str, wrong))}."
        )
    return replayed.events


def _require_published(
    expected: Mapping[int, bytes], bank: str, values: Mapping[int, bytes]
) -> None:
    if expected and bank != BANK:
        raise AttestationInvalid(f"The measurements are of the bank {BANK}, and the quote is not.")
    for register, value in expected.items():
        found = values.get(register)
        if found is None:
            raise AttestationInvalid(f"The quote is not about PCR {register}.")
        if found != value:
            raise AttestationInvalid(
                f"PCR {register} is NOT that of the image: the machine runs another image."
            )
