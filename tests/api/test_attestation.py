"""Attestations, checked by two libraries that know nothing of Keystead; and who signs them."""

import asyncio
import base64
import hashlib
import json
import os
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from keystead import __version__
from tests.support.authority import Authority
from tests.support.backups import PASSPHRASE, make, restore, set_passphrase, started, unlock
from tests.support.core import ADMIN, Answer, Core, Credentials, b64, start_core

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")
"""joserfc says so of the name that other libraries, PyJWT too, know best."""

NONCE = b64(bytes(range(16)))


async def attest(core: Core, key_id: str, user: Credentials = ADMIN, **wanted: Any) -> Answer:
    content = {"nonce": NONCE} | wanted
    return await core.request("POST", f"/keys/{key_id}/attestation", user=user, json=content)


async def identity(core: Core) -> dict[str, str]:
    answer = await core.request("GET", "/system/identity")
    assert answer.status == 200, answer
    return answer.json()


def checked(token: bytes, public_pem: str) -> dict[str, Any]:
    """Return what a JWS says, if PyJWT and joserfc both find its signature good."""
    by_pyjwt = jwt.api_jws.decode(token, public_pem, algorithms=["EdDSA"])
    key = OKPKey.import_key(public_pem)
    by_joserfc = jws.deserialize_compact(token, key, algorithms=["EdDSA"]).payload
    assert by_pyjwt == by_joserfc
    return json.loads(by_pyjwt)


async def test_an_attestation_says_everything_about_a_key(core: Core, operator) -> None:
    await core.generate("signer", "EC_P256", "ECDSA_Signature", "ECDH_Derivation")
    now = await core.request("GET", "/config/time", user=ADMIN)
    answer = await attest(core, "signer", operator)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/jose")
    claims = checked(answer.body, (await identity(core))["publicKey"])
    public = await core.request("GET", "/keys/signer/public.pem", user=ADMIN)
    assert claims == {
        "keyId": "signer",
        "namespace": None,
        "type": "EC_P256",
        "publicKey": public.body.decode(),
        "origin": "generated",
        "created": now.json()["time"],
        "exportable": False,
        "mechanisms": ["ECDH_Derivation", "ECDSA_Signature"],
        "policyDigest": None,
        "deviceId": core.hsm.device_id,
        "product": "Keystead",
        "version": __version__,
        "softwareDigest": None,
        "nonce": NONCE,
        "time": now.json()["time"],
    }


async def test_the_header_names_the_key_that_signs(core: Core) -> None:
    await core.generate("headed", "EC_P256", "ECDSA_Signature")
    header = jwt.get_unverified_header((await attest(core, "headed")).body)
    public = load_pem_public_key((await identity(core))["publicKey"].encode())
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    kid = hashlib.sha256(der).hexdigest()
    assert header == {"alg": "EdDSA", "typ": "keystead-attestation+jws", "kid": kid}


async def test_neither_library_takes_an_attestation_with_another_field_or_byte(core: Core) -> None:
    await core.generate("tampered", "EC_P256", "ECDSA_Signature")
    token = (await attest(core, "tampered")).body
    public = (await identity(core))["publicKey"]
    claims = checked(token, public)
    header, _, signature = token.split(b".")

    def of(changed: dict[str, Any]) -> bytes:
        payload = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=")
        return b".".join((header, payload, signature))

    changes = [{**claims, name: "other"} for name in claims]
    changes += [{name: claims[name] for name in claims if name != gone} for gone in claims]
    attacks = [of(changed) for changed in (*changes, claims | {"more": 1})]
    attacks += [
        token[:place] + bytes([token[place] ^ 1]) + token[place + 1 :]
        for place in range(0, len(token), 7)
    ]
    for attack in attacks:
        with pytest.raises(jwt.exceptions.InvalidTokenError):
            jwt.api_jws.decode(attack, public, algorithms=["EdDSA"])
        with pytest.raises((JoseError, ValueError)):
            jws.deserialize_compact(attack, OKPKey.import_key(public), algorithms=["EdDSA"])


async def test_an_imported_key_is_not_called_generated_and_a_secret_has_no_public_half(
    core: Core,
) -> None:
    secret = bytes(range(32))
    wanted = {"type": "Generic", "mechanisms": ["HMAC_SHA256"], "private": {"data": b64(secret)}}
    await core.request("PUT", "/keys/brought", user=ADMIN, json=wanted)
    answer = await attest(core, "brought")
    claims = checked(answer.body, (await identity(core))["publicKey"])
    assert (claims["origin"], claims["publicKey"]) == ("imported", None)
    payload = base64.urlsafe_b64decode(answer.body.split(b".")[1] + b"==")
    assert secret not in payload
    assert b64(secret).encode() not in payload


async def test_a_policy_is_attested_by_its_digest(core: Core) -> None:
    await core.generate("ruled", "EC_P256", "ECDSA_Signature")
    policy = {"maxPerMinute": 5, "clients": ["192.0.2.0/24"]}
    answer = await core.request("PUT", "/keys/ruled/policy", user=ADMIN, json=policy)
    assert answer.status == 204
    claims = checked((await attest(core, "ruled")).body, (await identity(core))["publicKey"])
    canonical = json.dumps(policy, sort_keys=True, separators=(",", ":")).encode()
    assert claims["policyDigest"] == hashlib.sha256(canonical).hexdigest()


@pytest.mark.parametrize("nonce", [bytes(7), bytes(65), b""])
async def test_a_nonce_has_8_to_64_bytes(core: Core, nonce: bytes) -> None:
    await core.generate(f"nonce{len(nonce)}", "EC_P256", "ECDSA_Signature")
    answer = await attest(core, f"nonce{len(nonce)}", nonce=b64(nonce))
    assert answer.status == 400
    assert "nonce" in answer.message
    for good in (os.urandom(8), os.urandom(64)):
        assert (await attest(core, f"nonce{len(nonce)}", nonce=b64(good))).status == 200


