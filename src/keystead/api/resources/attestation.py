"""What the HSM signs about its keys, and the identity that signs it."""

from typing import Final

import msgspec

from keystead.api.http.route import Call, Created, Reply
from keystead.api.resources.shapes import DistinguishedName, decode_nonce, json_reply
from keystead.certificates.device_identity import sign_compact
from keystead.model.ids import parse_key_id
from keystead.operations import attest_keys, manage_keys
from keystead.operations.attest_keys import Attestation, SoftwareFacts

MAX_NONCE_BYTES: Final = 64


class AttestationRequest(msgspec.Struct, forbid_unknown_fields=True):
    """POST /keys/{id}/attestation: a nonce of 8 to 64 bytes, in base64."""

    nonce: str


class IdentityView(msgspec.Struct, rename="camel"):
    """GET /system/identity; PEM."""

    device_id: str
    public_key: str
    certificates: str
    """The identity's certificate first, then each one's issuer."""


async def attest(call: Call[AttestationRequest]) -> Reply[Attestation]:
    """POST /keys/{id}/attestation: facts about a key, signed by the HSM's identity (JWS)."""
    key_id = parse_key_id(call.parameters["key_id"])
    await manage_keys.require(call.context, key_id)
    wanted = await call.json(AttestationRequest)
    decode_nonce(wanted.nonce, most=MAX_NONCE_BYTES)
    facts = SoftwareFacts(call.hsm.device_id, call.hsm.software_digest)
    claims = await attest_keys.attestation(call.context, key_id, nonce=wanted.nonce, software=facts)
    identity = await call.hsm.identity.get(call.session)
    call.require_allowed()
    call.context.note("key attested", key=key_id)
    return Reply(200, sign_compact(identity.private, claims))


async def identity(call: Call[None]) -> Reply[IdentityView]:
    """GET /system/identity: the public key and certificates that verify attestations."""
    found = await call.hsm.identity.get(call.session)
    return json_reply(
        IdentityView(
            device_id=call.hsm.device_id,
            public_key=found.private.public_pem().decode(),
            certificates=found.chain.decode(),
        )
    )


async def identity_csr(call: Call[DistinguishedName]) -> Reply[bytes]:
    """POST /system/identity/csr.pem: a certificate signing request of the identity."""
    subject = (await call.json(DistinguishedName)).subject()
    return Reply(200, await call.hsm.identity.csr(call.context, subject))


async def set_identity_certificate(call: Call[bytes]) -> Created[None]:
    """PUT /system/identity/cert.pem: the identity's certificate, then each one's issuer."""
    await call.hsm.identity.set_chain(call.context, await call.body())
    return Reply(201)
