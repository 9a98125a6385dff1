"""A pseudo-terminal in which `keystead` runs as a person has it, questions and answers included."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE_SECONDS = 60


class Terminal:
    """A pseudo-terminal in which commands run, one after the other."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = {**os.environ, "TERM": "xterm", **environment}
        self._descriptor = -1
        self.seen = ""

    def run(self, arguments: Sequence[str], *dialogue: tuple[str, str]) -> str:
        """Run `keystead`, answer each question in turn, and return all that was shown.

        `dialogue` is pairs of what is waited for and what is then typed.
        """
        self.seen = ""
        self._descriptor, inside = pty.openpty()
        # Not pty.fork: other threads of the tests may hold locks at that moment.
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "keystead", *arguments],
            cwd=self._directory,
            env=self._environment,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
        )
        os.close(inside)
        try:
            for question, answer in dialogue:
                self._wait_for(question)
                os.write(self._descriptor, f"{answer}\n".encode())
            self._wait_for(None)
            status = process.wait(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()  # It has ended already, unless something was waited for in vain.
            process.wait()
            os.close(self._descriptor)
        assert status == 0, self.seen
        return self.seen

    def _wait_for(self, text: str | None) -> None:
        """Read until `text` is shown after what was seen before, or to the end."""
        begin, give_up = len(self.seen), time.monotonic() + PATIENCE_SECONDS
        while text is None or text not in self.seen[begin:]:
            assert time.monotonic() < give_up, f"{text} did not come:\n{self.seen}"
            if not select.select([self._descriptor], [], [], 0.1)[0]:
                continue
            try:
                read = os.read(self._descriptor, 4096).decode(errors="replace")
            except OSError:  # The other end is closed.
                read = ""
            if not read:
                assert text is None, f"{text} did not come:\n{self.seen}"
                return
            self.seen += read
