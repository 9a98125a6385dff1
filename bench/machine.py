"""Where and with what a run was made."""

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.backends.openssl import backend

_PACKAGES = ("btclib_libsecp256k1", "cryptography", "msgspec", "uvloop")


def describe() -> dict[str, object]:
    """Return the machine, the versions and the commit."""
    return {
        "commit": _said("git", "describe", "--always", "--dirty", "--abbrev=12"),
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "load_before": round(os.getloadavg()[0], 2),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": backend.openssl_version_text(),
        **{name: version(name) for name in ("keystead", *_PACKAGES)},
        "wrk": _said("wrk", "-v").partition(" [")[0].removeprefix("wrk "),
        "softhsm2": _said("softhsm2-util", "--version"),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()


def _said(*command: str) -> str:
    """Return what a program prints, empty when there is none of that name."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
