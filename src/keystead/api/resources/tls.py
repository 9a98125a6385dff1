"""The server's own key and certificates, and the cluster's authority."""

from typing import Annotated

import msgspec

from keystead import algorithms
from keystead.api.http.route import NO_CONTENT, Call, Created, Reply
from keystead.api.resources.shapes import DistinguishedName, KeyTypeName, Length
from keystead.errors import InvalidInput


class TlsKeyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """POST /config/tls/generate."""

    type: KeyTypeName
    length: Length = 0


async def generate(call: Call[TlsKeyRequest]) -> Reply[None]:
    """POST /config/tls/generate: a new key, with a certificate of its own making."""
    wanted = await call.json(TlsKeyRequest)
    algorithm = algorithms.BY_NAME.get(wanted.type)
    if algorithm is None:
        raise InvalidInput("Unknown key type.")
    await call.hsm.tls.generate(call.context, algorithm=algorithm, length=wanted.length or None)
    return NO_CONTENT


async def public_pem(call: Call[None]) -> Reply[bytes]:
    """GET /config/tls/public.pem: the public key."""
    return Reply(200, call.hsm.tls.public_pem())


async def certificate(call: Call[None]) -> Reply[bytes]:
    """GET /config/tls/cert.pem: the whole chain."""
    return Reply(200, await call.hsm.tls.chain())


async def set_certificate(call: Call[bytes]) -> Created[None]:
    """PUT /config/tls/cert.pem: the certificate, then each one's issuer."""
    pem = await call.body()
    await call.hsm.tls.set_chain(call.context, pem)
    return Reply(201, headers=[("Location", call.request.path)])


async def csr(call: Call[DistinguishedName]) -> Reply[bytes]:
    """POST /config/tls/csr.pem: a certificate signing request."""
    subject = (await call.json(DistinguishedName)).subject()
    return Reply(200, await call.hsm.tls.csr(call.context, subject))


async def cluster_ca(call: Call[None]) -> Annotated[Reply[bytes], 404]:
    """GET /config/tls/cluster-ca.pem: the cluster's authority."""
    return Reply(200, await call.hsm.tls.cluster_ca())


async def set_cluster_ca(call: Call[bytes]) -> Created[None]:
    """PUT /config/tls/cluster-ca.pem: set the cluster's authority."""
    pem = await call.body()
    await call.hsm.tls.set_cluster_ca(call.context, pem)
    return Reply(201)
