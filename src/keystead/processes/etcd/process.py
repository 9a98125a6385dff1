"""Confines itself, and becomes the operator's etcd, or etcdutl to restore a snapshot."""

import os
import sys
from pathlib import Path

from keystead.processes import launch
from keystead.processes.etcd.member import (
    MemberDirectory,
    PeerFiles,
    arguments,
    restore_arguments,
    snapshot_path,
)
from keystead.processes.sandbox import AllowedAccess, Sandbox

_SETTINGS = Path("/etc")
"""Name servers and names of hosts, for peers that are known by name."""
_LIBRARIES = (Path("/lib"), Path("/lib64"), Path("/usr/lib"))
"""The C library, which some builds of etcd are linked to."""

MEMORY_BYTES = 4 * 2**30
"""The most memory of etcd. A restore of 100,000 keys takes it 1.4 GB."""
_GO_SETTINGS = {"GOMEMLIMIT": "2GiB", "GOTRACEBACK": "none"}
"""Go's runtime frees memory earlier from the limit on, and prints no memory when it crashes."""


class _Options(launch.Options, frozen=True, kw_only=True):
    directory: Path
    program: Path
    record: str
    restores: bool = False
    user: int | None = None
    peer_identity: int | None = None
    peer_authority: int | None = None


def main() -> None:
    """Run etcd, with options from the supervisor."""
    given = launch.read_options(_Options, sys.argv[1:])
    files, keep = None, [given.control.fileno()]
    if given.peer_identity is not None and given.peer_authority is not None:
        files = PeerFiles(given.peer_identity, given.peer_authority)
        keep += files
    confinement = Sandbox("etcd", is_filtered=given.is_filtered)
    with launch.telling_refusal(given.control):
        confinement.isolate(parent=given.parent, keep=keep)
        record = MemberDirectory(given.directory, given.record).record()
        if given.restores:
            snapshot = snapshot_path(MemberDirectory(given.directory))
            options = list(restore_arguments(record, snapshot))
        else:
            options = list(arguments(record, files))
        os.chdir(given.directory)  # Its user cannot reach it by its path.
        os.umask(0o007)
        confinement.become(
            given.program,
            options,
            environment=_GO_SETTINGS,
            allowed=AllowedAccess(
                directories=(Path(),),
                read_only=(_SETTINGS,),
                programs=(given.program, *_LIBRARIES),
                any_tcp=True,
            ),
            user=given.user,
            memory_bytes=MEMORY_BYTES,
        )
