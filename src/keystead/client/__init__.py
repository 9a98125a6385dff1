"""The Python client: `Client`, the certificates that it trusts, and its errors.

    from keystead.client import Client, Credentials, Endpoint, Pinned

    with Client([Endpoint("hsm.example", 8443, Pinned("3f…"))], Credentials("signer", "…")) as hsm:
        signature = hsm.sign("first", "ECDSA", digest)

Private keys for the `cryptography` library are in `keystead.client.private_keys`.
"""

from keystead.client.client import Client, Credentials
from keystead.client.errors import (
    Busy,
    CannotConnect,
    ClientError,
    NotAuthenticated,
    NotFound,
    Refused,
    UnexpectedAnswer,
    UntrustedCertificate,
    WrongState,
)
from keystead.client.trust import Anyone, Endpoint, Pinned, SignedBy, parse_pin

__all__ = [
    "Anyone",
    "Busy",
    "CannotConnect",
    "Client",
    "ClientError",
    "Credentials",
    "Endpoint",
    "NotAuthenticated",
    "NotFound",
    "Pinned",
    "Refused",
    "SignedBy",
    "UnexpectedAnswer",
    "UntrustedCertificate",
    "WrongState",
    "parse_pin",
]
