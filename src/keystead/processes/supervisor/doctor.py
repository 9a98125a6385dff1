"""`keystead doctor`: which protections this machine allows, and which are in force.

It changes nothing, except in the processes that it starts for trials.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.backends.openssl import backend

from keystead import __version__
from keystead.errors import KeysteadError, StartRefused
from keystead.etcd.calls import STATUS
from keystead.etcd.client import EtcdClient
from keystead.etcd.errors import EtcdError
from keystead.etcd.messages import StatusRequest, StatusResponse
from keystead.model.members import ALMOST_FULL, DatabaseSpace
from keystead.platform.event_log import read_event_log
from keystead.processes.etcd.member import QUOTA_BYTES, MemberDirectory
from keystead.processes.platform.counter_place import open_counter
from keystead.processes.platform.device_key_provider import device_key_provider
from keystead.processes.platform.quotes import open_quotes
from keystead.processes.platform.settings import (
    AttestationSettings,
    DeviceKeySettings,
    PlatformSettings,
)
from keystead.processes.sandbox import OWN_KINDS, OwnKind, Protections, require_support
from keystead.processes.supervisor import etcd_version
from keystead.processes.supervisor.configuration import read_configuration, usual_edges
from keystead.processes.supervisor.findings import (
    Finding,
    about_machine,
    about_memory,
    about_owner,
    about_second_place,
    read_text,
)

_TRIAL_SECONDS: Final = 30
_TELLING: Final = ("Seccomp", "NoNewPrivs", "Uid", "CapEff")
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def add_doctor(examining: argparse.ArgumentParser) -> None:
    """Give `examining` what `keystead doctor` takes."""
    examining.description = (
        "Try what this machine allows, and look at a running server. "
        "Exit status 1 when something must not stay as it is."
    )
    examining.set_defaults(run=_examine)
    examining.add_argument("--data", type=Path, metavar="DIR", help="a server's data directory")
    examining.add_argument("--config", type=Path, metavar="FILE", help="a server's configuration")


def _examine(given: argparse.Namespace) -> int:
    if given.config is None:
        findings = list(examine(given.data))
    else:
        file = read_configuration(given.config)
        findings = list(
            examine(given.data or file.data, file.platform, file.etcd, edges=file.edges)
        )
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    return 1 if any(finding.is_fault for finding in findings) else 0


def examine(
    data: Path | None,
    settings: PlatformSettings | None = None,
    etcd: Path | None = None,
    *,
    edges: int | None = None,
) -> Iterator[Finding]:
    """Yield findings about the machine, and about the server that runs on `data`, if there is one.

    `settings` are those of a server's platform, and `etcd` is its program.
    """
    yield Finding(
        f"Keystead {__version__}, Python {platform.python_version()}, "
        f"Linux {platform.release()} on {platform.machine()}, "
        f"TLS by {ssl.OPENSSL_VERSION}, keys by {backend.openssl_version_text()}"
    )
    try:
        require_support()
    except StartRefused as error:
        yield Finding(error.message, is_fault=True)
    else:
        for kind in OWN_KINDS:
            yield _tried(kind)
    yield from about_machine()
    has_tpm = settings is not None and settings.has_tpm
    yield about_memory(edges=edges or usual_edges(), has_tpm=has_tpm)
    if settings is not None:
        yield from _survey(settings.device_key)
        yield from _second_places(settings)
        if settings.attestation is not None:
            yield from _attestation(settings.attestation)
    if etcd is not None:
        yield _etcd(etcd)
    if data is not None:
        yield from _modes(data)
        yield from etcd_database(data)
        yield from _running(data)


def _tried(kind: OwnKind) -> Finding:
    command = [
        sys.executable,
        "-I",
        "-m",
        "keystead.processes.supervisor.trial",
        kind,
        str(os.getpid()),
    ]
    try:
        ended = subprocess.run(  # noqa: S603 - our own interpreter and module, no outside input
            command, env={}, capture_output=True, check=False, timeout=_TRIAL_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Finding(f"{kind}: no answer in {_TRIAL_SECONDS} s", is_fault=True)
    if ended.returncode:
        reason = ended.stderr.decode(errors="replace").strip() or f"status {ended.returncode}"
        return Finding(f"{kind}: {reason}", is_fault=True)
    found = msgspec.json.decode(ended.stdout, type=Protections)
    missing = f"; missing: {', '.join(found.missing)}" if found.missing else ""
    return Finding(f"{kind} would have: {', '.join(found.in_force)}{missing}")


def _survey(wanted: DeviceKeySettings) -> Iterator[Finding]:
    try:
        lines = device_key_provider(wanted).survey()
    except StartRefused as error:
        yield Finding(f"device key, provider {wanted.provider}: {error.message}", is_fault=True)
        return
    yield Finding(f"device key, provider {wanted.provider}")
    yield from map(Finding, lines)


def _second_places(settings: PlatformSettings) -> Iterator[Finding]:
    """Yield what tells an older database from the present one."""
    yield from about_second_place(settings)
    if settings.head_file is not None:
        head = Path(settings.head_file)
        found = "there" if head.exists() else "not there yet: the first checkpoint makes it"
        yield Finding(f"the journal's head in {head}: {found}")
    if settings.tpm_counter is not None:
        yield _counter(settings.tpm_counter)


def _counter(device: str) -> Finding:
    try:
        counter = open_counter(device)
        value = counter.value()
    except KeysteadError as error:
        return Finding(error.message, is_fault=True)
    counter.close()
    return Finding(f"the counter of the TPM {device}: {value}")


def _attestation(wanted: AttestationSettings) -> Iterator[Finding]:
    try:
        quotes = open_quotes(wanted)
    except KeysteadError as error:
        yield Finding(error.message, is_fault=True)
        return
    quotes.close()
    yield Finding(f"the TPM {wanted.tpm} attests the PCRs {wanted.pcrs}")
    if not read_event_log(wanted.event_log):
        yield Finding(f"the event log {wanted.event_log} cannot be read", is_warning=True)


def _etcd(program: Path) -> Finding:
    try:
        version = etcd_version.require_version(program)
    except StartRefused as error:
        return Finding(error.message, is_fault=True)
    return Finding(f"etcd {etcd_version.text(version)}: {program}")


def etcd_database(data: Path) -> Iterator[Finding]:
    """Yield how full the database of etcd is, and its alarms, if this HSM is a cluster."""
    directory = MemberDirectory(data / "etcd")
    if not directory.exists:
        return
    try:
        status = asyncio.run(_status(directory.socket))
    except EtcdError as error:
        why = "Without a majority of the cluster's members it serves nobody."
        yield Finding(f"etcd does not answer: {error} {why}", is_warning=True)
        return
    yield Finding(
        f"etcd's database has {_mib(status.db_size)}, of which {_mib(status.db_size_in_use)} are "
        f"in use; from {_mib(QUOTA_BYTES)} on, nothing can be added"
    )
    if DatabaseSpace(status.db_size, status.db_size_in_use, QUOTA_BYTES).is_almost_full:
        yield Finding(ALMOST_FULL, is_warning=True)
    for complaint in status.errors:
        yield Finding(f"etcd says: {complaint.strip()}", is_fault=True)


async def _status(socket: Path) -> StatusResponse:
    client = EtcdClient(str(socket))
    try:
        return await client.call(STATUS, StatusRequest(), seconds=_TRIAL_SECONDS)
    finally:
        await client.close()


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def _modes(data: Path) -> Iterator[Finding]:
    if not data.exists():
        yield Finding(f"there is no data directory {data} yet: the first start makes it")
        return
    if not data.is_dir():
        yield Finding(f"{data} is no directory", is_fault=True)
        return
    if not (data / "keystead.db").exists():
        yield Finding(f"there is no database in {data} yet: nothing is provisioned")
    yield from about_owner(data)
    for path in (data, *data.glob("device.key*"), *data.glob("keystead.db*")):
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & _OTHERS:
                yield Finding(f"{path} is open to other users: mode {mode:04o}", is_fault=True)


def _running(data: Path) -> Iterator[Finding]:
    """Yield what the kernel reports about the processes of the server that uses `data`."""
    holder = read_text(data / "keystead.lock").strip()
    children = read_text(Path(f"/proc/{holder}/task/{holder}/children")).split() if holder else []
    kinds = {child: kind for child in children if (kind := _kind(child)) is not None}
    if not kinds:
        yield Finding(f"no server runs on {data}")
    for child, kind in kinds.items():
        lines = read_text(Path(f"/proc/{child}/status")).splitlines()
        status = {name: value.split()[0] for name, value in _fields(lines)}
        is_fault = (status.get("Seccomp"), status.get("NoNewPrivs")) != ("2", "1")
        seen = ", ".join(f"{field} {status.get(field, '?')}" for field in _TELLING)
        yield Finding(f"{kind} runs as process {child}: {seen}", is_fault=is_fault)


def _kind(process: str) -> str | None:
    """Return the kind of a process, None when it is not one of ours."""
    arguments = read_text(Path(f"/proc/{process}/cmdline")).split("\0")
    package, _, kind = arguments[3].rpartition(".") if len(arguments) > 3 else ("", "", "")  # noqa: PLR2004 - after `-I -m`
    return kind if package == "keystead.processes" else None


def _fields(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition(":")
        if value.strip():
            yield name, value
