"""The README's first key in a minute: typed with the client, and pasted with curl."""

import re
import shlex
import subprocess
from pathlib import Path

from tests.support.server import running_server
from tests.support.terminal import Terminal

README = Path(__file__).parents[2] / "README.md"


def test_the_first_key_in_a_minute_works_as_pasted(tmp_path: Path) -> None:
    block = re.search(r"```sh\n(api=.*?)```", README.read_text(), re.DOTALL)
    assert block is not None
    with running_server(tmp_path) as server:
        lines = block[1].replace("https://localhost:8443", server.url)
        ran = subprocess.run(
            ["/bin/bash", "-euo", "pipefail"],
            input=lines,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.stdout.splitlines()[-1] == '{"id":"first"}Verified OK', ran


ADMIN = ("Passphrase of admin:", "my admin phrase")
SIGNER = ("Passphrase of signer:", "my signer phrase")


def test_the_first_key_works_as_a_person_types_it(tmp_path: Path) -> None:
    block = re.search(r"```sh\n(export PATH.*?)```", README.read_text(), re.DOTALL)
    assert block is not None
    (tmp_path / "message").write_text("hello")
    with running_server(tmp_path) as server:
        dialogues = {
            "provision": [
                ("yes/no/fingerprint", f"sha256:{server.fingerprint}"),
                ("New unlock passphrase:", "my unlock phrase"),
                ("again:", "my unlock phrase"),
                ("user admin:", ADMIN[1]),
                ("again:", ADMIN[1]),
            ],
            "users add": [ADMIN, ("new user:", SIGNER[1]), ("again:", SIGNER[1])],
            "keys generate": [ADMIN],
            "keys sign": [SIGNER],
            "keys verify": [SIGNER],
        }
        home = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
        where = {"KEYSTEAD_HOST": f"{server.host}:{server.port}"}
        terminal = Terminal(tmp_path, home | where)
        typed = re.findall(r"^keystead (.*)$", block[1], re.MULTILINE)
        assert len(typed) == len(dialogues)
        for line, (beginning, dialogue) in zip(typed, dialogues.items(), strict=True):
            assert line.startswith(beginning)
            shown = terminal.run(shlex.split(line), *dialogue)
    assert shown.splitlines()[-1] == "valid"
