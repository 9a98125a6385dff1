"""Keys: made, changed and deleted by Administrators, and shown to users."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from keystead import algorithms
from keystead.algorithms import Algorithm, PrivateKey, PublicParts
from keystead.errors import AlreadyExists, Conflict, InvalidInput, NotFound, SelfTestFailed
from keystead.model.ids import KeyId, Label, Tag, parse_key_id, with_tag
from keystead.model.keys import KeyPath, KeyRecord, Origin, StoredCertificate
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_approvals import of_key, voided
from keystead.self_tests.round_trips import require_consistent
from keystead.storage.key_cache import StoredKey
from keystead.storage.key_value_store import MISSING
from keystead.storage.retry import Unchanged, or_unchanged

_GENERATED_ID_BYTES = 10


class KeyAttributes(msgspec.Struct, frozen=True):
    """What is stored together with a new key."""

    mechanisms: frozenset[str]
    tags: frozenset[Tag]
    label: Label


class KeyView(msgspec.Struct, frozen=True):
    """The parts of a key that the API shows."""

    type_name: str
    mechanisms: Sequence[str]
    """In the order of the algorithm table."""
    tags: frozenset[Tag]
    label: Label
    public: PublicParts | None
    operations: int


def _path(context: CallerContext, key_id: KeyId) -> KeyPath:
    return KeyPath(context.caller.namespace, key_id)


def cached(context: CallerContext, key_id: KeyId) -> StoredKey | None:
    """Return the key as `find` does, or None if it is not in memory."""
    return context.session.keys.cached((context.caller.user_id.namespace, key_id))


async def find(context: CallerContext, key_id: KeyId) -> StoredKey:
    """Return the key of this ID in the caller's namespace, or raise NotFound."""
    return cached(context, key_id) or await load(context, key_id)


async def load(context: CallerContext, key_id: KeyId) -> StoredKey:
    """Return the key as `find` does, from the store: an entity tag needs its revision."""
    key = await context.session.keys.get(_path(context, key_id))
    if key is None:
        raise NotFound(f"Key {key_id} not found.")
    return key


async def require(context: CallerContext, key_id: KeyId) -> None:
    """Raise NotFound unless the caller's namespace has this key."""
    await find(context, key_id)


async def view(context: CallerContext, key_id: KeyId, *, derivation: str | None) -> KeyView:
    """Return what is shown of a key, with the public half of the key at `derivation` below it.

    Raises InvalidInput if there is no such key.
    """
    key = await load(context, key_id)
    return KeyView(
        type_name=key.algorithm.name,
        mechanisms=algorithms.known_mechanisms(key.record.mechanisms),
        tags=key.record.tags,
        label=key.record.label,
        public=key.public_half(derivation).public(),
        operations=context.session.keys.operations(_path(context, key_id), key.record.operations),
    )


async def public_pem(context: CallerContext, key_id: KeyId, *, derivation: str | None) -> bytes:
    """Return the public key, or that at `derivation` below it, as SubjectPublicKeyInfo PEM.

    Raises InvalidInput if there is none.
    """
    return (await load(context, key_id)).public_half(derivation).public_pem()


async def parse(context: CallerContext, read: Callable[[], PrivateKey]) -> PrivateKey:
    """Return the key that `read` parses, in a thread: checking an untrusted RSA key takes long.

    Raises InvalidInput also if the key does not undo what it does. That is the key's fault, and
    a user who sends a bad key must not be able to stop the HSM.
    """

    def checked() -> PrivateKey:
        private = read()
        try:
            require_consistent(private)
        except SelfTestFailed as error:
            raise InvalidInput(f"The private key is not sound. {error.message}") from None
        return private

    return await context.session.keygen_pool.run(checked, party=context.party)


async def require_new(
    context: CallerContext,
    key_id: KeyId | None,
    algorithm: Algorithm,
    attributes: KeyAttributes,
) -> None:
    """Raise InvalidInput if the mechanisms are missing or do not fit the key type.

    Raise AlreadyExists if the ID is taken.
    """
    if not attributes.mechanisms:
        raise InvalidInput("Empty set of mechanisms.")
    if not attributes.mechanisms <= algorithms.mechanism_names(algorithm):
        raise InvalidInput("Mechanism does not match key type.")
    if key_id is not None and await context.session.keys.exists(_path(context, key_id)):
        raise AlreadyExists(f"Key with id {key_id} already exists.")


