"""What the machine's TPM says of it, through the API."""

import base64

from keystead.client.quotes import pem_of, verify_quote
from tests.support.core import ADMIN, Core, b64, start_core
from tests.support.quotes import HandmadeTpm

NONCE = bytes(range(32))


async def attest(core: Core, nonce: bytes):
    return await core.request("POST", "/system/attestation", user=ADMIN, json={"nonce": b64(nonce)})


async def test_a_quote_verifies_with_the_key_that_the_system_shows() -> None:
    core = await start_core(quotes=HandmadeTpm())
    await core.provision()
    answer = await attest(core, NONCE)
    assert answer.status == 200, answer
    info = await core.request("GET", "/system/info", user=ADMIN)
    key = pem_of(base64.b64decode(info.json()["akPub"]["P256"]))
    assert verify_quote(answer.body, key_pem=key, nonce=NONCE)["events"] == 3
    assert any("machine attested" in line for line in core.log_lines)
    core.close()


async def test_a_nonce_of_another_length_is_refused(core: Core) -> None:
    for nonce in (b"", NONCE[:7], NONCE + b"x"):
        answer = await attest(core, nonce)
        assert (answer.status, answer.message) == (400, "nonce must have 8 to 32 bytes.")


async def test_without_a_tpm_nothing_is_attested(core: Core) -> None:
    answer = await attest(core, NONCE)
    assert answer.status == 412
    assert "[attestation] in its configuration file names one" in answer.message
    info = await core.request("GET", "/system/info", user=ADMIN)
    assert info.json()["akPub"] == {}


async def test_a_lock_while_the_tpm_works_gives_nothing_out() -> None:
    class LockedMeanwhile(HandmadeTpm):
        async def quote(self, nonce: bytes):
            await core.hsm.lock()
            return await super().quote(nonce)

    core = await start_core(quotes=LockedMeanwhile())
    await core.provision()
    answer = await attest(core, NONCE)
    assert answer.status == 412
    core.close()
