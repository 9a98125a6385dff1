"""What the supervisor and the other processes say to each other, over `wire/control`."""

from typing import Annotated, Literal

import msgspec

from keystead.wire.messages import Message


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

    name: Literal["NETWORK", "NETWORK_TRIAL", "TIME_SERVER"]
    value: Annotated[str, msgspec.Meta(max_length=1024, pattern=r"^[ -~]*\Z")]


SupervisorToCore = AttachEdge | Noted | Ping
CoreToSupervisor = Started | Wanted | CannotStart | Pong | MachineSetting
PlatformToSupervisor = CannotStart
EdgeToSupervisor = EdgeReady | CannotStart
