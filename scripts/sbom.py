"""Writes the bill of materials of a release, CycloneDX 1.6, to standard output: sbom.py COMMIT.

It lists what requirements.lock pins, with the hashes there, the licences that the packages state,
and what their wheels say is compiled into them (PEP 770). Nothing in it is of the moment: the
serial number and the time come from the commit (the time by SOURCE_DATE_EPOCH).
"""

import datetime as dt
import json
import os
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

from keystead import __version__

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Pin:
    """A package as the lock has it: any of the files with these SHA-256 is that version."""

    name: str
    version: str
    sha256: Sequence[str]


def read_lock(path: Path) -> list[Pin]:
    """Return what a lock pins, in its order."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    return [
        Pin(line.split("==")[0], line.split("==")[1].split()[0], re.findall("sha256:(.{64})", line))
        for line in lines
    ]


def _licence(installed: Distribution) -> License | None:
    """Return the licence as the package states it: SPDX, else in words, else by its classifiers."""
    stated = installed.metadata["License-Expression"] or installed.metadata["License"]
    classifiers = installed.metadata.get_all("Classifier") or []
    words = [line.split(" :: ")[-1] for line in classifiers if line.startswith("License ::")]
    text = stated or ", ".join(words)
    return LicenseFactory().make_from_string(text) if text else None


def _compiled_in(installed: Distribution) -> Iterator[Component]:
    """Yield what the package's own bills of materials say is part of its binaries."""
    for file in installed.files or ():
        if file.parent.name == "sboms":
            for part in Bom.from_json(json.loads(file.read_text())).components:
                yield Component(
                    name=part.name,
                    version=part.version,
                    type=part.type,
                    scope=part.scope,
                    purl=part.purl,
                    licenses=part.licenses,
                    bom_ref=f"{installed.name}/{part.name}@{part.version}",
                )


def _component(pin: Pin, *, at_run_time: bool) -> Component:
    installed = distribution(pin.name)
    if installed.version != pin.version:
        raise SystemExit(f"sbom: {pin.name} {installed.version} is installed, not {pin.version}")
    purl = PackageURL("pypi", None, pin.name, pin.version)
    licence = _licence(installed)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(str(purl)),
        comment="one of the files with these hashes",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in pin.sha256],
    )
    return Component(
        name=pin.name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        scope=ComponentScope.REQUIRED if at_run_time else ComponentScope.EXCLUDED,
        purl=purl,
        bom_ref=str(purl),
        licenses=[licence] if licence else [],
        external_references=[files],
        components=_compiled_in(installed),
    )


def _needs(requirements: Sequence[str], pinned: Sequence[str]) -> set[str]:
    """Return which pinned packages these requirements name; those of extras are not pinned."""
    return {Requirement(text).name.lower() for text in requirements} & set(pinned)


def describe(commit: str, made: dt.datetime) -> Bom:
    """Return the bill of materials of this tree, which is `commit`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = read_lock(ROOT / "requirements.lock")
    names = [pin.name for pin in pins]
    needs = {name: _needs(distribution(name).requires or [], names) for name in names}
    direct = _needs(project["dependencies"], names)
    reached, waiting = set[str](), set(direct)
    while waiting:
        reached |= waiting
        waiting = {need for name in waiting for need in needs[name]} - reached
    parts = {pin.name: _component(pin, at_run_time=pin.name in reached) for pin in pins}
    product = Component(
        name=project["name"],
        version=__version__,
        type=ComponentType.APPLICATION,
        purl=PackageURL("pypi", None, project["name"], __version__),
        bom_ref=project["name"],
        licenses=[LicenseFactory().make_from_string(project["license"])],
    )
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, commit), components=parts.values())
    bom.metadata.timestamp = made
    bom.metadata.component = product
    bom.register_dependency(product, [parts[name] for name in sorted(direct)])
    for name in names:
        bom.register_dependency(parts[name], [parts[need] for need in sorted(needs[name])])
    return bom


def main() -> None:
    """Write it."""
    made = dt.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), dt.UTC)
    print(JsonV1Dot6(describe(sys.argv[1], made)).output_as_string(indent=2))  # noqa: T201 - the output


if __name__ == "__main__":
    main()
