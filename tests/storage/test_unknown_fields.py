"""A record with a field that this version does not know is refused, and so never loses it."""

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

import keystead.storage
from keystead.errors import CorruptRecord
from keystead.model.device_settings import (
    Ipv6Settings,
    LoggingSettings,
    NetworkSettings,
    NtpSettings,
)
from keystead.model.ids import UserId
from keystead.model.keys import PrivateMaterial, StoredCertificate
from keystead.model.policy import (
    ApprovalRule,
    PolicyDocument,
    TaggedApprovers,
    parse_policy,
)
from keystead.model.users import PassphraseVerifier, Role, ScryptParameters, User
from keystead.storage import records, settings
from tests.support.stores import key_record

ADMIN = UserId.parse("admin")
VERIFIER = PassphraseVerifier(b"salt", b"digest", ScryptParameters(n=2, r=1, p=1))
USER = User(ADMIN, "name", Role.OPERATOR, VERIFIER, frozenset({"tag"}))
RULE = ApprovalRule(1, TaggedApprovers("owner"), 60, 5)
KEY = key_record(
    tags=frozenset({"tag"}),
    certificate=StoredCertificate("text/plain", b"cert"),
    policy=parse_policy(PolicyDocument(max_uses=1, approvals=RULE)),
    uses_left=1,
)
KEY_WITH_PUBLIC_HALF = key_record("ML_DSA_65")
RAW_KEY = key_record(private=PrivateMaterial(raw=bytes(16)))
NETWORK = NetworkSettings(
    "192.0.2.1", "255.255.255.0", "192.0.2.254", Ipv6Settings("2001:db8::1/64", None), 42
)

Decode = Callable[[bytes], object]


def decode_key(stored: bytes) -> object:
    return records.decode_key(stored, path="/p")


RECORDS: dict[str, tuple[bytes, Decode]] = {
    "user": (records.encode_user(USER), lambda raw: records.decode_user(ADMIN, raw, path="/p")),
    "key": (records.encode_key(KEY), decode_key),
    "key with its public half": (records.encode_key(KEY_WITH_PUBLIC_HALF), decode_key),
    "raw key": (records.encode_key(RAW_KEY), decode_key),
    "network": (settings.NETWORK.encode(NETWORK), settings.NETWORK.decode),
    "logging": (
        settings.LOGGING.encode(LoggingSettings("192.0.2.1", 514, "info")),
        settings.LOGGING.decode,
    ),
    "ntp": (settings.NTP.encode(NtpSettings(ntp_ip="192.0.2.1")), settings.NTP.decode),
}
"""Each kind of record that is JSON with fields, with all that it can have, and its reader."""


def grown(value: Any) -> Iterator[Any]:
    """Yield `value` with one more field, for each of the objects in it."""
    if isinstance(value, dict):
        yield value | {"restriction": True}
        for name, inner in value.items():
            for changed in grown(inner):
                yield value | {name: changed}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_field_that_is_not_known_is_refused_wherever_it_is(kind):
    stored, decode = RECORDS[kind]
    assert decode(stored)
    variants = list(grown(json.loads(stored.decode("latin-1"))))
    assert variants
    for variant in variants:
        with pytest.raises((CorruptRecord, ValueError)):
            decode(json.dumps(variant).encode("latin-1"))


IN_MEMORY = {
    "Block",
    "Following",
    "Permit",
    "PolicyUse",
    "ScryptParameters",
    "SealedSet",
    "Setting",
    "StoredCertificate",
    "UserId",
    "_Count",
    "_Counted",
    "_Entry",
    "_Known",
}
"""Structs that no record is decoded into."""
REFUSED_WHEN_READ = {"LastTransaction"}
"""See `test_etcd_watch`."""


def test_no_shape_of_a_record_drops_what_it_does_not_know():
    shapes = [
        value
        for module in pkgutil.walk_packages(keystead.storage.__path__, "keystead.storage.")
        for value in vars(importlib.import_module(module.name)).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__struct_fields__
        if value.__name__ not in IN_MEMORY | REFUSED_WHEN_READ
        if not value.__module__.startswith("keystead.etcd.")  # Messages, which etcd may extend.
    ]
    assert {"_UserJson", "_KeyJson", "_NetworkJson"} <= {shape.__name__ for shape in shapes}
    assert not [shape for shape in shapes if not shape.__struct_config__.forbid_unknown_fields]
