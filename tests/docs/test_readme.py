"""The README's first key in a minute, pasted as it stands."""

import re
import subprocess
from pathlib import Path

from tests.support.server import running_server

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
