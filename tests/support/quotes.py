"""A TPM's quotes and a firmware's log, made by hand as their specifications say it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from struct import pack

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystead.wire.platform_messages import MachineQuote
from tests.support.core import b64

NO_ACTION = 3
EV_POST_CODE = 1
SHA256_ID = 0x000B


def sized(data: bytes) -> bytes:
    return pack(">H", len(data)) + data


def extended(value: bytes, digest: bytes) -> bytes:
    return hashlib.sha256(value + digest).digest()


def event(register: int, kind: int, digest: bytes, data: bytes = b"") -> bytes:
    """TCG_PCR_EVENT2 with one digest, of SHA-256."""
    return pack("<IIIH", register, kind, 1, SHA256_ID) + digest + pack("<I", len(data)) + data


def header() -> bytes:
    """The first event, TCG_PCR_EVENT with TCG_EfiSpecIdEvent."""
    told = b"Spec ID Event03\0" + pack("<IBBBB", 0, 0, 2, 0, 2)
    told += pack("<IHHB", 1, SHA256_ID, 32, 0)
    return pack("<II", 0, NO_ACTION) + bytes(20) + pack("<I", len(told)) + told


def event_log(*measured: tuple[int, bytes]) -> bytes:
    """The log of a boot at which these texts were measured into these registers."""
    events = [
        event(register, EV_POST_CODE, hashlib.sha256(text).digest(), text)
        for register, text in measured
    ]
    return header() + b"".join(events)


def after(*measured: tuple[int, bytes]) -> dict[str, bytes]:
    """The values of PCRs 0 to 7 and 11 after that boot."""
    values = {str(register): bytes(32) for register in (*range(8), 11)}
    for register, text in measured:
        values[str(register)] = extended(values[str(register)], hashlib.sha256(text).digest())
    return values


BOOT: Sequence[tuple[int, bytes]] = ((0, b"firmware"), (4, b"image"), (11, b"kernel"))


class HandmadeTpm:
    """An attestation key, and what a TPM with it signs."""

    def __init__(self, measured: Sequence[tuple[int, bytes]] = BOOT) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.values = after(*measured)
        self.log = event_log(*measured)
        public = self.key.public_key()
        self.public_der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def signed(self, attest: bytes, nonce: bytes = b"") -> MachineQuote:
        """What the key has signed: `attest`, or a quote with `nonce` if that is empty."""
        attest = attest or attestation(self.values, nonce)
        r, s = decode_dss_signature(self.key.sign(attest, ec.ECDSA(SHA256())))
        parts = (sized(number.to_bytes(32)) for number in (r, s))
        signature = pack(">HH", 0x0018, SHA256_ID) + b"".join(parts)
        return MachineQuote(attest, signature, "sha256", self.values, self.log)

    async def quote(self, nonce: bytes) -> MachineQuote:
        return self.signed(b"", nonce)


def attestation(values: Mapping[str, bytes], nonce: bytes, magic: bytes = b"\xffTCG") -> bytes:
    """TPMS_ATTEST of a quote."""
    bits = sum(1 << int(register) for register in values).to_bytes(3, "little")
    clock = pack(">QIIB", 12345, 1, 0, 1) + bytes(8)
    selection = pack(">IHB", 1, SHA256_ID, len(bits)) + bits
    digest = hashlib.sha256(b"".join(values.values())).digest()
    name = sized(pack(">H", SHA256_ID) + bytes(32))
    return magic + pack(">H", 0x8018) + name + sized(nonce) + clock + selection + sized(digest)


def answer_of(quote: MachineQuote, /, **others: object) -> bytes:
    """The JSON that POST /system/attestation would answer, but for `others`."""
    told = {
        "quote": b64(quote.quote),
        "signature": b64(quote.signature),
        "bank": quote.bank,
        "pcr": {register: value.hex() for register, value in quote.pcr.items()},
        "eventLog": b64(quote.event_log),
    }
    return json.dumps(told | others).encode()
