"""Records what a person sees in a terminal: recordings.py DIRECTORY. A real server answers."""

import re
import shlex
import sys
import tempfile
from io import StringIO
from pathlib import Path
from typing import Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from tests.support.server import Server, running_server
from tests.support.terminal import Terminal

COLUMNS: Final = 96
# Rich's own picture would fetch its font from outside.
FORMAT: Final = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)

ADMIN: Final = ("Passphrase of admin:", "my admin phrase")
SIGNER: Final = ("Passphrase of signer:", "my signer phrase")


def first_key(server: Server) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the commands of the first minute, and the answers to what each asks."""
    unlock = [("New unlock passphrase:", "my unlock phrase"), ("again:", "my unlock phrase")]
    trust = [("yes/no/fingerprint", f"sha256:{server.fingerprint}")]
    new_signer = [("new user:", SIGNER[1]), ("again:", SIGNER[1])]
    return [
        ("provision", [*trust, *unlock, ("user admin:", ADMIN[1]), ("again:", ADMIN[1])]),
        ("users add signer --role Operator --user admin", [ADMIN, *new_signer]),
        ("keys generate first --type EC_P256 --user admin", [ADMIN]),
        ("keys sign first message -o message.sig --user signer", [SIGNER]),
        ("keys verify first message.sig message --user signer", [SIGNER]),
    ]


def keys(_server: Server) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return commands that make keys and show them."""
    return [
        ("keys generate web --type RSA --length 2048 --label tls --user admin", [ADMIN]),
        ("keys generate zone --type EC_P256 --tag dns --count 2 --user admin", [ADMIN]),
        ("keys list --long --user admin", [ADMIN]),
        ("keys show web --user admin", [ADMIN]),
    ]


def _record(title: str, shown: str) -> str:
    console = Console(file=StringIO(), record=True, width=COLUMNS, force_terminal=True)
    # A progress bar is drawn again and again on its line; its end is what is seen.
    lines = [line.rpartition("\r")[2] for line in shown.replace("\r\n", "\n").split("\n")]
    console.print(Text.from_ansi("\n".join(lines).rstrip()))
    return console.export_svg(title=title, code_format=FORMAT, unique_id=title.replace(" ", "-"))


def main(directory: Path) -> None:
    """Write a picture for each recording."""
    with tempfile.TemporaryDirectory() as name, running_server(Path(name)) as server:
        folder = Path(name)
        (folder / "message").write_text("hello")
        where = {"KEYSTEAD_HOST": f"{server.host}:{server.port}", "COLUMNS": str(COLUMNS)}
        terminal = Terminal(folder, {**where, "XDG_CONFIG_HOME": str(folder / "config")})
        for recording in (first_key, keys):
            shown = ""
            for line, dialogue in recording(server):
                shown += f"$ keystead {line}\n" + terminal.run(shlex.split(line), *dialogue)
            shown = shown.replace(f"{server.host}:{server.port}", "localhost:8443")
            title = recording.__name__.replace("_", " ")
            file = directory / f"terminal-{title.replace(' ', '-')}.svg"
            file.write_text(_record(title, shown))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
