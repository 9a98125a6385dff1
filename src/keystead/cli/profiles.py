"""`keystead profile`: add, list, default, remove, forget. They ask no HSM."""

from argparse import ArgumentParser
from pathlib import Path

from keystead.cli import connection
from keystead.cli.command import Commands, Invocation
from keystead.cli.exit_status import UsageError
from keystead.cli.settings import Profile, Settings, settings_file
from keystead.client.trust import parse_address, parse_pin


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead profile`."""
    commands = Commands(parser)
    adding = commands.add("add", _add, "keep an HSM's address, user and trust under a name")
    adding.add_argument("name")
    adding.add_argument("--default", action="store_true", help="use it when none is named")
    commands.add("list", _list, "list the profiles")
    for name, run, summary in (
        ("default", _default, "use a profile when none is named"),
        ("remove", _remove, "remove a profile"),
    ):
        commands.add(name, run, summary).add_argument("name")
    forgetting = commands.add("forget", _forget, "forget a certificate that was trusted")
    forgetting.add_argument("address", metavar="HOST:PORT")


def _add(call: Invocation) -> None:
    given = call.given
    if not given.host:
        raise UsageError("Where is it? Give --host HOST:PORT.")
    for one in given.host.split(","):
        parse_address(one.strip())
    profile = Profile(
        host=given.host,
        user=given.user or "",
        ca=str(Path(given.ca).absolute()) if given.ca else "",
        pin=f"sha256:{parse_pin(given.pin).sha256}" if given.pin else "",
        insecure=given.insecure,
        keyring=given.keyring,
    )
    settings = Settings.read(settings_file())
    settings.profiles[given.name] = profile
    if given.default or not settings.default:
        settings.default = given.name
    settings.write(settings_file())
    call.screen.done(f"The profile {given.name} is in {settings_file()}.")


def _list(call: Invocation) -> None:
    settings = Settings.read(settings_file())
    rows = [
        {"name": name, "default": name == settings.default, **profile.chosen()}
        for name, profile in settings.profiles.items()
    ]
    columns = {"name": "Name", "host": "Host", "user": "User", "default": "Default"}
    call.screen.rows(rows, columns)


def _default(call: Invocation) -> None:
    settings = Settings.read(settings_file())
    _require(settings, call.given.name)
    settings.default = call.given.name
    settings.write(settings_file())
    call.screen.done(f"The profile {call.given.name} is used when none is named.")


def _remove(call: Invocation) -> None:
    settings = Settings.read(settings_file())
    _require(settings, call.given.name)
    del settings.profiles[call.given.name]
    if settings.default == call.given.name:
        settings.default = ""
    settings.write(settings_file())
    call.screen.done(f"The profile {call.given.name} is removed.")


def _forget(call: Invocation) -> None:
    (name,) = connection.address_names([parse_address(call.given.address)])
    settings = Settings.read(settings_file())
    if settings.pins.pop(name, None) is None:
        raise UsageError(
            f"No certificate of {name} was trusted at a terminal. The pin of a profile is replaced "
            "with 'keystead profile add NAME --host HOST:PORT --pin sha256:HEX'."
        )
    settings.write(settings_file())
    call.screen.done(f"The certificate of {name} is forgotten.")


def _require(settings: Settings, name: str) -> None:
    if name not in settings.profiles:
        raise UsageError(f"There is no profile {name}: 'keystead profile list' shows them.")
