"""The etcd member of this HSM: where its files are, and the command line that it runs with.

    etcd/member.json    how this member began: written once, by the formation of a cluster or a join
    etcd/client.sock    the socket for the platform
    etcd/peer.sock      stands for the peers as long as there are none
    etcd/metrics.sock   what etcd counts, as long as there are no peers
    etcd/data/          etcd's own, which member.json may name differently
    etcd/alone.json     what becomes member.json when a member goes on alone: see `lone_member`

The directory `etcd` is what says that the shared records are in etcd.
"""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from keystead.errors import StartRefused
from keystead.model.peer_urls import split_peer_url
from keystead.platform import durable

MAX_OPERATIONS: Final = 512
"""The most operations of a transaction. All members must have the same."""
QUOTA_BYTES: Final = 8 * 2**30
"""What the database may grow to. From there on etcd refuses to write, and raises an alarm."""
_HISTORY: Final = "1h"
"""How long etcd keeps old revisions. A backup reads at one revision, and must be done by then.

`processes/platform/old_revisions` has it forget them earlier if they take much space."""

_RECORD: Final = "member.json"
_ALONE: Final = "alone.json"
_DATA: Final = "data"
_NAME_OF_DATA: Final = re.compile(r"data(?:-[0-9a-f]{16})?", re.ASCII)
_SOCKET: Final = "client.sock"
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_RECORD_BYTES: Final = 64 * 1024
_CURRENT: Final = "/proc/self/cwd"
"""etcd would make a relative path absolute, and its user cannot reach that."""
_REVISIONS_AHEAD: Final = 10**9
"""What etcd's documentation advises."""


class InitialPeer(msgspec.Struct, frozen=True):
    """A member as a new one has to know it: its name and its URLs."""

    name: str
    urls: list[str]


class PeerFiles(NamedTuple):
    """Descriptors of files in memory: the TLS identity for other members, and their authority."""

    identity: int
    authority: int


class Places(NamedTuple):
    """The directory, the socket and the files of the TLS identity, for etcd's command line."""

    data: str
    socket: str
    certificate: str
    key: str
    authority: str


class MemberRecord(msgspec.Struct, frozen=True):
    """How a member began. etcd reads the peers only until it has data."""

    name: str
    peers: list[InitialPeer]
    state: Literal["new", "existing"] = "new"
    token: str = ""
    directory: str = _DATA
    """The name of the directory that etcd has for itself."""


def new_directory_name() -> str:
    """Return a name for a directory of etcd's own that no other has."""
    return f"{_DATA}-{secrets.token_hex(8)}"


class MemberDirectory:
    """The directory of the member in a data directory, whether it exists or not."""

    def __init__(self, path: Path, record: str = _RECORD) -> None:
        """`path` is the directory `etcd` in a data directory."""
        self.path: Final = path
        self.socket: Final = path / _SOCKET
        self.peer_socket: Final = path / "peer.sock"
        self.metrics_socket: Final = path / "metrics.sock"
        self.record_name: Final = record

    @property
    def exists(self) -> bool:
        """Whether this HSM is a member."""
        return (self.path / _RECORD).exists()

    def record(self) -> MemberRecord:
        """Return how the member began. Raises StartRefused if that cannot be read."""
        path = self.path / self.record_name
        try:
            with path.open("rb") as file:
                found = msgspec.json.decode(file.read(_MAX_RECORD_BYTES), type=MemberRecord)
        except OSError as error:
            raise StartRefused(f"{path}: {error.strerror}.") from error
        except msgspec.MsgspecError as error:
            raise StartRefused(f"{path} is damaged: {error}.") from error
        if _NAME_OF_DATA.fullmatch(found.directory) is None:
            raise StartRefused(f"{path} is damaged: it names other data than a member's.")
        return found

    def begin(self, record: MemberRecord) -> None:
        """Make the directory of a new member. Raises OSError, also if it exists."""
        self.path.mkdir(mode=0o700)
        (self.path / _RECORD).write_bytes(msgspec.json.encode(record))

    def prepare(self, record: MemberRecord) -> "MemberDirectory":
        """Write down another member, which begins when `bring_into_force` of the result is called.

        Raises OSError if the directory cannot be written.
        """
        with self._opened() as directory:
            descriptor = os.open(_ALONE, _FLAGS, 0o600, dir_fd=directory)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(record))
                file.flush()
                os.fsync(descriptor)
        return MemberDirectory(self.path, _ALONE)

    def bring_into_force(self) -> None:
        """Replace the member by the one that was prepared, in one step.

        Raises OSError if the directory cannot be written.
        """
        with self._opened() as directory:
            os.fsync(directory)
            os.rename(self.record_name, _RECORD, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)

    def remove_leftovers(self) -> None:
        """Remove all data but those of the member, and what was prepared and is not in force.

        Raises OSError if a part of them cannot be removed, and StartRefused if the member's record
        cannot be read.
        """
        present = self.record().directory
        with self._opened() as directory:
            for name in os.listdir(directory):  # noqa: PTH208 - pathlib lists no descriptor
                if _NAME_OF_DATA.fullmatch(name) and name != present:
                    durable.remove_all(name, dir_fd=directory)
            with suppress(FileNotFoundError):
                os.unlink(_ALONE, dir_fd=directory)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        # A captured platform could have put a link here to a directory of others.
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path, flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def snapshot_path(directory: MemberDirectory) -> str:
    """Return where the database of a member is, as its process sees it."""
    return f"{_CURRENT}/{directory.record().directory}/member/snap/db"


