"""The server, user and trusted certificate of a command: by option, environment or profile."""

import os
import ssl
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from keystead.cli import passphrases
from keystead.cli.exit_status import CertificateDeclined, UsageError
from keystead.cli.screen import say
from keystead.cli.settings import Profile, Settings, settings_file
from keystead.client.client import DEFAULT_TIMEOUT_SECONDS, Client, Credentials
from keystead.client.trust import (
    Anyone,
    Endpoint,
    Pinned,
    SignedBy,
    Trust,
    parse_address,
    parse_pin,
    presented_pin,
)

DEFAULT_HOST: Final = "localhost:8443"
MOST_SECONDS: Final = 86400.0


def add_options(parser: ArgumentParser) -> None:
    """Give `parser` the options for the server, the user and the trusted certificate."""
    group = parser.add_argument_group("connection")
    group.add_argument("--host", metavar="HOST:PORT[,…]", help="the HSM, or several of a cluster")
    group.add_argument("--user", metavar="NAME", help="the user of the HSM")
    group.add_argument("--profile", metavar="NAME", help="a profile, see 'keystead profile'")
    trust = group.add_mutually_exclusive_group()
    trust.add_argument("--ca", metavar="FILE", help="the authority of its certificate (PEM)")
    trust.add_argument("--pin", metavar="sha256:HEX", help="the fingerprint of its certificate")
    trust.add_argument(
        "--insecure", action="store_true", help="take any certificate: an attacker can read all"
    )
    group.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="for each answer (default: %(default)g)",
    )
    group.add_argument(
        "--keyring", action="store_true", help="take the passphrase from the desktop keyring"
    )
    passphrases.add_options(parser)


def _seconds(text: str) -> float:
    """Return a number of seconds; argparse names the option if this raises ValueError."""
    seconds = float(text)
    if not 0 < seconds <= MOST_SECONDS:
        raise ValueError
    return seconds


@dataclass(frozen=True, slots=True)
class Target:
    """Which HSM a command is for, as which user, and what it trusts there."""

    given: Namespace
    profile: Profile
    addresses: tuple[tuple[str, int], ...]

    def client(self, *, is_anonymous: bool, connections: int) -> Client:
        """Return a client. Raises UsageError if user, passphrase or trust are missing."""
        endpoints = [
            Endpoint(*one, _trust(self.given, self.profile, one)) for one in self.addresses
        ]
        credentials = None if is_anonymous else self._credentials()
        return Client(
            endpoints,
            credentials,
            timeout_seconds=self.given.timeout,
            connections=connections,
        )

    def user(self) -> str:
        """Return the user's name. Raises UsageError if nothing says it."""
        given = self.given
        own = self.profile.user
        name = (
            given.user or (own if given.profile else "") or os.environ.get("KEYSTEAD_USER") or own
        )
        if not name:
            raise UsageError("As which user? Give --user NAME, KEYSTEAD_USER or a profile.")
        return str(name)

    def _credentials(self) -> Credentials:
        user = self.user()
        found = None
        if self.given.keyring or self.profile.keyring:
            found = passphrases.from_keyring(user, _name(*self.addresses[0]))
        if found is None:
            found = passphrases.present(self.given, "", f"Passphrase of {user}")
        return Credentials(user, found)


def resolve(given: Namespace) -> Target:
    """Return where a command goes. Raises UsageError for a profile that is not there."""
    settings = Settings.read(settings_file())
    profile = _profile(given, settings)
    own = profile.host
    host = given.host or (own if given.profile else "") or os.environ.get("KEYSTEAD_HOST") or own
    addresses = tuple(parse_address(one.strip()) for one in (host or DEFAULT_HOST).split(","))
    return Target(given, profile, addresses)


def _profile(given: Namespace, settings: Settings) -> Profile:
    name = given.profile
    if not name and not given.host and not os.environ.get("KEYSTEAD_HOST"):
        name = os.environ.get("KEYSTEAD_PROFILE") or settings.default
    if not name:
        return Profile()
    try:
        return settings.profiles[name]
    except KeyError:
        raise UsageError(
            f"There is no profile {name}: 'keystead profile list' shows them."
        ) from None


def _trust(given: Namespace, profile: Profile, address: tuple[str, int]) -> Trust:
    if given.insecure or (profile.insecure and not (given.pin or given.ca)):
        say("INSECURE: any certificate is taken, an attacker can read all.", is_alarming=True)
        return Anyone()
    if given.pin or (profile.pin and not given.ca):
        return parse_pin(given.pin or profile.pin)
    if given.ca or profile.ca:
        return _signed_by(given.ca or profile.ca)
    name = _name(*address)
    kept = Settings.read(settings_file()).pins.get(name)
    return parse_pin(kept) if kept else _trust_on_first_use(*address, given.timeout)


def _signed_by(file: str) -> SignedBy:
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:  # ssl.SSLError is one.
        raise UsageError(f"{file} has no certificates: {error.strerror or error}.") from None
    return SignedBy(file)


def _trust_on_first_use(host: str, port: int, timeout_seconds: float) -> Pinned:
    """Show the certificate's fingerprint and ask; keep it if it is the right one."""
    name = _name(host, port)
    if not sys.stdin.isatty():
        raise UsageError(
            f"The certificate of {name} is not known: give --pin sha256:HEX or --ca FILE, "
            "or connect once at a terminal."
        )
    found = presented_pin(host, port, timeout_seconds=timeout_seconds)
    say(
        f"The HSM at {name} is not known yet. The SHA-256 fingerprint of its certificate is\n"
        f"  sha256:{found.sha256}\n"
        "Compare it with the tls-sha256 that the server prints when it starts."
    )
    if not _is_right(found):
        raise CertificateDeclined(f"The certificate of {name} was not trusted.")
    settings = Settings.read(settings_file())
    settings.pins[name] = f"sha256:{found.sha256}"
    settings.write(settings_file())
    return found


def _is_right(found: Pinned) -> bool:
    """Ask until the answer is yes, no or the fingerprint itself, as ssh does."""
    sys.stderr.write("Is it the right one (yes/no/fingerprint)? ")
    while True:
        sys.stderr.flush()
        line = sys.stdin.readline()
        answer = line.strip().lower()
        if answer == "yes" or answer.removeprefix("sha256:") == found.sha256:
            return True
        if answer == "no" or not line:
            return False
        sys.stderr.write("Please type 'yes', 'no' or the fingerprint: ")


def _name(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_names(addresses: Iterable[tuple[str, int]]) -> list[str]:
    """Return addresses as they are written, `HOST:PORT`."""
    return [_name(*one) for one in addresses]
