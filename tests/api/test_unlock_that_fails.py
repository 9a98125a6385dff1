"""An unlock that is refused once the domain key is open: nothing of it stays in memory."""

import pytest

from keystead.errors import CorruptRecord
from keystead.model.secret import Secret
from tests.api.test_put_back import contents, put
from tests.support.backups import unlock
from tests.support.core import Core, start_core


async def locked() -> Core:
    core = await start_core()
    await core.provision()
    await core.hsm.stop()
    return await core.restarted()


def domain_keys(core: Core, monkeypatch: pytest.MonkeyPatch) -> list[Secret]:
    """Return the domain keys that unlocks open from now on."""
    opened: list[Secret] = []
    present = core.hsm.unlocking.open

    async def opening(passphrase: str, *, address: str) -> Secret:
        opened.append(await present(passphrase, address=address))
        return opened[-1]

    monkeypatch.setattr(core.hsm.unlocking, "open", opening)
    return opened


def fail(*_: object, **__: object) -> None:
    raise CorruptRecord("A record is damaged.")


@pytest.mark.parametrize(
    "step",
    ["known_head.fault_of_records", "binding.check_slot", "binding.bind_settings", "time.load"],
)
async def test_no_key_stays_in_memory_whatever_refuses_the_unlock(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = await locked()
    opened = domain_keys(core, monkeypatch)
    owner, _, name = step.partition(".")
    with monkeypatch.context() as patch:
        patch.setattr(getattr(core.hsm, owner), name, fail)
        assert await unlock(core) >= 400
    (domain_key,) = opened
    assert not any(domain_key.reveal())
    assert await unlock(core) == 204
    core.close()


async def test_no_key_stays_in_memory_if_an_older_setting_refuses_the_unlock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = await locked()
    opened = domain_keys(core, monkeypatch)
    path = next(path for path in await contents(core.store) if path.endswith("time-offset"))
    await put(core.store, {path: None})
    assert await unlock(core) == 409
    assert [any(one.reveal()) for one in opened] == [False]
    core.close()
