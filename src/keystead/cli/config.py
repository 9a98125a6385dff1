"""`keystead config`: show, and a command for each setting."""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from keystead.cli import passphrases
from keystead.cli.command import Commands, Invocation, add_yes
from keystead.cli.exit_status import UsageError
from keystead.cli.lifecycle import add_shares, now, show_shares

_NONE = "none"
_SHOWN = {
    "unattended-boot": "unattendedBoot",
    "time": "time",
    "network": "network",
    "logging": "logging",
    "ntp": "ntp",
}
"""The settings that can be read, and what `show --json` calls them."""


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead config`."""
    commands = Commands(parser)
    commands.add("show", _show, "show all settings that can be read")
    for kind, summary in (
        ("unlock", "change the passphrase that opens the HSM"),
        ("backup", "set the passphrase that opens backups made from now on"),
    ):
        changing = commands.add(f"{kind}-passphrase", _set_passphrase(kind), summary)
        passphrases.add_options(changing, "current")
        passphrases.add_options(changing, "new")
        if kind == "unlock":
            add_shares(changing)
            changing.add_argument(
                "--current-shares",
                type=Path,
                metavar="FILE",
                help="enough of the present shares, one a line, instead of a passphrase",
            )
    booting = commands.add("unattended-boot", _boot, "have the HSM open itself at a start, or not")
    booting.add_argument("status", choices=("on", "off"))
    add_yes(booting)
    setting_time = commands.add("time", _time, "set the HSM's time")
    setting_time.add_argument("time", nargs="?", metavar="RFC3339", help="(default: now)")
    _add_network(commands)
    _add_logging(commands)
    serving = commands.add("ntp", _ntp, "keep time servers")
    serving.add_argument("--ntp-ip", metavar="ADDRESS", help="of an NTP server")
    serving.add_argument("--nts-name", metavar="NAME", help="of an NTS server")


def _add_network(commands: Commands) -> None:
    parser = commands.add("network", _network, "set the network of an appliance")
    for option in ("ip-address", "netmask", "gateway"):
        parser.add_argument(f"--{option}", metavar="ADDRESS")
    parser.add_argument("--ipv6", metavar="ADDRESS/LENGTH", help=f"or {_NONE}")
    parser.add_argument("--ipv6-gateway", metavar="ADDRESS", help="with --ipv6")
    parser.add_argument("--vlan", type=_number_or_none, metavar="N", help=f"or {_NONE}")


def _number_or_none(text: str) -> int | str:
    """Return the number in `text`, or `text` if it says that there is none."""
    return text if text == _NONE else int(text)


def _add_logging(commands: Commands) -> None:
    parser = commands.add("logging", _logging, "say where log events go")
    parser.add_argument("--ip-address", metavar="ADDRESS")
    parser.add_argument("--port", type=int, metavar="N")
    parser.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")


def _show(call: Invocation) -> None:
    found = {name: call.client.get(f"/config/{path}") for path, name in _SHOWN.items()}
    for name in ("unattendedBoot", "time"):
        (found[name],) = found[name].values()
    call.screen.record(found)


def _set_passphrase(kind: str) -> Callable[[Invocation], None]:
    def run(call: Invocation) -> None:
        hsm = call.client
        answer = hsm.put(f"/config/{kind}-passphrase", _present(call, kind) | _new(call, kind))
        call.screen.done(f"The {kind} passphrase is changed.")
        if answer is not None:
            show_shares(call, answer)

    return run


def _present(call: Invocation, kind: str) -> dict[str, object]:
    """Return what shows that the present passphrase is known: it, or enough of its shares."""
    shares: Path | None = getattr(call.given, "current_shares", None)
    if shares is not None:
        return {"currentShares": shares.read_text().splitlines()}
    question = f"Present {kind} passphrase (empty if there is none yet)"
    return {"currentPassphrase": passphrases.present(call.given, "current", question)}


def _new(call: Invocation, kind: str) -> dict[str, object]:
    """Return the new passphrase, or how many shares are to be made."""
    quorum: dict[str, int] | None = getattr(call.given, "shares", None)
    if quorum is not None:
        return {"unlockShares": quorum}
    return {"newPassphrase": passphrases.new(call.given, "new", f"New {kind} passphrase")}


def _boot(call: Invocation) -> None:
    status = call.given.status
    warning = "Whoever has the machine's disk can start the HSM then. Turn unattended boot on?"
    if status != "off":
        call.require_consent(warning)
    call.client.put("/config/unattended-boot", {"status": status})
    call.screen.done(f"Unattended boot is {status}.")


def _time(call: Invocation) -> None:
    call.client.put("/config/time", {"time": call.given.time or now()})
    call.screen.done("The time is set.")


def _network(call: Invocation) -> None:
    given = call.given
    if given.ipv6_gateway and not given.ipv6:
        raise UsageError("--ipv6-gateway needs --ipv6.")
    changes = _given(
        ipAddress=given.ip_address,
        netmask=given.netmask,
        gateway=given.gateway,
        ipv6=given.ipv6 and {"cidr": given.ipv6, "gateway": given.ipv6_gateway},
        vlan=given.vlan,
    )
    off = dict.fromkeys(name for name in ("ipv6", "vlan") if getattr(given, name) == _NONE)
    _change(call, "/config/network", changes | off)


def _logging(call: Invocation) -> None:
    given = call.given
    changes = _given(ipAddress=given.ip_address, port=given.port, logLevel=given.log_level)
    _change(call, "/config/logging", changes)


def _ntp(call: Invocation) -> None:
    _change(call, "/config/ntp", _given(ntpIP=call.given.ntp_ip, ntsName=call.given.nts_name))


def _given(**fields: object) -> dict[str, object]:
    """Return the fields for which there was an option."""
    return {name: value for name, value in fields.items() if value is not None}


def _change(call: Invocation, path: str, changes: dict[str, object]) -> None:
    """Change these fields, if there are any, and show all. None turns a field off."""
    if changes:
        call.client.put(path, {**call.client.get(path), **changes})
    call.screen.record(call.client.get(path))
