"""Keys as things to manage: list, make, import, show, label, move, delete, certify."""

from typing import Any

import msgspec

from keystead import algorithms
from keystead.algorithms import Algorithm, PrivateKey, PrivateParts, PublicParts
from keystead.api.http.actions import name_target
from keystead.api.http.encoding import decode_base64, encode_base64
from keystead.api.http.json_bodies import decode_json
from keystead.api.http.multipart import parse_two_parts
from keystead.api.http.negotiation import media_type
from keystead.api.http.route import (
    MULTIPART,
    NO_CONTENT,
    NOT_MODIFIED,
    Call,
    Changed,
    Created,
    Parts,
    Reply,
)
from keystead.api.resources.shapes import (
    DistinguishedName,
    Item,
    KeyAttributesRequest,
    KeyTypeName,
    Length,
    MechanismName,
    Restrictions,
    created,
    json_reply,
)
from keystead.errors import InvalidInput
from keystead.model.ids import KeyId, parse_key_id, parse_label, parse_new_key_id
from keystead.model.keys import Origin, StoredCertificate
from keystead.model.secret import Hidden
from keystead.operations import manage_keys, use_keys
from keystead.operations.manage_keys import KeyAttributes, KeyView


class PrivateData(Hidden, forbid_unknown_fields=True, rename="camel"):
    """The numbers of a private key, base64; which of them depends on the type. '' is none."""

    prime_p: str = ""
    prime_q: str = ""
    public_exponent: str = ""
    data: str = ""
    mnemonic: str = ""
    mnemonic_passphrase: str = ""


class ImportRequest(KeyAttributesRequest, forbid_unknown_fields=True, kw_only=True):
    """POST /keys and PUT /keys/{id} with JSON."""

    type: KeyTypeName
    private: PrivateData


class KeyFileRequest(Parts):
    """POST /keys and PUT /keys/{id} with a file; PEM."""

    arguments: KeyAttributesRequest
    key_file: str


class GenerateRequest(KeyAttributesRequest, forbid_unknown_fields=True, kw_only=True):
    """POST /keys/generate."""

    type: KeyTypeName
    length: Length = 0
    id: str = ""


class LabelRequest(msgspec.Struct, forbid_unknown_fields=True):
    """PUT /keys/{id}/label."""

    label: str


