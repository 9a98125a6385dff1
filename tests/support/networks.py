"""A network of some hosts on this machine, whose links can be cut in one direction.

Each host is a network namespace, which only root can make. All are connected by one switch, in a
namespace too, and are gone when their processes end. Nothing outside of them can be reached.
"""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_WAIT_SECONDS = 60
_NOBODY = "02:00:00:00:00:ff"
"""A hardware address that no host has: what is sent there is lost without a word."""


def _address(host: int) -> str:
    return f"192.0.2.{host + 1}"


def _hardware(host: int) -> str:
    return f"02:00:00:00:00:{host:02x}"


class Network:
    """Hosts by their number, from 0. `command` runs a program on one of them."""

    def __init__(self, holders: list["subprocess.Popen[bytes]"]) -> None:
        self._switch, *self._hosts = holders
        links = [f"link add br0 type bridge {_WITHOUT_DELAY}", "link set br0 up"]
        for host, holder in enumerate(self._hosts):
            there = f"name eth0 address {_hardware(host)} netns {holder.pid}"
            links += [
                f"link add p{host} type veth peer {there}",
                f"link set p{host} master br0",
                f"link set p{host} up",
            ]
        self._ip(self._switch, links)
        for host, holder in enumerate(self._hosts):
            addresses = [f"addr add {_address(host)}/24 dev eth0", "link set eth0 up"]
            others = [n for n in range(len(self._hosts)) if n != host]
            self._ip(holder, ["link set lo up", *addresses, *map(_way_to, others)])

    def address(self, host: int) -> str:
        return _address(host)

    def command(self, host: int) -> tuple[str, ...]:
        return ("nsenter", f"--net=/proc/{self._hosts[host].pid}/ns/net")

    def cut(self, sender: int, receiver: int) -> None:
        """Lose all that one host sends to the other."""
        self._ip(self._hosts[sender], [_way_to(receiver, _NOBODY)])

    def heal(self, sender: int, receiver: int) -> None:
        self._ip(self._hosts[sender], [_way_to(receiver)])

    @staticmethod
    def _ip(holder: "subprocess.Popen[bytes]", commands: list[str]) -> None:
        subprocess.run(  # noqa: S603 - fixed commands
            ["nsenter", f"--net=/proc/{holder.pid}/ns/net", "ip", "-batch", "-"],  # noqa: S607
            input="\n".join(commands).encode(),
            check=True,
        )


_HOLDER = ("unshare", "--net", "setpriv", "--pdeathsig", "KILL", "sleep", "infinity")
_WITHOUT_DELAY = "stp_state 0 forward_delay 0"


def _way_to(host: int, hardware: str | None = None) -> str:
    wanted = hardware or _hardware(host)
    return f"neigh replace {_address(host)} lladdr {wanted} dev eth0 nud permanent"


@contextlib.contextmanager
def network_or_none(hosts: int) -> Iterator[Network | None]:
    """Make a network for as long as this lasts, or give None where none can be made."""
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:  # noqa: S607 - a fixed command
        yield None
        return
    with contextlib.ExitStack() as stack:
        holders = []
        for _ in range(hosts + 1):
            holder = subprocess.Popen(_HOLDER)  # noqa: S603 - a fixed command
            stack.callback(holder.wait)
            stack.callback(holder.kill)
            holders.append(holder)
        for holder in holders:
            _await_namespace(holder.pid)
        yield Network(holders)


def _await_namespace(pid: int) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    own = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{pid}/ns/net").readlink() == own:
        assert time.monotonic() < end
        time.sleep(0.01)
