"""`keystead cluster witness`: an etcd without an HSM, as the third member beside two HSMs.

    DIR/key.pem                     its private key, for its owner only
    DIR/request.pem                 what the authority of the cluster signs
    DIR/certificate.pem             the answer, and the authority's own certificate
    DIR/authority.pem
    DIR/keystead-witness.service    the systemd unit that starts etcd

A witness has all records of the cluster, sealed, and no key that opens one.
"""

import argparse
import hashlib
import re
from pathlib import Path
from typing import Final

import msgspec

from keystead.certificates.chains import (
    normalized_authority,
    normalized_chain,
    require_signed_by,
)
from keystead.certificates.tls_identity import make_peer_request, require_answer
from keystead.cli.command import Commands, run_offline
from keystead.cli.exit_status import UsageError
from keystead.cli.screen import write_file
from keystead.model.peer_urls import parse_peer_urls, split_peer_url
from keystead.processes.etcd.member import InitialPeer, MemberRecord, Places, options

UNIT: Final = "keystead-witness.service"

_KEY: Final = "key.pem"
_REQUEST: Final = "request.pem"
_CERTIFICATE: Final = "certificate.pem"
_AUTHORITY: Final = "authority.pem"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_PATH: Final = re.compile(r"/[A-Za-z0-9._/+-]*", re.ASCII)
"""Absolute paths that mean themselves in a systemd unit: a `+` in front would start a program with
all privileges."""
_STATE: Final = "keystead-witness"
_PLACES: Final = Places(
    data=f"%S/{_STATE}/data",
    socket=f"%t/{_STATE}/client.sock",
    certificate=f"%d/{_CERTIFICATE}",
    key=f"%d/{_KEY}",
    authority=f"%d/{_AUTHORITY}",
)


class _Member(msgspec.Struct, frozen=True):
    id: str
    name: str
    urls: list[str]


class _Added(msgspec.Struct, frozen=True):
    members: list[_Member]


_UNIT_TEXT: Final = """\
[Unit]
Description=Witness of a Keystead cluster
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart={etcd} {options}
Restart=always
RestartSec=1
{credentials}

DynamicUser=yes
StateDirectory={state}
StateDirectoryMode=0700
RuntimeDirectory={state}
RuntimeDirectoryMode=0700
UMask=0077
Environment=GOMEMLIMIT=2GiB GOTRACEBACK=none
LimitCORE=0

CapabilityBoundingSet=
LockPersonality=yes
MemoryDenyWriteExecute=yes
PrivateDevices=yes
PrivateUsers=yes
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def add_witness(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the commands that prepare a witness."""
    commands = Commands(parser)
    requesting = commands.add_group("request", "make the key of a witness, and a request for it")
    requesting.add_argument(
        "--url", required=True, metavar="https://HOST:PORT", help="where the HSMs will reach it"
    )
    configuring = commands.add_group("configure", "write the systemd unit that starts the witness")
    for option, summary in (
        ("--members", "what 'cluster add' has written"),
        ("--certificate", "the answer to the request, with the certificates of its issuers"),
        ("--ca", "the certificate of the cluster's authority"),
    ):
        configuring.add_argument(option, type=Path, required=True, metavar="FILE", help=summary)
    configuring.add_argument(
        "--etcd",
        type=Path,
        default=Path("/usr/bin/etcd"),
        metavar="FILE",
        help="the program etcd on the machine of the witness (default: /usr/bin/etcd)",
    )
    for command, run in ((requesting, _request), (configuring, _configure)):
        command.add_argument("directory", type=Path, metavar="DIR", help="the witness's files")
        run_offline(command, run)


def _request(given: argparse.Namespace) -> None:
    (url,) = parse_peer_urls([given.url])
    host, _ = split_peer_url(url)
    key, request = make_peer_request(host)
    given.directory.mkdir(mode=0o700, parents=True)  # No key is there that this would replace.
    write_file(given.directory / _KEY, [key.reveal()])
    write_file(given.directory / _REQUEST, [request])
    _say(
        f"Have the authority of the cluster sign {given.directory / _REQUEST}, for server and "
        f"client. Declare the witness: 'keystead cluster add {given.url} --witness -o FILE'."
    )


def _configure(given: argparse.Namespace) -> None:
    directory = given.directory.absolute()
    for path in (directory, given.etcd):
        if not _PATH.fullmatch(str(path)):
            raise UsageError(f"{path} is not an absolute path that a systemd unit reads as it is.")
    request = (directory / _REQUEST).read_bytes()
    chain = normalized_chain(given.certificate.read_bytes())
    authority = normalized_authority(given.ca.read_bytes())
    require_answer(request, chain)
    require_signed_by(authority, chain)
    name = f"witness-{hashlib.sha256(request).hexdigest()[:8]}"
    record, number = _record(given.members, name)
    write_file(directory / _CERTIFICATE, [chain])
    write_file(directory / _AUTHORITY, [authority])
    write_file(directory / UNIT, [_unit(given.etcd, directory, record).encode()])
    _say(
        f"Install {directory / UNIT} in /etc/systemd/system and start it. Then run "
        f"'keystead cluster promote {number}' for an HSM of the cluster."
    )


def _record(path: Path, name: str) -> tuple[MemberRecord, str]:
    """Return how the witness begins, and its ID. Raises UsageError for another file's content."""
    try:
        members = msgspec.json.decode(path.read_bytes(), type=_Added).members
        (own,) = (one for one in members if not one.name)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not what 'keystead cluster add' writes.") from error
    number = own.id
    peers = [InitialPeer(one.name or name, list(parse_peer_urls(one.urls))) for one in members]
    for text in (number, *(peer.name for peer in peers)):
        if not _NAME.fullmatch(text):
            raise UsageError(f"{path} has a member with the name {text!a}.")
    return MemberRecord(name, peers, "existing"), number


def _unit(etcd: Path, directory: Path, record: MemberRecord) -> str:
    files = (_KEY, _CERTIFICATE, _AUTHORITY)
    return _UNIT_TEXT.format(
        etcd=etcd,
        options=" ".join(options(record, _PLACES)),
        credentials="\n".join(f"LoadCredential={name}:{directory / name}" for name in files),
        state=_STATE,
    )


def _say(line: str) -> None:
    print(line)  # noqa: T201 - the answer
