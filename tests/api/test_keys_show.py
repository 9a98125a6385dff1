"""GET, DELETE /keys/{id} and GET /keys/{id}/public.pem."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from keystead import algorithms
from keystead.model.keys import KeyPath
from tests.support.core import ADMIN, Core, Credentials, b64, start_core

WITH_DATA = [row for row in algorithms.ALL if row.name not in {"RSA", "Generic"}]


@pytest.mark.parametrize("row", WITH_DATA, ids=lambda row: row.name)
async def test_the_shown_data_are_those_of_the_pem(core: Core, row: algorithms.Algorithm) -> None:
    await core.generate(row.name, row.name, row.mechanisms[0].name)
    shown = (await core.request("GET", f"/keys/{row.name}", user=ADMIN)).json()
    pem = await core.request("GET", f"/keys/{row.name}/public.pem", user=ADMIN)
    assert set(shown["public"]) == {"data"}
    assert pem.headers["Content-Type"] == "application/x-pem-file"
    public = load_pem_public_key(pem.body)
    is_point = isinstance(public, ec.EllipticCurvePublicKey)
    form = PublicFormat.UncompressedPoint if is_point else PublicFormat.Raw
    data = public.public_bytes(Encoding.X962 if is_point else Encoding.Raw, form)
    assert base64.b64decode(shown["public"]["data"], validate=True) == data


async def test_a_generic_key_has_no_pem(core: Core) -> None:
    await core.generate("generic", "Generic", "AES_Encryption_CBC", length=256)
    answer = await core.request("GET", "/keys/generic/public.pem", user=ADMIN)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert "no public key" in answer.message


async def test_an_operator_sees_keys_even_those_it_may_not_use(
    core: Core, operator: Credentials
) -> None:
    await core.generate("restricted", "EC_P256", "ECDSA_Signature", restrictions={"tags": ["x"]})
    shown = await core.request("GET", "/keys/restricted", user=operator)
    assert shown.status == 200
    assert shown.json()["restrictions"] == {"tags": ["x"]}
    assert (await core.request("GET", "/keys/restricted/public.pem", user=operator)).status == 200


async def test_a_deleted_key_is_gone_for_good(core: Core) -> None:
    await core.generate("doomed", "EC_P256", "ECDSA_Signature")
    assert (await core.request("DELETE", "/keys/doomed", user=ADMIN)).status == 204
    for method, path in [
        ("GET", "/keys/doomed"),
        ("GET", "/keys/doomed/public.pem"),
        ("DELETE", "/keys/doomed"),
    ]:
        answer = await core.request(method, path, user=ADMIN)
        assert answer.status == 404
        assert "doomed" in answer.message


async def test_an_operator_deletes_nothing(core: Core, operator: Credentials) -> None:
    await core.generate("kept", "EC_P256", "ECDSA_Signature")
    assert (await core.request("DELETE", "/keys/kept", user=operator)).status == 403
    assert (await core.request("GET", "/keys/kept", user=operator)).status == 200


async def test_operations_counts_successful_uses_only(core: Core, operator: Credentials) -> None:
    await core.generate("counted", "EC_P256", "ECDSA_Signature")
    good = {"mode": "ECDSA", "message": b64(bytes(32))}
    bad = {"mode": "ECDSA", "message": b64(bytes(31))}
    for wanted, status in [(good, 200), (bad, 400), (good, 200)]:
        answer = await core.request("POST", "/keys/counted/sign", user=operator, json=wanted)
        assert answer.status == status
    shown = (await core.request("GET", "/keys/counted", user=ADMIN)).json()
    assert shown["operations"] == 2


async def test_a_key_made_anew_begins_to_count_at_0(core: Core, operator: Credentials) -> None:
    for _ in range(2):
        await core.generate("phoenix", "EC_P256", "ECDSA_Signature")
        assert (await core.request("GET", "/keys/phoenix", user=ADMIN)).json()["operations"] == 0
        wanted = {"mode": "ECDSA", "message": b64(bytes(32))}
        await core.request("POST", "/keys/phoenix/sign", user=operator, json=wanted)
        await core.request("DELETE", "/keys/phoenix", user=ADMIN)


async def test_the_count_survives_lock_and_restart(core: Core) -> None:
    operator = await core.add_user("counter", "Operator")
    await core.generate("lasting", "EC_P256", "ECDSA_Signature")
    wanted = {"mode": "ECDSA", "message": b64(bytes(32))}
    for expected in (1, 2):
        await core.request("POST", "/keys/lasting/sign", user=operator, json=wanted)
        assert (await core.request("POST", "/lock", user=ADMIN)).status == 204
        unlocked = await core.request("POST", "/unlock", json={"passphrase": "unlockPassphrase"})
        assert unlocked.status == 204
        shown = (await core.request("GET", "/keys/lasting", user=ADMIN)).json()
        assert shown["operations"] == expected


async def test_no_more_keys_are_kept_in_memory_than_the_operator_said():
    core = await start_core(key_cache=2)
    try:
        await core.provision()
        for name in ("first", "second", "third"):
            await core.generate(name, "EC_P256", "ECDSA_Signature")
        for name in ("first", "second", "third"):
            assert (await core.request("GET", f"/keys/{name}", user=ADMIN)).status == 200
        keys = core.hsm.session.keys
        kept = [keys.cached(KeyPath(None, name)) for name in ("first", "second", "third")]
        assert [one is not None for one in kept] == [False, True, True]
    finally:
        core.close()
