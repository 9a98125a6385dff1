"""Confines itself as a process of one kind would be, and says what came of it, as JSON.

`keystead doctor` runs it: what a machine really allows shows only when it is tried.
"""

import argparse
import sys

import msgspec

from keystead.errors import KeysteadError
from keystead.processes.sandbox import OWN_KINDS, Protections, Sandbox, own_user


def main() -> None:
    """Confine this process and print its Protections, or exit with the reason if that fails."""
    parser = argparse.ArgumentParser(prog="keystead.processes.supervisor.trial")
    parser.add_argument("kind", choices=OWN_KINDS)
    parser.add_argument("parent", type=int)
    given = parser.parse_args()
    confinement = Sandbox(given.kind)
    try:
        confinement.isolate(parent=given.parent, keep=[])
        confinement.confine(user=own_user(given.kind))
        protections: Protections = confinement.lock_down()
    except KeysteadError as error:
        sys.exit(error.message)
    sys.stdout.write(msgspec.json.encode(protections).decode())


if __name__ == "__main__":
    main()
