"""The anonymous files in which the core hands the TLS identity for peers to etcd.

They outlive the core, so that etcd need not be started again with it. The supervisor never reads
them.
"""

import os
from typing import NamedTuple


class Descriptor(NamedTuple):
    """A descriptor that a child process inherits."""

    number: int

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.number


class SharedFile(NamedTuple):
    """One file in memory: one process writes it, and the other can only read it."""

    writing: Descriptor
    reading: Descriptor


class SharedFiles(NamedTuple):
    """The TLS identity, and the certificate of the authority for other members."""

    identity: SharedFile
    authority: SharedFile

    def for_core(self) -> list[tuple[str, Descriptor]]:
        """Return the files as the core inherits them."""
        return [
            ("peer-identity", self.identity.writing),
            ("peer-authority", self.authority.writing),
        ]

    def for_etcd(self) -> list[tuple[str, Descriptor]]:
        """Return the files as etcd inherits them."""
        return [
            ("peer-identity", self.identity.reading),
            ("peer-authority", self.authority.reading),
        ]


def make_shared_files() -> SharedFiles:
    """Return new, empty files. They exist as long as a process has them."""
    return SharedFiles(_made("peer identity"), _made("peer authority"))


def _made(name: str) -> SharedFile:
    writing = os.memfd_create(name, os.MFD_CLOEXEC)
    # etcd opens it once more, as a user of its own.
    os.fchmod(writing, 0o644)
    reading = os.open(f"/proc/self/fd/{writing}", os.O_RDONLY | os.O_CLOEXEC)
    return SharedFile(Descriptor(writing), Descriptor(reading))
