"""The command line of the appliance's builder: `keystead image build`, `keystead image keys`."""

import argparse
import datetime as dt
from pathlib import Path

from keystead.appliance.build import build
from keystead.appliance.disk import FORMATS
from keystead.appliance.python_files import has_tpm
from keystead.appliance.secure_boot import SigningKeys, make_keys


def add_build(parser: argparse.ArgumentParser) -> None:
    """Give `parser` what `keystead image build` takes."""
    parser.set_defaults(run=_build)
    parser.add_argument("--keys", type=Path, metavar="DIR", help="sign with the keys in DIR")
    parser.add_argument(
        "--format",
        dest="formats",
        action="append",
        choices=FORMATS,
        default=[],
        help="write the disk in this format too; can be repeated",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="a new folder")


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Give `parser` what `keystead image keys` takes."""
    parser.set_defaults(run=_make_keys)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new folder")


def _build(given: argparse.Namespace) -> None:
    keys = None if given.keys is None else SigningKeys.in_folder(given.keys)
    for path in build(given.out, keys=keys, formats=given.formats):
        print(path)  # noqa: T201 - the answer
    if not has_tpm():
        print("no TPM: tpm2-pytss is not installed, or was built with FAPI (make tpm2)")  # noqa: T201 - the answer
    if keys is None:
        print("not signed: Secure Boot must be off (--keys signs the image)")  # noqa: T201 - the answer


def _make_keys(given: argparse.Namespace) -> None:
    make_keys(given.folder, now=dt.datetime.now(dt.UTC))  # noqa: TID251 - the border to the clock
    print(f"{given.folder}: keep PK.key, KEK.key, db.key, update.key and policy.key secret")  # noqa: T201 - the answer
