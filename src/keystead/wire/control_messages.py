"""What the supervisor and the other processes say to each other, over `wire/control`."""

from typing import Annotated, Literal

import msgspec

from keystead.wire.message import Message


class AttachEdge(Message, tag=20, frozen=True):
    """supervisor → core: a socket to a new edge comes with this message (SCM_RIGHTS)."""

    edge: int


class Noted(Message, tag=21, frozen=True):
    """supervisor → core: the requested action will be done, even after a crash."""


class Started(Message, tag=22, frozen=True):
    """core → supervisor: ready to answer, in this state, with this TLS certificate (SHA-256)."""

    state: str
    tls_fingerprint: str


class Wanted(Message, tag=23, frozen=True):
    """core → supervisor: an action that an Administrator asked for. The reply is Noted."""

    action: Literal["reboot", "shutdown", "factory-reset"]


class CannotStart(Message, tag=24, frozen=True):
    """To the supervisor: the process cannot start on this data or machine. Do not try again."""

    reason: str


class EdgeReady(Message, tag=25, frozen=True):
    """edge → supervisor: connections are accepted. What protects this process, and what does not.

    The edge has no log of its own, so it sends this here.
    """

    in_force: list[str]
    missing: list[str]
    max_connections: int
    """The most connections of the edge. The limit on open files may lower it."""


class Ping(Message, tag=26, frozen=True):
    """supervisor → core: a Pong is expected."""


class Pong(Message, tag=27, frozen=True):
    """core → supervisor: the core's event loop runs."""


class MachineSetting(Message, tag=28, frozen=True):
    """core → supervisor: what process 1 of the appliance has to apply. It fits in one line."""

    name: Literal["NETWORK", "NETWORK_TRIAL", "TIME_SERVER", "DEVICE_KEY"]
    value: Annotated[str, msgspec.Meta(max_length=1024, pattern=r"^[ -~]*\Z")]


class KeyWaits(Message, tag=51, frozen=True):
    """platform → supervisor: the device key is to be sealed once the image is confirmed.

    That is done at the start after the confirmation.
    """


class ServePeers(Message, tag=47, frozen=True):
    """core → supervisor: etcd can start; its TLS identity is in the anonymous files.

    `authority` is a digest of the cluster CA. If it is empty there is none, and etcd has no peers.
    """

    authority: str


class RemovedFromCluster(Message, tag=50, frozen=True):
    """supervisor → core: other members have removed this HSM; its etcd runs no more."""


class Peer(Message, frozen=True):
    """A member of the cluster, as another has to know it."""

    name: str
    urls: list[str]


class BeginJoin(Message, tag=48, frozen=True):
    """core → supervisor: start an etcd that joins the cluster of `peers`. The reply is Noted."""

    name: str
    peers: list[Peer]
    authority: str
    """A digest of the cluster CA, as in ServePeers."""


class EndJoin(Message, tag=49, frozen=True):
    """core → supervisor: the etcd is a full member, or it is to be given up. The reply is Noted.

    If it is a member, a new instance follows.
    """

    is_member: bool


SupervisorToCore = AttachEdge | Noted | Ping | RemovedFromCluster
CoreToSupervisor = (
    Started | Wanted | CannotStart | Pong | MachineSetting | ServePeers | BeginJoin | EndJoin
)
PlatformToSupervisor = KeyWaits | CannotStart
EdgeToSupervisor = EdgeReady | CannotStart
