"""The platform process: keeps the records, hands over the device key. It sees ciphertext only."""

import asyncio
import socket
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

from keystead.errors import KeysteadError
from keystead.journal.log import Log
from keystead.platform.data_directory import DataDirectory
from keystead.platform.service import StoreService
from keystead.platform.syslog import UdpSyslog
from keystead.processes import launch, sandbox
from keystead.processes.stderr_log import log_bugs, log_to_stderr
from keystead.storage.backends import remote
from keystead.storage.backends.sqlite import SqliteStore
from keystead.wire import control
from keystead.wire.messages import CannotStart

_AFTER_ALL_PATHS: Final = "\U0010ffff"


async def serve(core: socket.socket, data: DataDirectory, log: Log) -> None:
    """Serve the store in `data` until the core is gone. Raises KeysteadError if it cannot start."""
    loop = asyncio.get_running_loop()
    log_bugs(loop, log)
    store = SqliteStore(data.database)
    holds_records = bool(await store.list("", _AFTER_ALL_PATHS, limit=1))
    device_key = data.device_key.obtain(store_holds_records=holds_records)
    syslog = UdpSyslog(host_name=socket.gethostname(), clock=time.time)  # noqa: TID251 - given here
    service = StoreService(partial(remote.answer, store), syslog)
    log.info("platform started", **sandbox.lock_down("platform").fields())
    await loop.create_unix_connection(lambda: service.connection, sock=core)
    service.hand_over(device_key)
    del device_key
    await service.run()
    await store.close()
    log.info("platform stopped")


def main() -> None:
    """Run the platform; the supervisor gives the options."""
    parser = launch.parser("platform")
    parser.add_argument("--core", type=launch.inherited_socket, required=True)
    parser.add_argument("--control", type=launch.inherited_socket, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--data-lock", type=int, required=True)
    given = parser.parse_args()
    keep = [given.core.fileno(), given.control.fileno(), given.data_lock]
    sandbox.isolate(parent=given.parent, keep=keep)
    data = DataDirectory(given.data, given.data_lock)
    try:
        asyncio.run(serve(given.core, data, log_to_stderr("platform")))
    except KeysteadError as error:
        control.send(given.control, CannotStart(error.message))
        sys.exit(1)


if __name__ == "__main__":
    main()
