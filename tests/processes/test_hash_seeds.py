"""Hash flooding: what a client names is hashed under a seed that it cannot know."""

import os
import subprocess
import sys
from pathlib import Path

from keystead.processes import launch
from tests.support.server import running_server


def test_a_fixed_seed_in_the_servers_environment_does_not_reach_its_processes(tmp_path):
    with running_server(tmp_path, environment={"PYTHONHASHSEED": "0"}) as server:
        for pid in server.children():
            assert Path(f"/proc/{pid}/environ").read_bytes() == b""


def test_processes_started_like_ours_hash_each_in_its_own_way(monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    started = []
    real = subprocess.Popen

    def probe(command, **options):
        """Start the same interpreter with the same options, on a line of its own."""
        module = command.index("-m")
        options = {**options, "stdout": subprocess.PIPE}
        process = real([*command[:module], "-c", "print(hash('a name'))"], **options)
        started.append(process)
        return process

    monkeypatch.setattr(subprocess, "Popen", probe)
    for _ in range(3):
        launch.start("edge", files=[("core", sys.__stderr__)], log=sys.__stderr__.fileno())
    hashes = {process.communicate()[0] for process in started}
    assert len(hashes) == 3
    assert os.environ["PYTHONHASHSEED"] == "0"
