"""The client's own file: profiles, and the certificates that were trusted on first use."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self

from keystead.cli.exit_status import UsageError
from keystead.client.client import Json


@dataclass(frozen=True, slots=True)
class Profile:
    """The address of an HSM, the user, and the certificate to trust. An empty text is not set."""

    host: str = ""
    """One address or several, with commas."""
    user: str = ""
    ca: str = ""
    pin: str = ""
    insecure: bool = False
    keyring: bool = False

    def chosen(self) -> dict[str, Json]:
        """Return the settings that have a value."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(slots=True)
class Settings:
    """What is in the file."""

    default: str = ""
    """The profile that is used when none is named."""
    profiles: dict[str, Profile] = field(default_factory=dict)
    pins: dict[str, str] = field(default_factory=dict)
    """The pins of certificates, by `HOST:PORT`."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what the file says; all is empty if there is none.

        Raises UsageError if it cannot be read or has unknown settings.
        """
        try:
            found = tomllib.loads(path.read_text())
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read: {error}.") from None
        try:
            profiles = {name: _profile(one) for name, one in found.pop("profiles", {}).items()}
            return cls(profiles=profiles, **found)
        except (TypeError, AttributeError):
            raise UsageError(f"{path} has a setting that the client does not know.") from None

    def write(self, path: Path) -> None:
        """Replace the file; only its owner can read it."""
        import tomli_w

        content = {
            "default": self.default,
            "pins": self.pins,
            "profiles": {name: one.chosen() for name, one in self.profiles.items()},
        }
        text = tomli_w.dumps({name: value for name, value in content.items() if value})
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished.touch(mode=0o600)
            unfinished.write_text(text)
            unfinished.replace(path)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from None


def settings_file() -> Path:
    """Return where the file is: $XDG_CONFIG_HOME/keystead/config.toml.

    Raises UsageError if the user has no home and the variable is not set, as in a container.
    """
    try:
        root = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    except RuntimeError:
        raise UsageError("Set XDG_CONFIG_HOME: this user has no home directory.") from None
    return Path(root) / "keystead" / "config.toml"


def _profile(found: Mapping[str, Json]) -> Profile:
    """Return a profile of a file. Raises TypeError for a field that it does not have."""
    profile = Profile(**found)
    for one in fields(Profile):
        if type(getattr(profile, one.name)) is not type(one.default):
            raise TypeError(one.name)
    return profile
