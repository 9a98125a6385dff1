"""The core's end of its connection to the platform: keys, store, settings, news of a cluster."""

import asyncio
from typing import Any, Final

from keystead.errors import StoreUnavailable
from keystead.journal.log import Level
from keystead.model.device_settings import LoggingSettings
from keystead.model.secret import Secret
from keystead.operations.cluster_news import ClusterNews
from keystead.platform.remote_members import RemoteMembers
from keystead.platform.remote_quotes import RemoteQuotes
from keystead.platform.remote_update_slot import RemoteUpdateSlot
from keystead.platform.unattended_key import RemoteUnattendedKey
from keystead.sealing.device import DEVICE_KEY_BYTES
from keystead.storage.backends.remote import RemoteStore, StoreAnswer
from keystead.wire.cluster_messages import (
    AnyRecordChanged,
    ConfirmNow,
    MembersAnswer,
    News,
    RecordsChanged,
    UpToDate,
)
from keystead.wire.connection import Connection, ConnectionEnded, Exchanges
from keystead.wire.frames import STORE_FRAME_BYTES, BrokenFrame
from keystead.wire.platform_messages import (
    AimSyslog,
    AskFreeSpace,
    Commit,
    CoreSettings,
    CoreToPlatform,
    FreeSpace,
    Hello,
    PlatformToCore,
    Quoted,
    SlotAnswer,
    StoreQuestion,
    SyslogLine,
    UnattendedKeyKept,
)


class PlatformLink:
    """The core's end of its connection to the platform: keys, store and update slot."""

    def __init__(self) -> None:
        self.device_key: asyncio.Future[Secret] = asyncio.get_running_loop().create_future()
        self.settings = CoreSettings()
        """The operator's settings, valid once the device key has arrived."""
        self._is_aimed = False
        """Whether an Administrator has set a syslog server."""
        self.lost = asyncio.Event()
        self.connection: Final = Connection[PlatformToCore, CoreToPlatform](
            PlatformToCore,
            max_bytes=STORE_FRAME_BYTES,
            on_message=self._received,
            on_lost=self._lost,
        )
        ends = (self.connection.send, self.connection.drain)
        self._exchanges = Exchanges[StoreAnswer](self._ask_store, self.connection.drain)
        self.store: Final = RemoteStore(self._exchanges)
        self._slot_exchanges = Exchanges[SlotAnswer](*ends)
        self.update_slot: Final = RemoteUpdateSlot(self._slot_exchanges)
        self._key_exchanges = Exchanges[UnattendedKeyKept](*ends)
        self.unattended_key: Final = RemoteUnattendedKey(self._key_exchanges)
        self._space_exchanges = Exchanges[FreeSpace](*ends)
        self._quote_exchanges = Exchanges[Quoted](*ends)
        self.quotes: Final = RemoteQuotes(self._quote_exchanges)
        self._members_exchanges = Exchanges[MembersAnswer](*ends)
        self.members: Final = RemoteMembers(self._members_exchanges)
        self._others: dict[type, Exchanges[Any]] = {
            SlotAnswer: self._slot_exchanges,
            UnattendedKeyKept: self._key_exchanges,
            FreeSpace: self._space_exchanges,
            MembersAnswer: self._members_exchanges,
            Quoted: self._quote_exchanges,
        }
        """The exchanges beside those with the store, by the type of reply."""
        self.news: ClusterNews | None = None
        """Hears what other members of a cluster change, once the HSM has started."""

    def _ask_store(self, question: StoreQuestion) -> None:
        # The requests that the commit before has ended are answered in the same turn. Until then
        # the platform would wait.
        send = self.connection.send_now if isinstance(question, Commit) else self.connection.send
        send(question)

    def confirm_now(self) -> None:
        """Ask whether this member of a cluster knows all changes. The answer is news."""
        self.connection.send(ConfirmNow())

    def aim_syslog(self, wanted: LoggingSettings) -> None:
        """Let the platform send the log to this syslog server."""
        self._is_aimed = not wanted.is_off
        address = None if wanted.is_off else wanted.ip_address
        self.connection.send(AimSyslog(address, wanted.port))

    async def free_bytes(self) -> int | None:
        """Return the space that the store's disk has, or None if that is not known."""
        exchanges = self._space_exchanges
        try:
            return (await exchanges.ask(AskFreeSpace(exchanges.next_id()))).free_bytes
        except ConnectionEnded:
            return None

    def syslog(self, level: Level, line: str) -> None:
        """Send one event to syslog, if there is a receiver. It is lost if the platform is busy."""
        if not (self._is_aimed or self.settings.has_log_receiver):
            return
        if self.connection.is_writable and not self.lost.is_set():
            self.connection.send(SyslogLine(level, line))

    def _received(self, message: PlatformToCore) -> None:
        exchanges = self._others.get(type(message))
        if exchanges is not None:
            exchanges.answered(message)
        elif isinstance(message, News):
            self._hear(message)
        elif isinstance(message, StoreAnswer):
            self._exchanges.answered(message)
        elif not isinstance(message, Hello):
            raise BrokenFrame("a message of another kind")
        elif len(message.device_key) != DEVICE_KEY_BYTES:
            raise BrokenFrame("a device key of another length")
        elif not self.device_key.done():
            self.settings = message.settings
            self.unattended_key.content = message.unattended_key
            self.quotes.public_der = message.settings.attestation_key
            self.device_key.set_result(Secret(message.device_key))

    def _hear(self, message: News) -> None:
        if self.news is None:
            return  # Nothing is in memory yet.
        match message:
            case RecordsChanged():
                self.news.changed(message.paths)
            case AnyRecordChanged():
                self.news.any_changed()
            case UpToDate():
                self.news.up_to_date(message.as_of, is_alone=message.is_alone)

    def _lost(self, reason: str) -> None:
        for exchanges in (self._exchanges, *self._others.values()):
            exchanges.lost(reason)
        if not self.device_key.done():
            self.device_key.set_exception(
                StoreUnavailable("The connection to the platform is lost.")
            )
        self.lost.set()
