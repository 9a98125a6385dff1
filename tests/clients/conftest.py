"""Software that nobody here wrote, against real servers: `make clients` fetches and runs it.

Versions are pinned in scripts/add-clients. Nothing of theirs is edited: what cannot pass is listed
beside its suite with the reason, and nothing else may fail.
"""

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / ".clients"


@pytest.fixture(scope="session", autouse=True)
def asked_for() -> None:
    """Skip all of it in `make test`: fetching and compiling takes minutes."""
    if "KEYSTEAD_CLIENTS" not in os.environ:
        pytest.skip("`make clients` runs it")


@pytest.fixture(scope="session")
def clients() -> Path:
    """The folder that holds what was fetched."""
    return FOLDER
