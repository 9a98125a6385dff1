"""NetHSM's rules for states, users, namespaces, keys and backups in the plainest form.

There is no store, no cache and no lock here, so what many requests leave behind is easy to see.
Each method is a request: it returns the status of the answer, and the content of a 200.
"""

from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, NamedTuple

Credentials = tuple[str, str]

ADMINISTRATOR: Final = ("Administrator",)
USER: Final = ("Administrator", "Operator")


class Expected(NamedTuple):
    status: int
    content: Any = None


class RefusedError(Exception):
    """The request gets this status, and changes nothing."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Mode(Enum):
    """The state, apart from what is stored."""

    UNPROVISIONED = auto()
    LOCKED = auto()
    OPERATIONAL = auto()


@dataclass
class PlainUser:
    name: str
    role: str
    passphrase: str
    tags: set[str] = field(default_factory=set)


@dataclass
class PlainKey:
    tags: set[str]
    label: str = ""
    certificate: bytes | None = None
    operations: int = 0


KeyName = tuple[str, str]
"""The namespace of a key, "" for the root, and its ID."""


@dataclass
class Records:
    """What a backup has, and the passphrases that it is unlocked and made with."""

    users: dict[str, PlainUser] = field(default_factory=dict)
    namespaces: set[str] = field(default_factory=set)
    keys: dict[KeyName, PlainKey] = field(default_factory=dict)
    unlock: str = ""
    backup: str = ""


def namespace_of(user_id: str) -> str:
    return user_id.partition("~")[0] if "~" in user_id else ""


class PlainHsm:
    def __init__(self) -> None:
        self.mode = Mode.UNPROVISIONED
        self.records = Records()

    # --- who may ---

    def _caller(
        self, credentials: Credentials | None, roles: Collection[str], *, root: bool = False
    ) -> str:
        """Return the ID of a caller that may ask for this."""
        self._require_mode(Mode.OPERATIONAL)
        user_id, passphrase = credentials or ("", "")
        user = self.records.users.get(user_id)
        if user is None or user.passphrase != passphrase:
            raise RefusedError(401)
        namespace = namespace_of(user_id)
        is_foreign = bool(namespace) and (root or namespace not in self.records.namespaces)
        if user.role not in roles or is_foreign:
            raise RefusedError(403)
        return user_id

    def _require_mode(self, mode: Mode) -> None:
        if self.mode is not mode:
            raise RefusedError(412)

    def _require_fellow(self, caller: str, user_id: str) -> None:
        """The root reaches only into namespaces that do not exist yet."""
        own, other = namespace_of(caller), namespace_of(user_id)
        if own != other and (own or other in self.records.namespaces):
            raise RefusedError(403)

    def _require_self_or_administrator(self, caller: str, user_id: str) -> None:
        if user_id != caller and not self._is_administrator(caller):
            raise RefusedError(403)

    def _require_visible(self, caller: str, user_id: str) -> None:
        """A root Administrator sees the users of all namespaces."""
        if namespace_of(caller):
            self._require_fellow(caller, user_id)
        self._require_self_or_administrator(caller, user_id)

    def _is_administrator(self, user_id: str) -> bool:
        return self.records.users[user_id].role == "Administrator"

    def _user(self, user_id: str) -> PlainUser:
        if user_id not in self.records.users:
            raise RefusedError(404)
        return self.records.users[user_id]

    def _key(
        self, credentials: Credentials | None, key_id: str, roles: Collection[str]
    ) -> tuple[str, PlainKey]:
        caller = self._caller(credentials, roles)
        key = self.records.keys.get((namespace_of(caller), key_id))
        if key is None:
            raise RefusedError(404)
        return caller, key

    def _may_use(self, caller: str, key: PlainKey) -> bool:
        tags = self.records.users[caller].tags
        return not key.tags or self._is_administrator(caller) or not key.tags.isdisjoint(tags)

    # --- states ---

    def provision(self, unlock: str, admin: str) -> Expected:
        self._require_mode(Mode.UNPROVISIONED)
        users = {"admin": PlainUser("admin", "Administrator", admin)}
        self.records = Records(users, unlock=unlock)
        self.mode = Mode.OPERATIONAL
        return Expected(204)

    def lock(self, by: Credentials | None) -> Expected:
        self._caller(by, ADMINISTRATOR, root=True)
        self.mode = Mode.LOCKED
        return Expected(204)

    def unlock(self, passphrase: str) -> Expected:
        self._require_mode(Mode.LOCKED)
        if passphrase != self.records.unlock:
            raise RefusedError(403)
        self.mode = Mode.OPERATIONAL
        return Expected(204)

    def restarted(self) -> None:
        if self.mode is Mode.OPERATIONAL:
            self.mode = Mode.LOCKED

    def change_unlock_passphrase(self, by: Credentials | None, present: str, new: str) -> Expected:
        self._caller(by, ADMINISTRATOR, root=True)
        if present != self.records.unlock:
            raise RefusedError(403)
        self.records.unlock = new
        return Expected(204)

    def change_backup_passphrase(self, by: Credentials | None, present: str, new: str) -> Expected:
        self._caller(by, ADMINISTRATOR, root=True)
        if present != self.records.backup:
            raise RefusedError(403)
        self.records.backup = new
        return Expected(204)

    def factory_reset(self, by: Credentials | None) -> Expected:
        """It is done after the answer: then a new object stands for the HSM."""
        self._caller(by, ADMINISTRATOR, root=True)
        return Expected(204)

    # --- backups ---

    def backup(self, by: Credentials | None) -> tuple[Expected, Records]:
        self._caller(by, ("Backup",), root=True)
        if not self.records.backup:
            raise RefusedError(412)
        return Expected(200), deepcopy(self.records)

    def restore(self, by: Credentials | None, backup: Records, passphrase: str) -> Expected:
        if self.mode is not Mode.UNPROVISIONED:
            self._caller(by, ADMINISTRATOR, root=True)
        if passphrase != backup.backup:
            raise RefusedError(400)
        self.records = deepcopy(backup)
        return Expected(204)

    # --- users ---

    def users(self, by: Credentials | None) -> Expected:
        namespace = namespace_of(self._caller(by, ADMINISTRATOR))
        found = [one for one in self.records.users if namespace in {"", namespace_of(one)}]
        return Expected(200, [{"user": one} for one in sorted(found)])

    def add_user(
        self, by: Credentials | None, user_id: str, role: str, passphrase: str
    ) -> Expected:
        self._require_fellow(self._caller(by, ADMINISTRATOR), user_id)
        if user_id in self.records.users:
            raise RefusedError(409)
        self.records.users[user_id] = PlainUser(f"name of {user_id}", role, passphrase)
        return Expected(201)

    def user(self, by: Credentials | None, user_id: str) -> Expected:
        self._require_visible(self._caller(by, USER), user_id)
        user = self._user(user_id)
        return Expected(200, {"realName": user.name, "role": user.role})

    def delete_user(self, by: Credentials | None, user_id: str) -> Expected:
        caller = self._caller(by, ADMINISTRATOR)
        self._require_fellow(caller, user_id)
        self._user(user_id)
        if user_id == caller:
            raise RefusedError(400)
        del self.records.users[user_id]
        return Expected(204)

    def set_passphrase(self, by: Credentials | None, user_id: str, passphrase: str) -> Expected:
        caller = self._caller(by, USER)
        self._require_fellow(caller, user_id)
        self._require_self_or_administrator(caller, user_id)
        self._user(user_id).passphrase = passphrase
        return Expected(204)

    def user_tags(self, by: Credentials | None, user_id: str) -> Expected:
        self._require_visible(self._caller(by, USER), user_id)
        user = self._user(user_id)
        if user.role != "Operator":
            raise RefusedError(404)
        return Expected(200, sorted(user.tags))

    def tag_user(self, by: Credentials | None, user_id: str, tag: str) -> Expected:
        self._require_fellow(self._caller(by, ADMINISTRATOR), user_id)
        user = self._user(user_id)
        if user.role != "Operator":
            raise RefusedError(400)
        return _add(user.tags, tag)

    def untag_user(self, by: Credentials | None, user_id: str, tag: str) -> Expected:
        self._require_fellow(self._caller(by, ADMINISTRATOR), user_id)
        return _remove(self._user(user_id).tags, tag)

    # --- namespaces ---

    def namespaces(self, by: Credentials | None) -> Expected:
        self._caller(by, ADMINISTRATOR, root=True)
        return Expected(200, [{"id": one} for one in sorted(self.records.namespaces)])

    def add_namespace(self, by: Credentials | None, namespace: str) -> Expected:
        self._caller(by, ADMINISTRATOR, root=True)
        if namespace in self.records.namespaces:
            raise RefusedError(400)
        self.records.namespaces.add(namespace)
        return Expected(204)

    def delete_namespace(self, by: Credentials | None, namespace: str) -> Expected:
        """Its keys go with it. Its users stay."""
        self._caller(by, ADMINISTRATOR, root=True)
        if namespace not in self.records.namespaces:
            raise RefusedError(404)
        self.records.namespaces.discard(namespace)
        keys = self.records.keys
        self.records.keys = {name: keys[name] for name in keys if name[0] != namespace}
        return Expected(204)

    # --- keys ---

    def keys(self, by: Credentials | None, *, usable: bool) -> Expected:
        caller = self._caller(by, USER)
        found = [
            key_id
            for (namespace, key_id), key in self.records.keys.items()
            if namespace == namespace_of(caller) and (not usable or self._may_use(caller, key))
        ]
        return Expected(200, [{"id": one} for one in sorted(found)])

    def generate(self, by: Credentials | None, key_id: str, tags: Collection[str]) -> Expected:
        name = namespace_of(self._caller(by, ADMINISTRATOR)), key_id
        if name in self.records.keys:
            raise RefusedError(409)
        self.records.keys[name] = PlainKey(set(tags))
        return Expected(201)

    def key(self, by: Credentials | None, key_id: str) -> Expected:
        _, key = self._key(by, key_id, USER)
        content: dict[str, Any] = {"operations": key.operations}
        content["restrictions"] = {"tags": sorted(key.tags)} if key.tags else {}
        return Expected(200, content | ({"label": key.label} if key.label else {}))

    def delete_key(self, by: Credentials | None, key_id: str) -> Expected:
        caller, _ = self._key(by, key_id, ADMINISTRATOR)
        del self.records.keys[namespace_of(caller), key_id]
        return Expected(204)

    def move_key(self, by: Credentials | None, key_id: str, new_id: str) -> Expected:
        caller, key = self._key(by, key_id, ADMINISTRATOR)
        namespace = namespace_of(caller)
        if (namespace, new_id) in self.records.keys:
            raise RefusedError(409)
        del self.records.keys[namespace, key_id]
        self.records.keys[namespace, new_id] = key
        return Expected(200, {"id": new_id})

    def sign(self, by: Credentials | None, key_id: str) -> Expected:
        caller, key = self._key(by, key_id, ("Operator",))
        if not self._may_use(caller, key):
            raise RefusedError(403)
        key.operations += 1
        return Expected(200)

    def set_label(self, by: Credentials | None, key_id: str, label: str) -> Expected:
        _, key = self._key(by, key_id, ADMINISTRATOR)
        if key.label == label:
            raise RefusedError(304)
        key.label = label
        return Expected(204)

    def tag_key(self, by: Credentials | None, key_id: str, tag: str) -> Expected:
        return _add(self._key(by, key_id, ADMINISTRATOR)[1].tags, tag)

    def untag_key(self, by: Credentials | None, key_id: str, tag: str) -> Expected:
        return _remove(self._key(by, key_id, ADMINISTRATOR)[1].tags, tag)

    def certificate(self, by: Credentials | None, key_id: str) -> Expected:
        _, key = self._key(by, key_id, USER)
        if key.certificate is None:
            raise RefusedError(404)
        return Expected(200, key.certificate)

    def set_certificate(self, by: Credentials | None, key_id: str, content: bytes) -> Expected:
        _, key = self._key(by, key_id, ADMINISTRATOR)
        if key.certificate is not None:
            raise RefusedError(409)
        key.certificate = content
        return Expected(201)

    def delete_certificate(self, by: Credentials | None, key_id: str) -> Expected:
        _, key = self._key(by, key_id, ADMINISTRATOR)
        if key.certificate is None:
            raise RefusedError(404)
        key.certificate = None
        return Expected(204)


def _add(tags: set[str], tag: str) -> Expected:
    if tag in tags:
        raise RefusedError(304)
    tags.add(tag)
    return Expected(204)


def _remove(tags: set[str], tag: str) -> Expected:
    if tag not in tags:
        raise RefusedError(404)
    tags.remove(tag)
    return Expected(204)
