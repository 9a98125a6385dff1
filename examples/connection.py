"""Where the HSM is: an example takes the options, environment and profiles of `keystead` itself."""

from argparse import ArgumentParser, Namespace

from keystead.cli import connection
from keystead.client import Client


def parser(summary: str) -> ArgumentParser:
    """Return a parser that knows `--host`, `--user`, `--profile` and the like."""
    made = ArgumentParser(description=summary)
    connection.add_options(made)
    return made


def hsm(given: Namespace) -> Client:
    """Return the client of the HSM that the options, the environment or a profile name."""
    return connection.resolve(given).client(is_anonymous=False, connections=8)
