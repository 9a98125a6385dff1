"""The records with which an HSM begins: its domain key, wrapped, and its first Administrator."""

from contextlib import closing
from dataclasses import dataclass

from keystead.model.ids import UserId
from keystead.model.secret import Secret
from keystead.model.users import Role, User
from keystead.operations.session import CoreContext
from keystead.operations.unlocking import Unlocking
from keystead.sealing.domain_key import fingerprint, lock, new_domain_key, new_unlock_salt
from keystead.sealing.passphrase import derive_unlock_key, make_verifier
from keystead.sealing.unlock_shares import WantedShares
from keystead.storage import settings
from keystead.storage.domain import DomainStores
from keystead.storage.key_value_store import Change
from keystead.storage.local import LocalStore
from keystead.storage.version_pages import hash_of


@dataclass(frozen=True, slots=True, repr=False)
class FirstRecords:
    """What one commit makes of an Unprovisioned HSM."""

    domain_key: Secret
    changes: list[Change]
    shares: list[str]
    """The shares of the unlock passphrase. Empty if there is a passphrase that someone chose."""


async def make_first_records(
    context: CoreContext,
    local: LocalStore,
    unlocking: Unlocking,
    *,
    unlock: Secret | WantedShares,
    admin: Secret,
) -> FirstRecords:
    """Make a domain key under the unlock passphrase, and the user `admin` with this passphrase."""
    passphrase, texts, share_set = unlocking.renewed(unlock)
    salt = new_unlock_salt()
    unlock_key = await context.kdf_pool.run(lambda: derive_unlock_key(passphrase, salt))
    passphrase.wipe()
    verifier = await context.kdf_pool.run(lambda: make_verifier(admin))
    domain_key = new_domain_key()
    locked = lock(domain_key, unlock_key)
    unlock_key.wipe()
    # Closed, and not left to the garbage collector: lock must find no keys of stores but its own.
    with closing(DomainStores(context.store, domain_key)) as stores:
        changes = [
            local.initial(),
            *stores.initial(),
            stores.users.change(User(UserId(None, "admin"), "admin", Role.ADMINISTRATOR, verifier)),
            local.put_locked_domain_key(locked),
            stores.config.put(settings.attended_slot(local.device_id), hash_of(locked)),
            local.settings.put(settings.UNLOCK_SALT, salt),
            share_set,
            local.settings.put(settings.SEALS_BACKUPS, fingerprint(domain_key)),
        ]
    return FirstRecords(domain_key, changes, texts)
