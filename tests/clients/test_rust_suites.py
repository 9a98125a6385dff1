"""The test suites that Rust clients ship in their crates, unchanged."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.support.container import stop_all

ROOT = Path(__file__).parents[2]
BUILD_SECONDS = 1800
RUN_SECONDS = 3600
"""Patience: on a machine whose CPUs are taken, Signstar's suite takes 20 minutes."""

_TIMED_OUT = 124
SIGNSTAR_CANNOT_PASS = {
    "config::cancel_update": "needs an update of NetHSM's firmware, from its maker",
    "config::commit_update": "needs an update of NetHSM's firmware, from its maker",
    "create_backup_and_decrypt_it": "decrypts backups of NetHSM's format 0 only",
}
"""Signstar's tests that fail with every NetHSM of version 5, or without its maker's firmware."""

SIGNSTAR_WANTS_A_PROCESS = (
    "system::connection_is_available_fails",
    "system::connection_is_available_succeeds",
    "system::connection_is_provisioned_returns_false",
    "system::connection_is_provisioned_returns_true",
)
"""Each of them sets the logger of its process, and fails if another test has set it before."""

_RESULT = re.compile(r"^test (\S+) \.\.\. (ok|FAILED)", re.MULTILINE)


def stand_in(folder: Path) -> dict[str, str]:
    """Return the environment in which `docker` and `podman` are tests/support/container."""
    programs = folder / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    for name in ("docker", "podman"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.support.container "$@"\n')
        program.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "KEYSTEAD_CONTAINERS": str(folder / "containers"),
    }


def run_suite(
    crate: Path,
    folder: Path,
    features: Sequence[str] = (),
    cannot_pass: Mapping[str, str] = MappingProxyType({}),
    wants_a_process: Sequence[str] = (),
) -> None:
    """Run a crate's tests; fail unless all pass but those that cannot everywhere."""
    if not (crate / "Cargo.toml").is_file():
        pytest.skip(f"{crate.name} could not be fetched")
    results = results_of(crate, folder, features, [f"--skip={name}" for name in wants_a_process])
    for name in wants_a_process:
        results |= results_of(crate, folder, features, ["--exact", name])
    failed = {name for name, result in results.items() if result == "FAILED"}
    print(f"{crate.name}: {len(results) - len(failed)} passed, {len(failed)} failed")  # noqa: T201
    for name in sorted(failed):
        print(f"  {name}: {cannot_pass.get(name, 'NOT EXPECTED')}")  # noqa: T201
    assert results
    assert failed <= set(cannot_pass)


def results_of(
    crate: Path, folder: Path, features: Sequence[str], chosen: Sequence[str]
) -> dict[str, str]:
    """Compile a crate's tests and run those that are chosen; return how each of them ended."""
    test = ["cargo", "test", "--locked", "--ignore-rust-version", "--tests", *features]
    built = cargo(crate, BUILD_SECONDS, [*test, "--no-run"], os.environ)
    if built.returncode != 0:
        pytest.skip(f"{crate.name} cannot be compiled here: {built.stderr.splitlines()[-1:]}")
    try:
        ran = cargo(
            *(crate, RUN_SECONDS, [*test, "--no-fail-fast", "--", "--test-threads=2", *chosen]),
            stand_in(folder),
        )
    finally:
        stop_all(folder / "containers")
    (folder / "output").write_text(ran.stdout + ran.stderr)
    assert ran.returncode != _TIMED_OUT, folder
    return dict(_RESULT.findall(ran.stdout))


def cargo(
    crate: Path, seconds: int, command: Sequence[str], environment: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run a command of cargo's in a crate; the limit ends what cargo started too."""
    return subprocess.run(
        ["timeout", str(seconds), *command],
        cwd=crate,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_suite_of_nethsm_sdk_rs(clients: Path, tmp_path: Path) -> None:
    run_suite(clients / "nethsm-sdk-rs-4.0.0", tmp_path)


def test_the_suite_of_signstar_s_nethsm(clients: Path, tmp_path: Path) -> None:
    run_suite(
        clients / "nethsm-0.12.0",
        tmp_path,
        features=("--features", "_nethsm-integration-test,backup"),
        cannot_pass=SIGNSTAR_CANNOT_PASS,
        wants_a_process=SIGNSTAR_WANTS_A_PROCESS,
    )
