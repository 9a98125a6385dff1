"""No object that holds a secret shows it, however it is printed, formatted, copied or traced."""

import copy
import dataclasses
import importlib
import pickle
import pkgutil
import re
import traceback
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import keystead
from keystead import algorithms
from keystead.algorithms import PrivateParts
from keystead.api.http.route import Reply, decode_json
from keystead.api.resources.lifecycle import ProvisionRequest, UnlockRequest, UnlockShares
from keystead.errors import InvalidInput
from keystead.model.ids import KeyId
from keystead.model.keys import KeyPath, KeyRecord, PrivateMaterial
from keystead.model.secret import Secret
from keystead.model.users import PassphraseVerifier
from keystead.operations.authentication import UnverifiedCredentials, parse_basic
from keystead.operations.given_shares import GivenShares
from keystead.operations.restore import Wish
from keystead.operations.tls import TlsIdentity
from keystead.sealing.backup import BackupOrigin, BackupWriter
from keystead.sealing.unlock_shares import MadeShares, ShareSet, UnlockShare
from keystead.storage.key_cache import StoredKey
from keystead.wire.edge_messages import Request, Response, TryOut, Welcome
from keystead.wire.platform_messages import CoreSettings, Hello, KeepUnattendedKey
from tests.support.leaks import Secrets
from tests.support.server import basic

VALUE = b"a value that nobody may see"
TEXT = VALUE.decode()


def seen(shown: str) -> list[str]:
    secrets = Secrets()
    secrets.add("value", VALUE)
    return secrets.found_in(shown.encode())


def generated(name: str) -> Any:
    return algorithms.BY_NAME[name].generate({"Generic": 128, "RSA": 2048}.get(name))


def cached() -> StoredKey:
    material = PrivateMaterial(raw=VALUE)
    private = algorithms.load(material)
    return StoredKey(KeyPath(None, KeyId("x")), KeyRecord(material, frozenset()), 1, private)


def given() -> GivenShares:
    shares = GivenShares(lambda: 0.0)
    shares.add(UnlockShare("K7QD", 1, Secret(VALUE)), network="192.0.2.1", need=2)
    return shares


HOLDERS: dict[str, object] = {
    "a secret": Secret(VALUE),
    "credentials": UnverifiedCredentials("user", Secret(VALUE)),
    "parsed credentials": parse_basic(basic("user", TEXT)),
    "a verifier": PassphraseVerifier(b"salt", VALUE, None),
    "private material": PrivateMaterial(pem=VALUE, raw=VALUE),
    "private parts": PrivateParts(prime_p=VALUE, prime_q=VALUE, data=VALUE),
    "a cached key": cached(),
    "a TLS identity": TlsIdentity(Secret(VALUE), b""),
    "a wish to restore": Wish(Secret(VALUE), None),
    "the origin of a backup": BackupOrigin(b"", None, Secret(VALUE)),
    "a maker of backups": BackupWriter(Secret(VALUE), b""),
    "a reply": Reply(200, VALUE),
    "Hello": Hello(VALUE, CoreSettings(), VALUE),
    "a key to keep": KeepUnattendedKey(1, VALUE),
    "Welcome": Welcome(VALUE, b""),
    "TryOut": TryOut(1, VALUE, b""),
    "a request": Request(1, "PUT", "/", "", {"authorization": basic("u", TEXT)}, "::1", VALUE),
    "a response": Response(1, 200, b"", VALUE),
    "a request to provision": ProvisionRequest(
        admin_passphrase=TEXT, unlock_passphrase=TEXT, system_time="2026-01-01T00:00:00Z"
    ),
    "a request to unlock": UnlockRequest(passphrase=TEXT, share=TEXT),
    "an answer with unlock shares": UnlockShares([TEXT]),
    "an unlock share": UnlockShare("K7QD", 1, Secret(VALUE)),
    "made unlock shares": MadeShares(Secret(VALUE), [TEXT], ShareSet("K7QD", 2, [])),
    "given unlock shares": given(),
}


@pytest.mark.parametrize("what", HOLDERS)
def test_it_does_not_show_what_it_holds(what):
    holder = HOLDERS[what]
    for shown in (
        repr(holder),
        str(holder),
        f"{holder}",
        f"{holder!r:>200}",
        "%s %r" % (holder, holder),  # noqa: UP031 - one of the ways
        "{} {!a}".format(holder, holder),  # noqa: UP032 - another one
        repr([holder]),
        repr({"holder": holder}),
    ):
        assert seen(shown) == []


@pytest.mark.parametrize("what", HOLDERS)
def test_a_traceback_with_the_values_of_variables_does_not_show_it(what):
    holder = HOLDERS[what]

    def fail(holder: object) -> None:
        raise ValueError(f"not this: {holder}")

    with pytest.raises(ValueError, match="not this") as caught:
        fail(holder)
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert seen("".join(trace.format())) == []


def test_a_secret_is_neither_pickled_nor_copied_nor_compared():
    secret = Secret(VALUE)
    for forbidden in (
        lambda: pickle.dumps(secret),
        lambda: copy.copy(secret),
        lambda: copy.deepcopy(secret),
        lambda: secret == Secret(VALUE),
        lambda: hash(secret),
        lambda: {secret},
    ):
        with pytest.raises(TypeError):
            forbidden()


