"""The command line for clusters.

`keystead cluster init`, `leave` and `force-new` are for the operator of the machine, while the
server is stopped. `witness` is for the machine of a witness (`keystead.witnesses`), and the others
are for a running HSM (`keystead.cli.members`).
"""

import argparse
import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from keystead.cli.command import Commands
from keystead.cli.members import add_members
from keystead.cli.screen import one_line
from keystead.errors import StartRefused
from keystead.model.peer_urls import parse_peer_urls
from keystead.platform.data_directory import DataDirectory
from keystead.processes import sandbox
from keystead.processes.stderr_log import log_to_stderr
from keystead.processes.supervisor import etcd_version
from keystead.processes.supervisor.configuration import DEFAULT_DATA, read_configuration
from keystead.processes.supervisor.formation import Formation
from keystead.processes.supervisor.lone_member import LoneMember, PublishedMember, reached
from keystead.witnesses import add_witness

Command = Callable[[Formation, argparse.Namespace], Coroutine[None, None, None]]

_OTHERS: Final = """
What the others had acknowledged and this member had not heard of yet would be gone. The others
must never run again with the data that they have: they and this HSM would both go on, each with
keys and users of its own. If they are lost for ever, repeat the command with --others-are-lost."""
_REACHED: Final = """
They are not lost: if this member is, remove it there, and let it join again. If what is reached is
no member, or one that can never serve again, repeat the command with --ignore-reached."""


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the subcommands; each sets `run`, to be called with the parsed arguments."""
    commands = Commands(parser)
    add_members(commands)
    forming = commands.add_group("init", "move the records into etcd: a cluster of one member")
    forming.add_argument(
        "--url",
        required=True,
        metavar="https://HOST:PORT",
        help="where other members will reach this one",
    )
    leaving = commands.add_group("leave", "move the records of the only member back into SQLite")
    add_witness(commands.add_group("witness", "prepare an etcd without an HSM, as a member"))
    forcing = commands.add_group(
        "force-new", "go on alone, as a cluster of one, after the other members were lost"
    )
    forcing.add_argument(
        "--others-are-lost", action="store_true", help="they will never run again with their data"
    )
    forcing.add_argument(
        "--ignore-reached", action="store_true", help="even though another accepts connections"
    )
    of_machines = ((forming, _form), (leaving, _dissolve), (forcing, _force))
    for of_machine, command in of_machines:
        of_machine.set_defaults(run=partial(_run, command=command))
        of_machine.add_argument(
            "--config", type=Path, metavar="FILE", required=True, help="the server's configuration"
        )
        of_machine.add_argument("--data", type=Path, metavar="DIR", help="its data directory")


def _run(given: argparse.Namespace, command: Command) -> None:
    os.umask(0o077)
    sandbox.forbid_dumps()
    file = read_configuration(given.config)
    if file.etcd is None:
        raise StartRefused(f"{given.config} names no etcd: it needs [cluster] with etcd = PATH.")
    _ = etcd_version.require_version(file.etcd)
    path = (given.data or file.data or DEFAULT_DATA).absolute()
    if not path.is_dir():
        raise StartRefused(f"There is no data directory {path}.")
    with contextlib.closing(DataDirectory.open(path)) as directory:
        log = log_to_stderr("supervisor")
        asyncio.run(command(Formation(directory, file.etcd.absolute(), log), given))


async def _form(formation: Formation, given: argparse.Namespace) -> None:
    (url,) = parse_peer_urls([given.url])
    count = await formation.form(url)
    _say(f"{count} records are in etcd now. This HSM is a cluster of one member.")


async def _dissolve(formation: Formation, _given: argparse.Namespace) -> None:
    count = await formation.dissolve()
    _say(f"{count} records are in SQLite again. This HSM is in no cluster.")


async def _force(formation: Formation, given: argparse.Namespace) -> None:
    member = LoneMember(formation.data, formation.program, formation.log)
    present = await member.settle()
    others = _listed(present.others)
    if not given.others_are_lost:
        raise StartRefused(f"The other members of the cluster are:\n{others}{_OTHERS}")
    if not given.ignore_reached and (found := await reached(present.others)):
        raise StartRefused(f"These members accept connections:\n{_listed(found)}{_REACHED}")
    await member.go_on(present)
    _say(f"This HSM is a cluster of one member now. It has forgotten:\n{others}")


def _listed(members: Sequence[PublishedMember]) -> str:
    """Return a line for each member. A captured one may call itself anything."""
    return "\n".join(
        "    "
        + one_line(f"{one.member_id} {one.name or '(has not joined)'} {' '.join(one.peer_urls)}")
        for one in members
    )


def _say(line: str) -> None:
    print(line)  # noqa: T201 - the answer