def restore_arguments(record: MemberRecord, snapshot: str) -> Iterator[str]:
    """Yield the options of etcdutl that make `record` a member with the records of `snapshot`.

    The revisions go on far above all that any member of the old cluster can have reached.
    """
    (own,) = record.peers
    yield from ("snapshot", "restore", snapshot)
    yield f"--data-dir={_CURRENT}/{record.directory}"
    yield f"--name={own.name}"
    yield f"--initial-cluster={','.join(f'{own.name}={url}' for url in own.urls)}"
    yield f"--initial-advertise-peer-urls={','.join(own.urls)}"
    yield f"--initial-cluster-token={record.token}"
    yield "--skip-hash-check"  # Only what the API of etcd gives out as a snapshot has one.
    yield f"--bump-revision={_REVISIONS_AHEAD}"
    yield "--mark-compacted"


def arguments(record: MemberRecord, files: PeerFiles | None) -> Iterator[str]:
    """Yield etcd's options. It has to start in the member's directory.

    Without files it can have no peers.
    """
    identity, authority = (f"/proc/self/fd/{one}" for one in files or ("", ""))
    places = Places(f"{_CURRENT}/{record.directory}", _SOCKET, identity, identity, authority)
    yield from options(record, places, has_peers=files is not None)


def options(record: MemberRecord, places: Places, *, has_peers: bool = True) -> Iterator[str]:
    """Yield the options of an etcd that is a member, or a witness."""
    (own,) = (peer for peer in record.peers if peer.name == record.name)
    yield f"--name={record.name}"
    yield f"--data-dir={places.data}"
    yield f"--listen-client-urls=unix://{places.socket}"
    yield "--advertise-client-urls="
    if has_peers:
        yield f"--listen-peer-urls={','.join(map(_listening, own.urls))}"
        yield f"--peer-cert-file={places.certificate}"
        yield f"--peer-key-file={places.key}"
        yield f"--peer-trusted-ca-file={places.authority}"
        yield "--peer-client-cert-auth"
    else:
        yield "--listen-peer-urls=unix://peer.sock"
        yield "--listen-metrics-urls=unix://metrics.sock"
    yield f"--initial-advertise-peer-urls={','.join(own.urls)}"
    named = [f"{peer.name}={url}" for peer in record.peers for url in peer.urls]
    yield f"--initial-cluster={','.join(named)}"
    yield f"--initial-cluster-state={record.state}"
    yield f"--initial-cluster-token={record.token}"
    yield f"--max-txn-ops={MAX_OPERATIONS}"
    yield f"--quota-backend-bytes={QUOTA_BYTES}"
    yield f"--auto-compaction-retention={_HISTORY}"
    yield "--enable-grpc-gateway=false"
    yield "--log-level=warn"


def _listening(url: str) -> str:
    """Return where etcd listens for the peers that reach it at `url`, which must be an address."""
    host, port = split_peer_url(url)
    try:
        _ = ip_address(host)
    except ValueError:
        return f"https://[::]:{port}"
    return url
