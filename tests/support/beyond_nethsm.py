"""Everything that Keystead's API has and NetHSM's description has not: one list, for all tests.

Whoever adds to the API adds a line here, and to docs/divergences.md.
"""

from typing import Any, Final

KEY_TYPES: Final = (
    "Ed448",
    "ML_DSA_44",
    "ML_DSA_65",
    "ML_DSA_87",
    "X25519",
    "X448",
    "ML_KEM_768",
    "ML_KEM_1024",
    "BIP32",
)

MECHANISMS: Final = (
    "AES_Encryption_GCM",
    "AES_Decryption_GCM",
    "AES_KeyWrap",
    "AES_KeyUnwrap",
    "AES_KeyWrap_Pad",
    "AES_KeyUnwrap_Pad",
    "AES_CMAC",
    "HMAC_SHA256",
    "HMAC_SHA384",
    "HMAC_SHA512",
    "ML_DSA_Signature",
    "HKDF_SHA256",
    "HKDF_SHA384",
    "HKDF_SHA512",
    "ECDH_Derivation",
    "ML_KEM_Decapsulation",
)

MODES: Final[dict[str, tuple[str, ...]]] = {
    "sign": (
        "AES_CMAC",
        "HMAC_SHA256",
        "HMAC_SHA384",
        "HMAC_SHA512",
        "ML_DSA",
        "ML_DSA_MU",
    ),
    "encrypt": ("AES_GCM", "AES_KW", "AES_KWP"),
    "decrypt": ("AES_GCM", "AES_KW", "AES_KWP"),
}
"""Modes of uses that NetHSM has."""

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "POST /keys/{}/sign": ("context", "derivation", "messages"),
    "POST /keys/{}/encrypt": ("aad",),
    "POST /keys/{}/decrypt": ("aad", "tag"),
    "POST /provision": ("unlockShares",),
    "POST /unlock": ("share", "acknowledgeRollback"),
    "PUT /config/network": ("vlan",),
    "PUT /config/unlock-passphrase": ("unlockShares", "currentShares"),
}
"""Optional fields of requests that NetHSM has."""

OPTIONAL: Final[dict[str, tuple[str, ...]]] = {
    "POST /keys/{}/sign": ("message",),
    "POST /provision": ("unlockPassphrase",),
    "POST /unlock": ("passphrase",),
    "PUT /config/unlock-passphrase": ("newPassphrase", "currentPassphrase"),
}
"""Fields that NetHSM's requests need, and that a field of ours can stand for."""

SUCCESSES: Final[dict[str, tuple[str, ...]]] = {
    "POST /provision": ("200",),
    "POST /unlock": ("202",),
    "PUT /config/unlock-passphrase": ("200",),
}
"""Statuses of success that operations of NetHSM have only with fields of ours."""

_PAGES: Final = ("details", "limit", "after", "prefix", "labelContains", "tag", "type")

QUERIES: Final[dict[str, tuple[str, ...]]] = {
    "GET /keys": _PAGES,
    "GET /keys/{}*": _PAGES,
    "GET /keys/{}": ("derivation",),
    "GET /keys/{}/public.pem": ("derivation",),
    "GET /health/diagnose": ("details",),
    "GET /system/info": ("details",),
}
"""Parameters after `?` of operations that NetHSM has. Its own are `label` and `filter`."""

_EVERYONE: Final = ("Root", "Namespaced")


def _facts(
    roles: str, callers: tuple[str, ...] = ("Root",), states: tuple[str, ...] = ("Operational",)
) -> dict[str, Any]:
    """Return who may call an operation, and when, as the facts about NetHSM say it."""
    return {"roles": roles.split(), "states": [*states], "caller_namespace": [*callers]}


OPERATIONS: Final[dict[str, dict[str, Any]]] = {
    "GET /health/lockouts": _facts("Administrator"),
    "GET /openapi.json": _facts(
        "Public", _EVERYONE, ("Unprovisioned", "Locked", "Operational", "Failed")
    ),
    "POST /keys/{}/verify": _facts("Operator", _EVERYONE),
    "POST /keys/{}/derive": _facts("Operator", _EVERYONE),
    "POST /keys/{}/decapsulate": _facts("Operator", _EVERYONE),
    "POST /keys/{}/encapsulate": _facts("Operator", _EVERYONE),
    "GET /keys/{}/policy": _facts("Administrator Operator", _EVERYONE),
    "PUT /keys/{}/policy": _facts("Administrator", _EVERYONE),
    "DELETE /keys/{}/policy": _facts("Administrator", _EVERYONE),
    "POST /keys/{}/approvals": _facts("Operator", _EVERYONE),
    "GET /approvals": _facts("Administrator Operator", _EVERYONE),
    "GET /approvals/{}": _facts("Administrator Operator", _EVERYONE),
    "POST /approvals/{}/approve": _facts("Administrator Operator", _EVERYONE),
    "POST /approvals/{}/refuse": _facts("Administrator Operator", _EVERYONE),
    "POST /keys/{}/attestation": _facts("Administrator Operator", _EVERYONE),
    "GET /system/identity": _facts("Public", _EVERYONE),
    "POST /system/identity/csr.pem": _facts("Administrator"),
    "PUT /system/identity/cert.pem": _facts("Administrator"),
    "GET /namespaces/{}/quota": _facts("Administrator"),
    "PUT /namespaces/{}/quota": _facts("Administrator"),
    "POST /system/attestation": _facts("Administrator"),
    "GET /config/journal": _facts("Administrator"),
    "PUT /config/journal": _facts("Administrator"),
    **{
        f"GET /journal{rest}": _facts("Auditor") | {"roles": ["Administrator", "Auditor"]}
        for rest in ("", "/head", "/key.pem")
    },
    "DELETE /journal": _facts("Auditor"),
    # Version 5.0 of NetHSM has these, and the description that came with its start has not.
    "GET /config/ntp": _facts("Administrator"),
    "PUT /config/ntp": _facts("Administrator"),
}