@pytest.mark.parametrize("name", algorithms.BY_NAME)
def test_a_key_does_not_show_itself(name):
    key = generated(name)
    secrets = Secrets()
    material = key.material()
    if material.pem is not None:
        secrets.add_pem("key", material.pem)
    else:
        secrets.add("key", material.raw)
    assert secrets.found_in(f"{key} {key!r} {[key]} {material!r}".encode()) == []


@pytest.mark.parametrize(
    "body",
    [
        f'{{"unlockPassphrase": "{TEXT}", ',
        f'{{"unlockPassphrase": ["{TEXT}"]}}',
        f'{{"unlockPassphrase": "{TEXT}"}}',
        f'"{TEXT}"',
        TEXT,
        f'{{"unlockPassphrase": "{TEXT}\\ud800", "adminPassphrase": "{TEXT}", "systemTime": 1}}',
    ],
)
def test_an_error_about_a_body_does_not_quote_its_values(body):
    with pytest.raises(InvalidInput) as caught:
        decode_json(body.encode(), ProvisionRequest)
    assert seen(f"{caught.value} {caught.value!r} {caught.value.__cause__!r}") == []


@pytest.mark.parametrize("around", ["{}", "it's {}", '"{}', "{} - at `$.role`", "{}\n\\"])
def test_an_error_about_a_choice_does_not_quote_what_was_chosen(around):
    from keystead.api.resources.users import UserRequest  # noqa: PLC0415 - the one shape with a choice

    body = msgspec.json.encode({"realName": "x", "passphrase": "x", "role": around.format(TEXT)})
    with pytest.raises(InvalidInput, match=r"Invalid enum value - at `\$\.role`") as caught:
        decode_json(body, UserRequest)
    assert seen(caught.value.message) == []


SECRET_SOUNDING = re.compile(
    r"passphrase|private|secret|prime|_key|key_|^key|raw|pem|body|data|value|headers|header"
    r"|message|plaintext|decrypted|encrypted|random|waiting|digest|credential|mnemonic|seed"
)
HARMLESS = {
    "KnownKey.pem",  # published with the software
    "KnownKey.raw",
    "KnownAnswer.message",
    "ErrorMessage.message",  # what went wrong; values are left out of it
    "UnlockConflict.message",
    "HttpError.message",
    "StoredValue.value",  # sealed
    "Change.value",
    "JournalEntry.key",  # an ID, in the journal
    "StoredHead.digest",  # of entries
    "PrivateMaterial.raw_type",  # a name
    "CoreContext.device_key_provider",
    "SystemInfo.device_key",  # the name of what keeps it
    "_Both.seed",  # a shape of pyca's asn1, which has no repr of its own
    "PublicData.data",
    "PublicParts.data",
    "PublicKeyView.public",
    "ListedKeyView.public",
    "ListedKeyView.public_pem",
    "StoredCertificate.data",  # public
    "SyslogReceiver.authorities_pem",
    "PlatformSettings.update_key_pem",
    "SystemInfo.ak_pub",
    "Encrypted.encrypted",
    "BackupOrigin.locked_domain_key",  # sealed
    "Reply.headers",  # an answer's
    "_File.data",  # a path
    "_Update.public_key",
    "_DeviceKey.credential",  # a name
    "DeviceKeySettings.credential",
    "DeviceKeySettings.credentials_directory",
    "SealedSecret.private",  # sealed by the TPM
    "SealedSecret.values",
    "Attestation.key_id",  # a name
    "Attestation.public_key",
    "Attestation.policy_digest",  # of what is public
    "Attestation.software_digest",
    "SoftwareFacts.software_digest",
    "CoreContext.software_digest",
    "IdentityView.public_key",
    "ApprovalView.key",  # a name
    "ApprovalSubject.policy_digest",  # of rules that every Operator may read
    "ImageKey.public_pem",
    "Images.public_pem",
    "DeviceKeySettings.image_key_pem",  # public
    "_DeviceKey.image_key",  # a path
    "_Quoted.digest",  # of registers that the TPM shows to everyone
    "Page.body",  # the same for everyone
    "Page.header_lines",
}


def shapes() -> Iterator[type]:
    """Every dataclass and Struct of the product."""
    for module in pkgutil.walk_packages(keystead.__path__, "keystead."):
        if module.name.endswith("__main__"):
            continue
        try:
            loaded = importlib.import_module(module.name)
        except ModuleNotFoundError as missing:
            if missing.name != "tpm2_pytss":  # The one package that is optional.
                raise
            continue
        for one in vars(loaded).values():
            if not isinstance(one, type) or one.__module__ != module.name:
                continue
            if dataclasses.is_dataclass(one) or issubclass(one, msgspec.Struct):
                yield one


def shown_fields(shape: type) -> Iterator[str]:
    """Names of the fields of bytes or text that its repr shows."""
    if issubclass(shape, msgspec.Struct):
        if shape.__repr__ is not msgspec.Struct.__repr__:
            return
        for one in msgspec.structs.fields(shape):
            if "bytes" in str(one.type) or "str" in str(one.type):
                yield one.name
    else:
        for field in dataclasses.fields(shape):
            if field.repr and ("bytes" in str(field.type) or "str" in str(field.type)):
                yield field.name


def test_what_sounds_like_a_secret_is_in_no_repr():
    found = list(shapes())
    assert len(found) > 100
    shown = {
        f"{shape.__name__}.{name}"
        for shape in found
        for name in shown_fields(shape)
        if SECRET_SOUNDING.search(name)
    }
    assert sorted(shown - HARMLESS) == []
