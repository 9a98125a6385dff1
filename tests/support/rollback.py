"""An unlock of a store that is older than it should be, by someone who has read what is found."""

from tests.support.core import UNLOCK, Core


async def code_of(core: Core, passphrase: str = UNLOCK) -> str:
    """Return the code of what an unlock finds."""
    answer = await core.request("POST", "/unlock", json={"passphrase": passphrase})
    assert answer.status == 409, answer
    code: str = answer.json()["acknowledgeRollback"]
    assert answer.message.endswith(f" unlock it with acknowledgeRollback {code}.")
    return code


async def acknowledge(core: Core, passphrase: str = UNLOCK) -> int:
    """Unlock with the code of what is found. Return the status."""
    given = {"passphrase": passphrase, "acknowledgeRollback": await code_of(core, passphrase)}
    return (await core.request("POST", "/unlock", json=given)).status
