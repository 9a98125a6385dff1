"""The command line for the device key: `keystead device-key show`, `move`, `rewrap`.

For the operator of the machine, while the server is stopped.
"""

import argparse
import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from keystead.errors import InvalidInput, StartRefused
from keystead.model.secret import Secret
from keystead.platform.data_directory import DataDirectory
from keystead.platform.device_key import (
    PROVIDER_NAMES,
    DeviceKey,
    ProviderName,
    destroy,
    file_of,
    kept_here,
)
from keystead.platform.pcrs import PcrSelection
from keystead.processes import sandbox
from keystead.processes.platform.device_key_provider import device_key_provider
from keystead.processes.platform.settings import DeviceKeySettings
from keystead.processes.supervisor.configuration import (
    DEFAULT_DATA,
    Configuration,
    read_configuration,
)
from keystead.sealing.device import device_id, new_device_key
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.local import LocalStore
from keystead.storage.paths import devices


@dataclass(frozen=True, slots=True)
class Stopped:
    """The data directory of a stopped server, and the provider of its device key."""

    directory: DataDirectory
    settings: DeviceKeySettings

    def providers(self) -> list[ProviderName]:
        """Return whose device keys are here, the configured one's first."""
        return sorted(
            kept_here(self.directory.path), key=lambda name: name != self.settings.provider
        )

    def kept_by(self, name: ProviderName) -> DeviceKey:
        """Return the device key as the provider `name` keeps it."""
        settings = msgspec.structs.replace(self.settings, provider=name)
        return self.directory.device_key(device_key_provider(settings))

    async def settled(self) -> tuple[ProviderName, Secret]:
        """Return the key that the records are sealed under, and its provider.

        An interrupted change is finished or undone. Raises StartRefused if no provider can open its
        key.
        """
        async with self.store() as store:
            known = None if store is None else await devices(store)
        refusals = []
        for name in self.providers():
            try:
                return name, self.kept_by(name).fetch(store_exists=True).settle(known)
            except StartRefused as refusal:
                refusals.append(refusal.message)
        raise StartRefused(" ".join(refusals) or self.nothing_here)

    def destroy_others(self, name: ProviderName) -> None:
        """Destroy all device keys except that of the provider `name`.

        Raises StartRefused if a key cannot be removed.
        """
        for other in self.providers():
            if other != name:
                try:
                    destroy(self.directory.path, other)
                except OSError as error:
                    raise StartRefused(
                        f"The device key of the provider {other} is still here: {error}."
                    ) from error

    @property
    def nothing_here(self) -> str:
        """The message if there is no device key."""
        return f"There is no device key in {self.directory.path}."

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[SqliteStore | None]:
        """Open the store. Yields None if nothing was ever stored."""
        if not self.directory.database.exists():
            yield None
            return
        store = SqliteStore(self.directory.database)
        try:
            yield store
        finally:
            await store.close()


Command = Callable[[Stopped, argparse.Namespace], Coroutine[None, None, None]]


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the subcommands; each sets `run`, to be called with the parsed arguments."""
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--config", type=Path, metavar="FILE", help="the server's configuration")
    where.add_argument("--data", type=Path, metavar="DIR", help="its data directory")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    showing = commands.add_parser("show", parents=[where], help="say where it is and if it opens")
    showing.set_defaults(run=lambda given: _run(given, _show))
    moving = commands.add_parser(
        "move",
        parents=[where],
        help="have another provider keep it; with tpm2 again: seal it to the present PCRs",
    )
    moving.add_argument("--to", choices=PROVIDER_NAMES, required=True, dest="target")
    moving.add_argument("--pcrs", metavar="BANK:N,…|none", help="other PCRs than configured")
    moving.set_defaults(run=lambda given: _run(given, _move))
    rewrapping = commands.add_parser(
        "rewrap", parents=[where], help="make a new one, and seal under it what the old one sealed"
    )
    rewrapping.set_defaults(run=lambda given: _run(given, _rewrap))


def _run(given: argparse.Namespace, command: Command) -> None:
    os.umask(0o077)
    sandbox.forbid_dumps()
    file = Configuration() if given.config is None else read_configuration(given.config)
    path = (given.data or file.data or DEFAULT_DATA).absolute()
    if not path.is_dir():
        raise StartRefused(f"There is no data directory {path}.")
    with contextlib.closing(DataDirectory.open(path)) as directory:
        asyncio.run(command(Stopped(directory, file.platform.device_key), given))


async def _show(stopped: Stopped, _given: argparse.Namespace) -> None:
    """Show all providers, then fail unless the server would start."""
    configured = stopped.settings.provider
    refusal: str | None = stopped.nothing_here
    async with stopped.store() as store:
        known = None if store is None else await devices(store)
    for name in stopped.providers():
        reason = _show_one(stopped, name, known)
        if name == configured:
            refusal = reason
    _say(f"unattended key: {'yes' if stopped.directory.unattended_key.read() else 'no'}")
    if refusal is not None:
        raise StartRefused(f"With the provider {configured}, the server does not start. {refusal}")


def _show_one(stopped: Stopped, name: ProviderName, known: frozenset[str] | None) -> str | None:
    """Say how one provider keeps the key; return why it is of no use, None when it is."""
    _say(f"provider: {name}", f"file: {file_of(stopped.directory.path, name)}")
    try:
        kept = stopped.kept_by(name)
        _say(*kept.describe())
        key = kept.fetch(store_exists=True).choose(known)
    except StartRefused as refusal:
        _say("opens: no")
        return refusal.message
    _say("opens: yes", f"device: {device_id(key)}")
    return None


async def _move(stopped: Stopped, given: argparse.Namespace) -> None:
    """Seal the key again, check that it opens, and only then destroy the old one."""
    target: ProviderName = given.target
    if given.pcrs is not None:
        if target != "tpm2":
            raise InvalidInput("--pcrs is for --to tpm2.")
        PcrSelection.parse(given.pcrs)
        stopped = replace(
            stopped, settings=msgspec.structs.replace(stopped.settings, pcrs=given.pcrs)
        )
    kept = stopped.kept_by(target)
    _, key = await stopped.settled()
    kept.stage(key)
    kept.promote()
    stopped.destroy_others(target)
    kept.revoke_older()
    _say_where(stopped, target)


async def _rewrap(stopped: Stopped, _given: argparse.Namespace) -> None:
    """Have both keys on the disk, change over in one commit, and only then destroy the old one."""
    name, old = await stopped.settled()
    kept, new = stopped.kept_by(name), new_device_key()
    async with stopped.store() as store:
        kept.stage(new)
        if store is not None:
            changes = await LocalStore(store, old).moved_to(LocalStore(store, new))
            _ = await store.commit(changes)
    kept.promote()
    stopped.destroy_others(name)
    kept.revoke_older()
    _say(f"device: {device_id(new)}, before: {device_id(old)}")
    _say_where(stopped, name)


def _say_where(stopped: Stopped, name: ProviderName) -> None:
    _say(f"The device key is in {stopped.kept_by(name).path}.")
    if name != stopped.settings.provider:
        _say(f'Now set in the configuration file: [device_key] provider = "{name}"')


def _say(*lines: str) -> None:
    for line in lines:
        print(line)  # noqa: T201 - the answer
