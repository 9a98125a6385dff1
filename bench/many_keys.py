"""A store with very many keys: signing, listing, starting, memory.

The store is filled by the product's own storage code, in this process: every record is sealed at
its own path, under an ID as `generate` makes them, and committed. Only the private keys repeat.
"""

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from bench.processes import proportional_mib, resident_mib
from bench.result import Reference, Row, at_least, at_most
from bench.run import Findings, Plot, Run, Series
from bench.server import ADMIN, Measured, Server, ask
from bench.signing import CONNECTIONS, SIGNING
from keystead import algorithms
from keystead.model.ids import KeyId
from keystead.model.keys import KeyPath, KeyRecord
from keystead.model.secret import Secret
from keystead.operations.binding import Binding
from keystead.platform.data_directory import DataDirectory
from keystead.platform.device_key import InClear
from keystead.processes.stderr_log import log_to_stderr
from keystead.sealing.device import device_id
from keystead.sealing.domain_key import unlock_unattended
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.bound import BoundStore
from keystead.storage.bound_settings import BoundSettings
from keystead.storage.domain import DomainStores
from keystead.storage.generations import GenerationStore
from keystead.storage.local import LocalStore

_FEW = 1_000
_DISTINCT_PRIVATE_KEYS = 1_000
_COMMIT_RECORDS = 1_000
_LISTED = 100
_LISTED_PREFIX = "listed-"
_LISTINGS = 30
_CACHED, _CACHE_FILLED, _TOUCHED = 10_000, 20_000, 100_000
"""Distinct keys: as many as the cache holds, more, and very many."""


def measure_many_keys(run: Run) -> Findings:
    """Return what the number of keys in the store costs."""
    sizes = [size for size in (_FEW, 10_000, 100_000, 1_000_000) if size < run.keys] + [run.keys]
    with ExitStack() as stack:
        stores = {size: filled(run.folder, size) for size in sizes}
        servers = {
            size: stack.enter_context(Server(data, edges=run.edges))
            for size, (data, _) in stores.items()
        }
        ids = {size: ids for size, (_, ids) in stores.items()}
        rows = _compare(run, servers, ids)
        rows += _alone(run, servers[run.keys], ids[run.keys])
        plot = _against_keys(run, servers, ids)
    return Findings(rows, [plot])


def new_record(type_name: str) -> KeyRecord:
    """Return the record of a new key of this type, which may do all that keys of it can."""
    row = algorithms.BY_NAME[type_name]
    mechanisms = frozenset(one.name for one in row.mechanisms)
    return KeyRecord(private=row.generate(None).material(), mechanisms=mechanisms)


def _signing_record() -> KeyRecord:
    return replace(new_record("EC_P256"), mechanisms=frozenset({"ECDSA_Signature"}))


