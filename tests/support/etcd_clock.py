"""An etcd whose wall clock tests set, while that of the machine and the monotonic one go on.

`python -m tests.support.etcd_clock` builds it once, which takes minutes. Go reads the clock without
the C library, so nothing can be loaded before etcd that would do it. The build has another
`time.Now`, which adds as many seconds as a file says.
"""

import json
import os
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.etcd import Cluster, programs

_VERSION = "3.6.16"
PROGRAM = programs(f"{_VERSION}-clock") / "etcd"
_SOURCES = Path(__file__).parents[2] / "scripts/etcd" / _VERSION
_FILE = "KEYSTEAD_CLOCK"
_SECONDS = struct.Struct("q")

needs_clock = pytest.mark.skipif(
    not PROGRAM.is_file(), reason="no etcd with a clock of its own: make etcd-builds makes it"
)

_NOW = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
_LATER = "\tsec += atomic.LoadInt64(seconds)\n"
_SECONDS_GO = f"""package time

import (
	"syscall"
	"unsafe"
)

var seconds = shared()

func shared() *int64 {{
	path, _ := syscall.Getenv("{_FILE}")
	file, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {{
		return new(int64)
	}}
	page, err := syscall.Mmap(file, 0, {_SECONDS.size}, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {{
		return new(int64)
	}}
	return (*int64)(unsafe.Pointer(&page[0]))
}}
"""


class Clock:
    """How far the clock of an etcd is ahead of the machine's."""

    def __init__(self, path):
        self._path = path
        self._path.write_bytes(_SECONDS.pack(0))
        self.environment = {**os.environ, _FILE: str(path)}

    def set(self, seconds):
        """Set it forward or back. etcd has the file in its memory, so it must not be cut."""
        with self._path.open("r+b") as file:
            file.write(_SECONDS.pack(int(seconds)))


class ClusterWithClocks(Cluster):
    """Members whose clocks can be set."""

    def _member(self, name, host, port):
        member = super()._member(name, host, port)
        member.program, member.clock = PROGRAM, Clock(self.directory / f"{name}.clock")
        return member


def _build():
    root = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True)  # noqa: S607
    there = Path(root.stdout.strip()) / "src/time"
    with tempfile.TemporaryDirectory() as made:
        here = Path(made)
        before = (there / "time.go").read_text()
        assert before.count(_NOW) == 1
        after = before.replace(_NOW, _NOW + _LATER)
        (here / "time.go").write_text(after.replace("import (\n", 'import (\n\t"sync/atomic"\n', 1))
        (here / "seconds.go").write_text(_SECONDS_GO)
        replaced = {str(there / one.name): str(one) for one in here.iterdir()}
        (here / "overlay.json").write_text(json.dumps({"Replace": replaced}))
        options = ["-mod=readonly", "-trimpath", f"-overlay={here / 'overlay.json'}"]
        command = ["go", "build", *options, f"-o={PROGRAM}", "go.etcd.io/etcd/server/v3"]
        subprocess.run(command, cwd=_SOURCES, env={**os.environ, "CGO_ENABLED": "0"}, check=True)  # noqa: S603


if __name__ == "__main__" and not PROGRAM.is_file():
    _build()
