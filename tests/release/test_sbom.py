"""The bill of materials: valid CycloneDX, and what the lock pins."""

import json
from importlib.metadata import requires, version

import pytest
from cryptography.hazmat.backends.openssl import backend
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement

from keystead import __version__


@pytest.fixture(scope="module")
def text(built):
    return built[f"keystead-{__version__}.cdx.json"].decode()


@pytest.fixture(scope="module")
def parts(text):
    return {part["name"]: part for part in json.loads(text)["components"]}


def test_it_is_valid_cyclonedx(text):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_it_is_of_this_version_at_the_time_of_the_commit(text):
    metadata = json.loads(text)["metadata"]
    assert metadata["component"]["version"] == version("keystead")
    assert metadata["timestamp"] == "2023-11-14T22:13:20+00:00"


def test_all_that_runs_is_in_it_with_hashes_and_a_licence(parts):
    required = {name: part for name, part in parts.items() if part["scope"] == "required"}
    stated = [Requirement(text) for text in requires("keystead")]
    direct = {need.name for need in stated if need.marker is None}  # The others are of extras.
    # By these.
    needed = {"cffi", "pycparser", "markdown-it-py", "mdurl", "pygments", "hpack", "hyperframe"}
    assert direct | needed == set(required)
    for name, part in required.items():
        assert part["version"] == version(name)
        assert part["licenses"], name
        (files,) = part["externalReferences"]
        assert all(file["alg"] == "SHA-256" for file in files["hashes"])


def test_what_only_builds_is_marked_so(parts):
    assert parts["flit-core"]["scope"] == "excluded"


def test_the_openssl_inside_cryptography_is_in_it(parts):
    inside = {part["name"]: part["version"] for part in parts["cryptography"]["components"]}
    assert backend.openssl_version_text().split()[1] == inside["openssl"]


def test_it_says_what_needs_what(text):
    needs = {row["ref"]: row.get("dependsOn", []) for row in json.loads(text)["dependencies"]}
    (cryptography,) = [name for name in needs["keystead"] if "cryptography" in name]
    assert any("cffi" in name for name in needs[cryptography])