def filled(
    folder: Path, keys: int, record: Callable[[], KeyRecord] = _signing_record
) -> tuple[Path, list[KeyId]]:
    """Return a data directory with so many keys, and the keys' IDs."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"keys-{keys}"
    with Server(data) as server:
        server.provision()
    began = time.monotonic()
    ids = asyncio.run(_fill(data, keys, record))
    print(f"filled a store with {keys:,} keys in {time.monotonic() - began:.0f} s", flush=True)
    return data, ids


async def _fill(data: Path, keys: int, record: Callable[[], KeyRecord]) -> list[KeyId]:
    with closing(DataDirectory.open(data)) as directory:
        store = SqliteStore(directory.database)
        device_key = directory.device_key(InClear()).fetch(store_exists=True).choose(None)
        log = log_to_stderr("core")
        bound = BoundStore(store, log.error)
        generations = await GenerationStore.open(bound)
        local = LocalStore(generations, device_key)
        locked = await local.unattended()
        unattended_key = directory.unattended_key.read()
        if locked is None or not unattended_key:
            raise RuntimeError("unattended boot is off")
        domain_key = unlock_unattended(locked, Secret(unattended_key))
        settings = BoundSettings(bound, store, device_id(device_key), log.error)
        await Binding(settings, store, generations, local, log, lambda: 0).open(domain_key)
        stores = DomainStores(generations, domain_key)
        ids = [KeyId(os.urandom(10).hex()) for _ in range(keys - _LISTED)]
        ids += [KeyId(f"{_LISTED_PREFIX}{number}") for number in range(_LISTED)]
        records = itertools.cycle([record() for _ in range(_DISTINCT_PRIVATE_KEYS)])
        for start in range(0, keys, _COMMIT_RECORDS):
            some = ids[start : start + _COMMIT_RECORDS]
            changes = [stores.keys.change(KeyPath(None, key), next(records)) for key in some]
            await generations.commit(changes)
        await store.close()
    return ids


def _sign(run: Run, server: Server, ids: Sequence[KeyId], seconds: float | None = None) -> Measured:
    """Sign with these keys in turn."""
    measured = server.load(
        [f"/keys/{key}/sign" for key in ids],
        SIGNING["p256"].body,
        connections=CONNECTIONS,
        seconds=seconds or run.seconds,
    )
    if measured.load.errors:
        raise RuntimeError(f"{measured.load.errors} signatures were not made")
    return measured


def _compare(run: Run, servers: dict[int, Server], ids: dict[int, list[KeyId]]) -> list[Row]:
    """Return how the largest store compares with a small one, both using as many keys."""
    rates: dict[int, list[float]] = {_FEW: [], run.keys: []}
    for size in rates:
        _sign(run, servers[size], ids[size][:_FEW], seconds=1)
    for _ in range(run.rounds):
        for size, found in rates.items():
            found.append(_sign(run, servers[size], ids[size][:_FEW]).load.per_second)
    case = f"P-256 sign with {_FEW:,} keys of {run.keys:,}"
    reference = Reference(f"a store with {_FEW:,} keys", rates[_FEW], at_least(0.95))
    return [Row(case, "/s", rates[run.keys], reference=reference)]


def _alone(run: Run, server: Server, ids: list[KeyId]) -> list[Row]:
    with server.connected() as connection:

        def listing_ms() -> float:
            began = time.perf_counter()
            found = ask(connection, "GET", f"/keys/{_LISTED_PREFIX}*", authorization=ADMIN)
            if found.count(_LISTED_PREFIX.encode()) != _LISTED:
                raise RuntimeError("not all keys were listed")
            return 1e3 * (time.perf_counter() - began)

        listed = [statistics.median(listing_ms() for _ in range(_LISTINGS)) for _ in range(3)]
    of = f"of {run.keys:,}"
    rows = [
        Row(f"Listing a prefix of {_LISTED} keys {of}", "ms", listed, at_most(10)),
        Row(f"Start to ready with {run.keys:,} keys", "s", [server.start_seconds], at_most(2)),
    ]
    if len(ids) >= _TOUCHED:
        _touch(run, server, ids[:_CACHE_FILLED])
        before = resident_mib(server.pid)
        _touch(run, server, ids[_CACHE_FILLED:_TOUCHED])
        after = resident_mib(server.pid)
        shared = proportional_mib(server.pid)
        case = f"{_TOUCHED - _CACHE_FILLED:,} more keys used after {_CACHE_FILLED:,}"
        rows += [
            Row(f"{case}: {role} grows", "MiB", [after[role] - before[role]], at_most(16))
            for role in ("core", "platform")
        ]
        rows.append(Row("All processes with 10,000 keys cached (PSS)", "MiB", [shared]))
    return rows


def _touch(run: Run, server: Server, ids: Sequence[KeyId]) -> None:
    """Use each key at least once."""
    while ids:
        ids = ids[_sign(run, server, ids).load.requests :]


def _against_keys(run: Run, servers: dict[int, Server], ids: dict[int, list[KeyId]]) -> Plot:
    """Return throughput against the number of keys in the store."""
    all_in_turn, one = [], []
    for size, server in servers.items():
        _touch(run, server, ids[size][:_CACHED])
        one.append((size, _sign(run, server, ids[size][:1]).load.per_second))
        all_in_turn.append((size, _sign(run, server, ids[size]).load.per_second))
    return Plot(
        *("keys", "P-256 signatures by the number of keys in the store", "keys", "signatures/s"),
        [Series("one key", one), Series("all keys in turn", all_in_turn)],
    )
