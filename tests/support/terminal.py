"""A pseudo-terminal in which `keystead` runs as a person has it, questions and answers included."""

import os
import pty
import select
import signal
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
        self._pid = self._descriptor = 0
        self.seen = ""

    def run(self, arguments: Sequence[str], *dialogue: tuple[str, str]) -> str:
        """Run `keystead`, answer each question in turn, and return all that was shown.

        `dialogue` is pairs of what is waited for and what is then typed.
        """
        self.seen = ""
        self._pid, self._descriptor = pty.fork()
        if not self._pid:
            os.chdir(self._directory)
            command = [sys.executable, "-m", "keystead", *arguments]
            os.execve(sys.executable, command, self._environment)  # noqa: S606
        for question, answer in dialogue:
            self._wait_for(question)
            os.write(self._descriptor, f"{answer}\n".encode())
        self._wait_for(None)
        _, ended = os.waitpid(self._pid, 0)
        os.close(self._descriptor)
        assert os.waitstatus_to_exitcode(ended) == 0, self.seen
        return self.seen

    def _wait_for(self, text: str | None) -> None:
        """Read until `text` is shown after what was seen before, or to the end."""
        begin, give_up = len(self.seen), time.monotonic() + PATIENCE_SECONDS
        while text is None or text not in self.seen[begin:]:
            assert time.monotonic() < give_up, self._stop(f"{text} did not come")
            if not select.select([self._descriptor], [], [], 0.1)[0]:
                continue
            try:
                read = os.read(self._descriptor, 4096).decode(errors="replace")
            except OSError:  # The other end is closed.
                read = ""
            if not read:
                assert text is None, self._stop(f"{text} did not come")
                return
            self.seen += read

    def _stop(self, reason: str) -> str:
        os.kill(self._pid, signal.SIGKILL)
        return f"{reason}:\n{self.seen}"
