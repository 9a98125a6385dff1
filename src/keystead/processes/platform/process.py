"""The platform process: it keeps the sealed records, and hands over the device key."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from keystead.journal.log import Log
from keystead.platform.data_directory import DataDirectory
from keystead.platform.device_key import Fetched, kept_here
from keystead.platform.remote_quotes import Quotes, QuoteService
from keystead.platform.remote_update_slot import UpdateSlotService
from keystead.platform.service import StoreService
from keystead.platform.syslog import Sender, Syslog, UdpSyslog
from keystead.platform.unattended_key import UnattendedKeyService
from keystead.processes import launch
from keystead.processes.etcd.member import MemberDirectory
from keystead.processes.platform.access import (
    load_name_services,
    platform_access,
    start_lookup_threads,
)
from keystead.processes.platform.answers import Answers
from keystead.processes.platform.counter_place import Counter, CounterPlace, open_counter
from keystead.processes.platform.device_key_provider import device_key_provider
from keystead.processes.platform.key_of_image import with_key_of_image
from keystead.processes.platform.quotes import quotes_if_any
from keystead.processes.platform.second_place import SecondPlace
from keystead.processes.platform.settings import PlatformSettings, SyslogReceiver
from keystead.processes.platform.store import OpensStore, opener
from keystead.processes.sandbox import Sandbox
from keystead.processes.stderr_log import log_bugs, log_to_stderr
from keystead.storage.backends.remote import StoreAnswers
from keystead.storage.key_value_store import KeyValueStore
from keystead.storage.paths import devices
from keystead.wire import control
from keystead.wire.control_messages import KeyWaits

if TYPE_CHECKING:
    from keystead.platform.tls_syslog import TlsSyslog


class _Options(launch.Options, frozen=True, kw_only=True):
    core: socket.socket
    data: Path
    data_lock: int
    settings: int
    user: int | None = None
    tls: bool = False
    """Read by `__main__`, before asyncio is loaded."""


async def serve(  # noqa: PLR0913 - what `main` has gathered before the files are out of reach
    core: socket.socket,
    data: DataDirectory,
    settings: PlatformSettings,
    fetched: Fetched,
    opens_store: OpensStore,
    *,
    counter: Counter | None,
    quotes: Quotes | None,
    tls_syslog: Sequence["TlsSyslog"],
    log: Log,
    confinement: Sandbox,
) -> int:
    """Serve the store in `data` until the core is gone. Return the exit status.

    `fetched` holds the device key, which is forgotten after it was handed over. Raises
    KeysteadError if it cannot start.
    """
    loop = asyncio.get_running_loop()
    log_bugs(loop, log)
    store, own, follow, members = await opens_store(data, log)
    device_key = fetched.settle(await devices(own))
    for provider in set(kept_here(data.path)) - {settings.device_key.provider}:
        log.warning(
            "the data directory also holds a device key of another provider", provider=provider
        )
    if tls_syslog:
        start_lookup_threads(loop)
    update_slot = data.update_slot(has_installer=settings.has_installer)
    slot = UpdateSlotService(update_slot)
    unattended_key = UnattendedKeyService(data.unattended_key)
    places = _places(store, settings, counter)
    outermost = places[-1] if places else store
    quote_service = None if quotes is None else QuoteService(quotes)
    answers = Answers(
        data.path, StoreAnswers(outermost), slot, unattended_key, quote_service, members
    )
    service = StoreService(answers.to, _syslog(tls_syslog))
    log.info("platform started", **confinement.lock_down().fields())
    await loop.create_unix_connection(lambda: service.connection, sock=core)
    freshness = None if follow is None else settings.core.freshness
    of_core = msgspec.structs.replace(
        settings.core,
        freshness=freshness,
        is_member=follow is not None,
        can_join=follow is None and members is not None,
        attestation_key=b"" if quotes is None else quotes.public_der,
        device_key_provider=settings.device_key.provider,
        has_log_receiver=bool(tls_syslog),
    )
    service.hand_over(device_key, unattended_key.take(), of_core)
    del device_key
    tasks = [loop.create_task(sender.run()) for sender in tls_syslog]
    if follow is not None and freshness is not None:
        tasks.append(loop.create_task(follow(service, freshness)))
    await service.run()
    for task in tasks:
        task.cancel()
    slot.close()
    unattended_key.close()
    if quote_service is not None:
        quote_service.close()
    for place in places:
        place.close()
    await store.close()
    log.info("platform stopped")
    return 0


def _places(
    store: KeyValueStore, settings: PlatformSettings, counter: Counter | None
) -> list[SecondPlace | CounterPlace]:
    """Return the stores around `store` that keep something of the journal elsewhere."""
    places: list[SecondPlace | CounterPlace] = []
    if settings.head_file is not None:
        places.append(SecondPlace(store, Path(settings.head_file)))
    if counter is not None:
        places.append(CounterPlace(places[-1] if places else store, counter))
    return places


def _syslog(others: Sequence[Sender]) -> Syslog:
    host_name = socket.gethostname()
    return Syslog(UdpSyslog(host_name=host_name, clock=time.time), *others)  # noqa: TID251 - given here


def _tls_syslog(wanted: SyslogReceiver | None, log: Log) -> list["TlsSyslog"]:
    """Return the sender to the one receiver over TLS, if there is one."""

    def complain(reason: str, dropped: int) -> None:
        log.warning("syslog over TLS does not work", reason=reason, dropped=dropped)

    if wanted is None:
        return []
    # What needs TLS is loaded only here: `__main__` says why.
    from keystead.platform.tls_syslog import Receiver, TlsSyslog, receiver_context  # noqa: PLC0415

    context = receiver_context(wanted.authorities_pem)
    return [
        TlsSyslog(
            Receiver(wanted.host, wanted.port, context),
            host_name=socket.gethostname(),
            clock=time.time,  # noqa: TID251 - given here
            complain=complain,
        )
    ]


def main() -> None:
    """Run the platform, with options from the supervisor."""
    given = launch.read_options(_Options, sys.argv[1:])
    keep = [given.core.fileno(), given.control.fileno(), given.data_lock, given.settings]
    log = log_to_stderr("platform")
    confinement = Sandbox("platform", is_filtered=given.is_filtered)
    with launch.telling_refusal(given.control):
        confinement.isolate(parent=given.parent, keep=keep)
        data = DataDirectory(given.data, given.data_lock)
        settings = PlatformSettings.read(given.settings)
        os.close(given.settings)
        # After this, confinement puts credentials and the TPM out of reach.
        settings, key_waits = with_key_of_image(data, settings, log)
        if key_waits:
            control.send(given.control, KeyWaits())
        device_key = data.device_key(device_key_provider(settings.device_key))
        fetched = device_key.fetch(store_exists=data.database.exists())
        device_key.revoke_older()
        counter = None if settings.tpm_counter is None else open_counter(settings.tpm_counter)
        quotes = quotes_if_any(settings.attestation, log)
        tls_syslog = _tls_syslog(settings.syslog, log)
        if tls_syslog:
            load_name_services()
        opens_store = opener(data, can_join=settings.core.can_join)
        uses_etcd = settings.core.can_join or MemberDirectory(data.etcd).exists
        access = platform_access(data.path, settings, uses_etcd=uses_etcd)
        confinement.confine(access, user=given.user)
        launch.run(
            serve(
                given.core,
                data,
                settings,
                fetched,
                opens_store,
                counter=counter,
                quotes=quotes,
                tls_syslog=tls_syslog,
                log=log,
                confinement=confinement,
            )
        )
