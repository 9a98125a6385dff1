"""The core's half of the update slot: what the other half refuses becomes an error again."""

import pytest

from keystead.errors import Overloaded, StoreUnavailable, WrongState
from keystead.platform.remote_update_slot import RemoteUpdateSlot, UpdateSlotService
from keystead.platform.update_slot import UpdateSlot
from keystead.wire.connection import ConnectionEnded


class DirectCalls:
    """Calls answered by a service without a connection in between."""

    def __init__(self, service: UpdateSlotService) -> None:
        self._service = service
        self._last_id = 0
        self.is_connected = True

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    async def ask(self, message):
        if not self.is_connected:
            raise ConnectionEnded("gone")
        answer = await self._service.answer(message)
        assert answer.id == message.id == self._last_id
        return answer


@pytest.fixture
def calls(tmp_path):
    service = UpdateSlotService(UpdateSlot(tmp_path / "update"))
    yield DirectCalls(service)
    service.close()


async def test_an_image_goes_through_step_by_step(calls, tmp_path):
    slot = RemoteUpdateSlot(calls)
    for part in (b"abandoned", b"kept"):
        await slot.begin(100)
        await slot.write(part)
        if part == b"abandoned":
            await slot.abandon()
    await slot.keep()
    assert (tmp_path / "update/staged.image").read_bytes() == b"kept"
    with pytest.raises(WrongState, match="package manager"):
        await slot.commit()
    await slot.cancel()
    with pytest.raises(WrongState, match="No update image is staged"):
        await slot.cancel()


async def test_a_disk_that_refuses_does_not_look_like_a_store_out_of_reach(calls):
    with pytest.raises(Overloaded, match="no room"):
        await RemoteUpdateSlot(calls).begin(2**60)


async def test_a_platform_that_is_gone_is_a_store_out_of_reach(calls):
    calls.is_connected = False
    with pytest.raises(StoreUnavailable):
        await RemoteUpdateSlot(calls).begin(1)
