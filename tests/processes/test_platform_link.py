"""The core's end of its connection to the platform: which events it passes on."""

import asyncio

import pytest

from keystead.journal.log import Level
from keystead.model.device_settings import DEFAULT_LOGGING, LoggingSettings
from keystead.processes.core.platform_link import PlatformLink
from keystead.storage.key_value_store import Change
from keystead.wire.frames import STORE_FRAME_BYTES, FrameDecoder, append_frame
from keystead.wire.platform_messages import Commit, CoreSettings, CoreToPlatform, Hello, SyslogLine

AIMED = LoggingSettings(ip_address="192.0.2.1", port=514, log_level="info")


class SentFrames(asyncio.Transport):
    """Keeps the events that were sent."""

    def __init__(self) -> None:
        super().__init__()
        self._decoder = FrameDecoder[CoreToPlatform](CoreToPlatform, max_bytes=STORE_FRAME_BYTES)
        self.commits: list[Commit] = []
        self.events: list[str] = []

    def write(self, data: bytes) -> None:
        messages = self._decoder.feed(bytes(data))
        self.commits += [one for one in messages if isinstance(one, Commit)]
        self.events += [one.text for one in messages if isinstance(one, SyslogLine)]


def greeted(*, has_log_receiver: bool) -> bytes:
    frame = bytearray()
    settings = CoreSettings(has_log_receiver=has_log_receiver)
    append_frame(frame, Hello(bytes(32), settings), max_bytes=STORE_FRAME_BYTES)
    return bytes(frame)


@pytest.mark.parametrize("has_log_receiver", [False, True])
async def test_an_event_goes_to_the_platform_only_if_someone_receives_it(has_log_receiver):
    link, sent = PlatformLink(), SentFrames()
    link.connection.connection_made(sent)
    link.syslog(Level.INFO, "before the settings are known")
    link.connection.data_received(greeted(has_log_receiver=has_log_receiver))
    link.syslog(Level.INFO, "not aimed")
    link.aim_syslog(AIMED)
    link.syslog(Level.INFO, "aimed")
    link.aim_syslog(DEFAULT_LOGGING)
    link.syslog(Level.INFO, "not aimed again")
    await asyncio.sleep(0)
    always = ["before the settings are known", "aimed"]
    everything = ["before the settings are known", "not aimed", "aimed", "not aimed again"]
    assert sent.events == (everything if has_log_receiver else always)


async def test_a_commit_is_sent_before_other_work_of_the_same_turn():
    link, sent = PlatformLink(), SentFrames()
    link.connection.connection_made(sent)
    sent_before = []
    commit = asyncio.ensure_future(link.store.commit([Change("/a", b"value")]))
    asyncio.get_running_loop().call_soon(lambda: sent_before.extend(sent.commits))
    await asyncio.sleep(0)
    assert [write.path for one in sent_before for write in one.writes] == ["/a"]
    commit.cancel()
