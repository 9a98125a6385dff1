"""The etcd member of this HSM: where its files are, and the command line that it runs with.

    etcd/member.json    how this member began: written once, by the formation of a cluster or a join
    etcd/client.sock    the socket for the platform
    etcd/peer.sock      stands for the peers as long as there are none
    etcd/data/          etcd's own

The directory `etcd` is what says that the shared records are in etcd.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from keystead.errors import StartRefused

MAX_OPERATIONS: Final = 512
"""The most operations of a transaction. All members must have the same."""
QUOTA_BYTES: Final = 8 * 2**30
"""What the database may grow to. From there on etcd refuses to write, and raises an alarm."""
_HISTORY: Final = "1h"
"""How long etcd keeps old revisions. A backup reads at one revision, and must be done by then."""

_RECORD: Final = "member.json"
_SOCKET: Final = "client.sock"
_MAX_RECORD_BYTES: Final = 64 * 1024


class Peer(msgspec.Struct, frozen=True):
    """A member as a new one has to know it: its name and its URLs."""

    name: str
    urls: list[str]


class PeerFiles(NamedTuple):
    """Descriptors of files in memory: the TLS identity for other members, and their authority."""

    identity: int
    authority: int


class MemberRecord(msgspec.Struct, frozen=True):
    """How a member began. etcd reads the peers only until it has data."""

    name: str
    peers: list[Peer]
    state: Literal["new", "existing"] = "new"
    token: str = ""


class MemberDirectory:
    """The directory of the member in a data directory, whether it exists or not."""

    def __init__(self, path: Path) -> None:
        """`path` is the directory `etcd` in a data directory."""
        self.path: Final = path
        self.socket: Final = path / _SOCKET

    @property
    def exists(self) -> bool:
        """Whether this HSM is a member."""
        return (self.path / _RECORD).exists()

    def record(self) -> MemberRecord:
        """Return how the member began. Raises StartRefused if that cannot be read."""
        try:
            with (self.path / _RECORD).open("rb") as file:
                return msgspec.json.decode(file.read(_MAX_RECORD_BYTES), type=MemberRecord)
        except OSError as error:
            raise StartRefused(f"{self.path / _RECORD}: {error.strerror}.") from error
        except msgspec.MsgspecError as error:
            raise StartRefused(f"{self.path / _RECORD} is damaged: {error}.") from error

    def begin(self, record: MemberRecord) -> None:
        """Make the directory of a new member. Raises OSError, also if it exists."""
        self.path.mkdir(mode=0o700)
        (self.path / _RECORD).write_bytes(msgspec.json.encode(record))


def arguments(record: MemberRecord, files: PeerFiles | None) -> Iterator[str]:
    """Yield etcd's options. It has to start in the member's directory.

    Without files it can have no peers.
    """
    (own,) = (peer for peer in record.peers if peer.name == record.name)
    yield f"--name={record.name}"
    # etcd would make a relative path absolute, and its user cannot reach that.
    yield "--data-dir=/proc/self/cwd/data"
    yield f"--listen-client-urls=unix://{_SOCKET}"
    yield "--advertise-client-urls="
    if files is None:
        yield "--listen-peer-urls=unix://peer.sock"
    else:
        yield f"--listen-peer-urls={','.join(map(_listening, own.urls))}"
        yield f"--peer-cert-file=/proc/self/fd/{files.identity}"
        yield f"--peer-key-file=/proc/self/fd/{files.identity}"
        yield f"--peer-trusted-ca-file=/proc/self/fd/{files.authority}"
        yield "--peer-client-cert-auth"
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
    host, _, port = url.removeprefix("https://").rpartition(":")
    try:
        _ = ip_address(host.strip("[]"))
    except ValueError:
        return f"https://[::]:{port}"
    return url
