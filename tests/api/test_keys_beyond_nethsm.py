"""Keys of types that NetHSM does not have live as all others do: stored, backed up, moved."""

from typing import Any

from tests.support.backups import PASSPHRASE, furnished, make, opened, restore, started, unlock
from tests.support.core import ADMIN, Answer, Core, Credentials, b64

BASE_POINT_P256 = (
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
AGREES = {
    "X25519": {"mode": "ECDH", "publicKey": b64(b"\x09" + bytes(31))},
    "X448": {"mode": "ECDH", "publicKey": b64(b"\x05" + bytes(55))},
    "EC_P256": {"mode": "ECDH", "publicKey": b64(bytes.fromhex(BASE_POINT_P256))},
    "Generic": {"mode": "HKDF_SHA256", "length": 32},
    "ML_KEM_768": {"ciphertext": b64(bytes(1088))},
    "ML_KEM_1024": {"ciphertext": b64(bytes(1568))},
    "BIP32": {"mode": "ECDSA", "message": b64(bytes(32)), "derivation": "m/0'/1"},
}
"""Uses whose result is the same each time, by key type."""
MECHANISMS = {
    "Generic": "HKDF_SHA256",
    "ML_KEM_768": "ML_KEM_Decapsulation",
    "ML_KEM_1024": "ML_KEM_Decapsulation",
    "BIP32": "ECDSA_Signature",
}
VERBS = {"ML_KEM_768": "decapsulate", "ML_KEM_1024": "decapsulate", "BIP32": "sign"}


async def fill(core: Core, *, by: Credentials = ADMIN) -> None:
    """Make a key of each type, named as its type."""
    for name in AGREES:
        mechanism = MECHANISMS.get(name, "ECDH_Derivation")
        await core.generate(name, name, mechanism, by=by, length=256)


async def used(core: Core, user: Credentials, *, suffix: str = "") -> dict[str, Any]:
    """Return what each key gives."""
    return {name: (await _use(core, user, name, name + suffix)).json() for name in AGREES}


async def _use(core: Core, user: Credentials, name: str, key_id: str) -> Answer:
    path = f"/keys/{key_id}/{VERBS.get(name, 'derive')}"
    answer = await core.request("POST", path, user=user, json=AGREES[name])
    assert answer.status == 200, answer
    return answer


async def test_they_are_the_same_after_a_restart(core: Core, operator: Credentials) -> None:
    await fill(core)
    before = await used(core, operator)
    again = await core.restarted()
    assert await unlock(again) == 204
    assert await used(again, operator) == before


async def test_they_are_backed_up_and_restored_and_the_sdk_s_reader_opens_the_file() -> None:
    core, backup, operator = await furnished()
    await fill(core)
    expected = await used(core, operator)
    file = await make(core, backup)
    assert {f"/key/{name}" for name in AGREES} <= set(opened(file).data)
    other = await started()
    assert (await restore(other, file, backupPassphrase=PASSPHRASE)).status == 204
    assert await unlock(other) == 204
    assert await used(other, operator) == expected
    for one in (core, other):
        one.close()


async def test_they_move_and_stay_what_they_are(fresh_core: Core) -> None:
    core = fresh_core
    await core.provision()
    administrator = await core.add_namespace("ns")
    operator = await core.add_user("ns~operator", "Operator", by=administrator)
    await fill(core, by=administrator)
    before = await used(core, operator)
    for name in AGREES:
        moved = {"newId": f"{name}-moved"}
        path = f"/keys/{name}/move"
        answer = await core.request("POST", path, user=administrator, json=moved)
        assert answer.status == 200, answer
    assert await used(core, operator, suffix="-moved") == before
    assert (await core.request("GET", "/keys", user=ADMIN)).json() == []