@pytest.mark.parametrize("wanted", [{"nonce": "?"}, {"nonce": None}, {"other": NONCE}])
async def test_what_is_no_nonce_is_400(core: Core, wanted: dict[str, Any]) -> None:
    await core.generate(f"bad{len(str(wanted))}", "EC_P256", "ECDSA_Signature")
    assert (await attest(core, f"bad{len(str(wanted))}", **wanted)).status == 400


async def test_a_key_of_another_namespace_is_404_and_ones_own_is_attested(core: Core) -> None:
    theirs = await core.add_namespace("tenant")
    await core.generate("ours", "EC_P256", "ECDSA_Signature")
    await core.generate("theirs", "EC_P256", "ECDSA_Signature", by=theirs)
    assert (await attest(core, "ours", theirs)).status == 404
    claims = checked(
        (await attest(core, "theirs", theirs)).body, (await identity(core))["publicKey"]
    )
    assert claims["namespace"] == "tenant"


async def test_an_attestation_is_no_use_of_the_key(core: Core) -> None:
    await core.generate("unused", "EC_P256", "ECDSA_Signature")
    await attest(core, "unused")
    shown = await core.request("GET", "/keys/unused", user=ADMIN)
    assert shown.json()["operations"] == 0


# --- the identity -----------------------------------------------------------------------------


async def test_the_identity_has_a_certificate_of_a_root_of_its_own(core: Core) -> None:
    shown = await identity(core)
    leaf, root = x509.load_pem_x509_certificates(shown["certificates"].encode())
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert leaf.public_key() == load_pem_public_key(shown["publicKey"].encode())
    name = f"CN=keystead-{core.hsm.device_id.lower()} identity"
    assert leaf.subject.rfc4514_string() == name
    basic = x509.BasicConstraints
    assert not leaf.extensions.get_extension_for_class(basic).value.ca
    assert root.extensions.get_extension_for_class(basic).value.ca


async def test_the_certificate_is_replaced_by_one_for_a_request_of_the_hsm(
    fresh_core: Core,
) -> None:
    core, authority = fresh_core, Authority("vendor")
    await core.provision()
    before = await identity(core)
    wanted = {"commonName": "HSM 7", "organizationName": "Acme"}
    csr = await core.request("POST", "/system/identity/csr.pem", user=ADMIN, json=wanted)
    assert x509.load_pem_x509_csr(csr.body).is_signature_valid
    chain = authority.sign(csr.body) + authority.pem
    pem = {"content-type": "application/x-pem-file"}
    set_chain = ("PUT", "/system/identity/cert.pem")
    answer = await core.request(*set_chain, user=ADMIN, body=chain, headers=pem)
    assert answer.status == 201, answer
    after = await identity(core)
    assert after["publicKey"] == before["publicKey"]
    assert after["certificates"].split() == chain.decode().split()
    other = await start_core()
    await other.provision()
    foreign = (await identity(other))["certificates"].encode()
    other.close()
    for refused in (foreign, authority.pem, b"no certificate"):
        answer = await core.request(*set_chain, user=ADMIN, body=refused, headers=pem)
        assert answer.status == 400
    assert await identity(core) == after


async def test_the_identity_stays_after_lock_and_restart_and_is_closed_while_locked(
    fresh_core: Core,
) -> None:
    await fresh_core.provision()
    before = await identity(fresh_core)
    restarted = await fresh_core.restarted()
    assert (await restarted.request("GET", "/system/identity")).status == 412
    assert await unlock(restarted) == 204
    assert await identity(restarted) == before


async def test_a_backup_takes_no_identity_elsewhere_and_a_restore_elsewhere_makes_one() -> None:
    core = await started()
    await core.provision()
    backup = await core.add_user("backup", "Backup")
    await core.generate("mine", "EC_P256", "ECDSA_Signature")
    mine = await identity(core)
    assert await set_passphrase(core, PASSPHRASE) == 204
    other = await started()
    assert (await restore(other, await make(core, backup))).status == 204
    assert await unlock(other) == 204
    theirs = await identity(other)
    assert theirs["publicKey"] != mine["publicKey"]
    claims = checked((await attest(other, "mine")).body, theirs["publicKey"])
    assert (claims["origin"], claims["deviceId"]) == ("generated", other.hsm.device_id)
    core.close()
    other.close()


async def test_a_restore_of_ones_own_backup_keeps_the_identity() -> None:
    core = await started()
    await core.provision()
    backup = await core.add_user("backup", "Backup")
    before = await identity(core)
    assert await set_passphrase(core, PASSPHRASE) == 204
    assert (await restore(core, await make(core, backup), user=ADMIN)).status == 204
    assert await identity(core) == before
    core.close()


async def test_another_domain_key_gets_another_identity() -> None:
    core, other = await started(), await started()
    for hsm in (core, other):
        await hsm.provision()
        assert await set_passphrase(hsm, PASSPHRASE) == 204
    backup = await other.add_user("backup", "Backup")
    before = await identity(core)
    assert (await restore(core, await make(other, backup), user=ADMIN)).status == 204
    assert await unlock(core) == 204
    assert (await identity(core))["publicKey"] != before["publicKey"]
    core.close()
    other.close()


async def test_of_two_who_ask_first_both_get_one_identity(fresh_core: Core) -> None:
    await fresh_core.provision()
    first, second = await asyncio.gather(identity(fresh_core), identity(fresh_core))
    assert first == second