async def generate(
    context: CallerContext,
    *,
    key_id: KeyId | None,
    algorithm: Algorithm,
    length: int | None,
    attributes: KeyAttributes,
) -> KeyId:
    """Make a key and return its ID. Raises what `require_new` raises."""
    await require_new(context, key_id, algorithm, attributes)
    private = await context.session.key_maker.make(algorithm, length, party=context.party)
    context.session.metrics.count_key_operation("generate")
    return await add(context, key_id, private, attributes, origin=Origin.GENERATED)


async def add(
    context: CallerContext,
    key_id: KeyId | None,
    private: PrivateKey,
    attributes: KeyAttributes,
    *,
    origin: Origin,
) -> KeyId:
    """Store a key under `key_id` or a random ID. Raises AlreadyExists if the ID is taken."""
    chosen = key_id or parse_key_id(os.urandom(_GENERATED_ID_BYTES).hex())
    record = KeyRecord(
        private=private.material(),
        mechanisms=attributes.mechanisms,
        tags=attributes.tags,
        label=attributes.label,
        origin=origin,
        created=int(context.now()),
    )
    await context.session.keys.put(_path(context, chosen), record, expected=MISSING)
    context.note("key created", key=chosen)
    return chosen


async def delete(context: CallerContext, key_id: KeyId) -> None:
    """Delete a key."""
    path = _path(context, key_id)
    async with voided(context.session, of_key(path)):
        await context.session.keys.delete(path)
    context.note("key deleted", key=key_id)


async def move(context: CallerContext, key_id: KeyId, new_id: KeyId) -> None:
    """Give a key another ID. Raises AlreadyExists if that is taken."""
    path, new_path = _path(context, key_id), _path(context, new_id)
    if await context.session.keys.exists(new_path):  # Before any approval is void.
        raise AlreadyExists(f"Key {new_id} already exists.")
    async with voided(context.session, of_key(path)):
        await context.session.keys.move(path, new_path)
    context.note("key moved", key=key_id, to=new_id)


async def _change(
    context: CallerContext, key_id: KeyId, changed: str, edit: Callable[[KeyRecord], KeyRecord]
) -> bool:
    """Replace a key's record by `edit(record)`, and log that its field `changed` was changed.

    Return False, without a write, if the record stays as it is. Of two equal changes at once, one
    is made.
    """
    try:
        await context.session.keys.update(_path(context, key_id), or_unchanged(edit))
    except Unchanged:
        return False
    context.note("key changed", key=key_id, changed=changed)
    return True


async def set_label(context: CallerContext, key_id: KeyId, label: Label) -> bool:
    """Set the label, or remove it if empty. Return whether this changed it."""
    return await _change(context, key_id, "label", lambda record: replace(record, label=label))


async def add_tag(context: CallerContext, key_id: KeyId, tag: Tag) -> bool:
    """Restrict the key to users with one of its tags. Return False if it had `tag` already."""
    return await _change(
        context, key_id, "tags", lambda record: replace(record, tags=with_tag(record.tags, tag))
    )


async def remove_tag(context: CallerContext, key_id: KeyId, tag: Tag) -> None:
    """Remove a tag. Raises NotFound if the key does not have it."""
    if not await _change(
        context, key_id, "tags", lambda record: replace(record, tags=record.tags - {tag})
    ):
        raise NotFound(f"Key {key_id} has no tag {tag}.")


async def certificate(context: CallerContext, key_id: KeyId) -> StoredCertificate:
    """Return the certificate stored with the key. Raises NotFound if there is none."""
    stored = (await load(context, key_id)).record.certificate
    if stored is None:
        raise NotFound(f"There is no certificate for key {key_id}.")
    return stored


async def set_certificate(context: CallerContext, key_id: KeyId, stored: StoredCertificate) -> None:
    """Store a certificate. Raises Conflict if the key has one already."""

    def with_certificate(record: KeyRecord) -> KeyRecord:
        if record.certificate is not None:
            raise Conflict("Key already contains a certificate.")
        return replace(record, certificate=stored)

    await _change(context, key_id, "certificate", with_certificate)


async def delete_certificate(context: CallerContext, key_id: KeyId) -> None:
    """Remove the certificate. Raises NotFound if there is none."""
    if not await _change(
        context, key_id, "certificate", lambda record: replace(record, certificate=None)
    ):
        raise NotFound(f"There is no certificate for key {key_id}.")