class MoveRequest(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """POST /keys/{id}/move."""

    new_id: str


class PublicData(msgspec.Struct, rename="camel"):
    """The numbers of a public key, base64; which of them depends on the type."""

    modulus: str | msgspec.UnsetType = msgspec.UNSET
    public_exponent: str | msgspec.UnsetType = msgspec.UNSET
    data: str | msgspec.UnsetType = msgspec.UNSET


class PublicKeyView(msgspec.Struct):
    """GET /keys/{id}."""

    mechanisms: list[MechanismName]
    type: KeyTypeName
    restrictions: Restrictions
    operations: int
    public: PublicData | msgspec.UnsetType = msgspec.UNSET
    label: str | msgspec.UnsetType = msgspec.UNSET


async def generate(call: Call[GenerateRequest]) -> Created[Item]:
    """POST /keys/generate: make a key."""
    wanted = await call.json(GenerateRequest)
    key_id = await manage_keys.generate(
        call.context,
        key_id=parse_new_key_id(wanted.id) if wanted.id else None,
        algorithm=_algorithm(wanted.type),
        length=wanted.length or None,
        attributes=wanted.attributes(),
    )
    return created(key_id)


async def import_new(call: Call[ImportRequest | KeyFileRequest]) -> Created[Item]:
    """POST /keys: bring a key in; its ID is generated."""
    private, attributes = await _private_key(call)
    origin = Origin.IMPORTED
    return created(await manage_keys.add(call.context, None, private, attributes, origin=origin))


async def import_as(call: Call[ImportRequest | KeyFileRequest]) -> Reply[None]:
    """PUT /keys/{id}: bring a key in."""
    key_id = parse_new_key_id(call.parameters["key_id"])
    private, attributes = await _private_key(call)
    await manage_keys.add(call.context, key_id, private, attributes, origin=Origin.IMPORTED)
    return NO_CONTENT


async def show(call: Call[None]) -> Reply[PublicKeyView]:
    """GET /keys/{id}: all that is public of a key, or of the BIP32 key at ?derivation=."""
    derivation = call.query("derivation")
    view = await manage_keys.view(call.context, _key_id(call), derivation=derivation)
    return json_reply(PublicKeyView(**shown_fields(view)))


async def delete(call: Call[None]) -> Reply[None]:
    """DELETE /keys/{id}: delete a key."""
    await manage_keys.delete(call.context, _key_id(call))
    return NO_CONTENT


async def set_label(call: Call[LabelRequest]) -> Changed:
    """PUT /keys/{id}/label: label a key."""
    key_id = _key_id(call)
    label = parse_label((await call.json(LabelRequest)).label)
    changed = await manage_keys.set_label(call.context, key_id, label)
    return NO_CONTENT if changed else NOT_MODIFIED


async def delete_label(call: Call[None]) -> Reply[None]:
    """DELETE /keys/{id}/label: take the label off a key, if it has one."""
    await manage_keys.set_label(call.context, _key_id(call), parse_label(""))
    return NO_CONTENT


async def public_pem(call: Call[None]) -> Reply[bytes]:
    """GET /keys/{id}/public.pem: the public key, or that of the BIP32 key at ?derivation=."""
    derivation = call.query("derivation")
    pem = await manage_keys.public_pem(call.context, _key_id(call), derivation=derivation)
    return Reply(200, pem)


async def csr(call: Call[DistinguishedName]) -> Reply[bytes]:
    """POST /keys/{id}/csr.pem: a certificate signing request."""
    key = await manage_keys.find(call.context, _key_id(call))
    subject = (await call.json(DistinguishedName)).subject()
    return Reply(200, await use_keys.csr(call.context, key, subject))


async def move(call: Call[MoveRequest]) -> Reply[Item]:
    """POST /keys/{id}/move: give a key another ID."""
    key_id = _key_id(call)
    await manage_keys.require(call.context, key_id)
    new_id = parse_new_key_id((await call.json(MoveRequest)).new_id)
    name_target(call, new_id)
    await manage_keys.move(call.context, key_id, new_id)
    return json_reply(Item(new_id))


async def certificate(call: Call[None]) -> Reply[bytes]:
    """GET /keys/{id}/cert: the certificate, as it was stored."""
    stored = await manage_keys.certificate(call.context, _key_id(call))
    return Reply(200, stored.data)


async def set_certificate(call: Call[bytes]) -> Created[None]:
    """PUT /keys/{id}/cert: store a certificate beside a key."""
    key_id = _key_id(call)
    stored = StoredCertificate(call.route.produces, await call.body())
    await manage_keys.set_certificate(call.context, key_id, stored)
    return Reply(201)


async def delete_certificate(call: Call[None]) -> Reply[None]:
    """DELETE /keys/{id}/cert: delete the certificate."""
    await manage_keys.delete_certificate(call.context, _key_id(call))
    return NO_CONTENT


def _key_id(call: Call[Any]) -> KeyId:
    return parse_key_id(call.parameters["key_id"])


def _algorithm(name: str) -> Algorithm:
    try:
        return algorithms.BY_NAME[name]
    except KeyError:
        raise InvalidInput("Unknown key type.") from None


async def _private_key(call: Call[Any]) -> tuple[PrivateKey, KeyAttributes]:
    """Return the key that the request brings, by JSON or by PEM, and what it is stored with."""
    body = await call.body()
    content_type = call.request.headers.get("content-type", "")
    if media_type(content_type) == MULTIPART:
        arguments, pem = parse_two_parts(body, content_type)
        attributes = decode_json(arguments, KeyAttributesRequest).attributes()
        private = await manage_keys.parse(call.context, lambda: algorithms.import_pem(pem))
        return private, attributes
    wanted = decode_json(body, ImportRequest)
    algorithm, parts = _algorithm(wanted.type), _parts(wanted.private)
    attributes = wanted.attributes()
    private = await manage_keys.parse(
        call.context, lambda: algorithms.import_parts(algorithm, parts)
    )
    return private, attributes


def _parts(private: PrivateData) -> PrivateParts:
    def decoded(text: str, name: str) -> bytes | None:
        return decode_base64(text, name=name) if text else None

    return PrivateParts(
        prime_p=decoded(private.prime_p, "primeP"),
        prime_q=decoded(private.prime_q, "primeQ"),
        public_exponent=decoded(private.public_exponent, "publicExponent"),
        data=decoded(private.data, "data"),
        mnemonic=private.mnemonic or None,
        mnemonic_passphrase=private.mnemonic_passphrase or None,
    )


def shown_fields(view: KeyView) -> dict[str, Any]:
    """Return the fields of a PublicKeyView. A list makes thousands of views with these and more."""
    return {
        "mechanisms": list(view.mechanisms),
        "type": view.type_name,
        "restrictions": Restrictions(tags=sorted(view.tags)),
        "operations": view.operations,
        # Left out, not null, for a Generic key: clients made from the description refuse a null.
        "public": msgspec.UNSET if view.public is None else _public_parts(view.public),
        "label": view.label or msgspec.UNSET,
    }


def _public_parts(public: PublicParts) -> PublicData:
    return PublicData(
        modulus=_encoded(public.modulus),
        public_exponent=_encoded(public.public_exponent),
        data=_encoded(public.data),
    )


def _encoded(value: bytes | None) -> str | msgspec.UnsetType:
    return msgspec.UNSET if value is None else encode_base64(value)
