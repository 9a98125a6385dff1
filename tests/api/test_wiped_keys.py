"""What lock leaves of the keys of stores: nothing, however short they were needed."""

import pytest

from keystead.model.secret import Secret
from keystead.sealing import domain_key, journal_keys, passphrase
from keystead.storage import journal_records
from keystead.storage.key_value_store import Change
from tests.support.backups import PASSPHRASE, make, restore, set_passphrase, started, unlock
from tests.support.core import ADMIN, UNLOCK, b64


class Remembered(Secret):
    """A secret that a test finds again."""

    made: list[Secret]

    def __init__(self, value: bytes) -> None:
        super().__init__(value)
        self.made.append(self)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Secret]:
    """Every domain key, store key and key of a journal that is made in the test."""
    for module in (domain_key, journal_keys, journal_records):
        monkeypatch.setattr(module, "Secret", Remembered)
    monkeypatch.setattr(Remembered, "made", [], raising=False)
    return Remembered.made


def unwiped(made: list[Secret]) -> list[Secret]:
    return [secret for secret in made if any(secret.reveal())]


async def test_every_key_that_opens_a_store_is_wiped_at_lock(made: list[Secret]) -> None:
    core = await started()
    await core.provision()
    backup = await core.add_user("backup", "Backup")
    assert await set_passphrase(core, PASSPHRASE) == 204
    await core.generate("key", "EC_P256", "ECDSA_Signature")
    nonce = {"nonce": b64(bytes(8))}
    path = "/keys/key/attestation"
    assert (await core.request("POST", path, user=ADMIN, json=nonce)).status == 200
    file = await make(core, backup)
    assert (await restore(core, file, ADMIN)).status == 204
    assert unwiped(made)
    assert (await core.request("POST", "/lock", user=ADMIN)).status == 204
    assert unwiped(made) == []
    assert await unlock(core) == 204
    assert (await core.request("POST", "/lock", user=ADMIN)).status == 204
    assert unwiped(made) == []
    core.close()


@pytest.mark.parametrize(
    "pattern", ["/0/root", "/0/root/", "/0/device/", "/0/authentication/.version"]
)
async def test_an_unlock_that_is_refused_leaves_no_key(made: list[Secret], pattern: str) -> None:
    core = await started()
    await core.provision()
    assert (await core.request("POST", "/lock", user=ADMIN)).status == 204
    paths = await core.store.list(pattern, pattern + "\U0010ffff", limit=999)
    assert paths
    await core.store.commit([Change(path, None) for path in paths])
    assert await unlock(core) in {409, 412, 500}
    assert (await core.request("GET", "/health/state")).json() == {"state": "Locked"}
    assert unwiped(made) == []
    core.close()


async def test_a_restore_that_replaces_the_domain_key_leaves_none_of_the_old_keys(
    made: list[Secret],
) -> None:
    core = await started()
    await core.provision()
    backup = await core.add_user("backup", "Backup")
    assert await set_passphrase(core, PASSPHRASE) == 204
    file = await make(core, backup)
    change = {"newPassphrase": "another to unlock", "currentPassphrase": UNLOCK}
    path = "/config/unlock-passphrase"
    assert (await core.request("PUT", path, user=ADMIN, json=change)).status == 204
    assert (await restore(core, file, ADMIN)).status == 204
    assert (await core.request("GET", "/health/state")).json() == {"state": "Locked"}
    assert unwiped(made) == []
    assert await unlock(core) == 204
    assert (await core.request("POST", "/lock", user=ADMIN)).status == 204
    assert unwiped(made) == []
    core.close()


async def test_a_core_that_stops_leaves_no_key(made: list[Secret]) -> None:
    core = await started()
    await core.provision()
    assert unwiped(made)
    await core.hsm.stop()
    assert unwiped(made) == []
    core.close()


async def test_an_unlock_passphrase_that_is_checked_or_changed_leaves_no_key(
    made: list[Secret], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passphrase, "Secret", Remembered)
    core = await started()
    await core.provision()
    held = unwiped(made)
    for old, new in ((UNLOCK, "another to unlock"), ("another to unlock", UNLOCK)):
        change = {"newPassphrase": new, "currentPassphrase": old}
        path = "/config/unlock-passphrase"
        assert (await core.request("PUT", path, user=ADMIN, json=change)).status == 204
    assert unwiped(made) == held
    assert (await core.request("POST", "/lock", user=ADMIN)).status == 204
    assert unwiped(made) == []
    assert await unlock(core, "wrong passphrase") == 403
    core.clock.advance(2)
    shutdown = await core.request("POST", "/system/shutdown", user=("unlock", UNLOCK))
    assert shutdown.status == 204
    assert unwiped(made) == []
    core.close()
