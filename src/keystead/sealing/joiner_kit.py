"""What a new member of a cluster needs to open the domain key with its unlock passphrase.

    backup salt                 in clear: the backup passphrase and it give the backup key
    unlock salt                 sealed under the backup key
    wrapped domain key          sealed under the backup key; it opens under the unlock key alone

As in NetHSM, base64 of a JSON object, which clients pass on unread.
"""

import base64
import binascii
from typing import Final

import msgspec

from keystead.errors import DecryptionFailed, InvalidInput
from keystead.model.secret import Hidden, Secret
from keystead.sealing import envelope

MAX_KIT_CHARACTERS: Final = 4096
_UNLOCK_SALT: Final = "unlock-salt"
_DOMAIN_KEY: Final = "domain-key"


class _Kit(Hidden):
    backup_salt: bytes
    unlock_salt: bytes
    domain_key: bytes


def make_kit(
    backup_key: Secret, backup_salt: bytes, *, unlock_salt: bytes, locked_domain_key: bytes
) -> str:
    """Return the kit for a member that is given the backup passphrase."""
    kit = _Kit(
        backup_salt,
        envelope.seal(backup_key, _UNLOCK_SALT, unlock_salt),
        envelope.seal(backup_key, _DOMAIN_KEY, locked_domain_key),
    )
    return base64.b64encode(msgspec.json.encode(kit)).decode()


class JoinerKit:
    """A kit as a client has passed it on."""

    def __init__(self, text: str) -> None:
        """Read `text`. Raises InvalidInput if it is no kit."""
        if len(text) > MAX_KIT_CHARACTERS:
            raise InvalidInput("joinerKit is too long.")
        try:
            decoded = base64.b64decode(text, validate=True)
            self._kit = msgspec.json.decode(decoded, type=_Kit)
        except (binascii.Error, ValueError):
            raise InvalidInput("joinerKit is not what POST /cluster/members has given.") from None
        self.backup_salt: Final = self._kit.backup_salt

    def open(self, backup_key: Secret) -> tuple[bytes, bytes]:
        """Return the unlock salt and the wrapped domain key.

        Raises InvalidInput unless the backup key is that of the member that made the kit.
        """
        try:
            return (
                envelope.unseal(backup_key, _UNLOCK_SALT, self._kit.unlock_salt),
                envelope.unseal(backup_key, _DOMAIN_KEY, self._kit.domain_key),
            )
        except DecryptionFailed:
            raise InvalidInput("backupPassphrase is not that of this joinerKit.") from None
