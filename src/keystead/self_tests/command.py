"""The command `selftest`: what the core tests at start, a line each."""

import argparse

from keystead.self_tests import results


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `keystead selftest` what it takes."""
    parser.description = (
        "Test the entropy source and every algorithm, as the core does at each start. "
        "Exit status 1 when one fails."
    )
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    status = 0
    for name, wrong in results():
        print(f"ok      {name}" if wrong is None else f"FAILED  {name}: {wrong}")  # noqa: T201 - the answer
        if wrong is not None:
            status = 1
    return status
