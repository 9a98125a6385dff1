"""What tests of every area share."""

from typing import Any

import pytest

from tests.support.spec import DESCRIPTION, description


@pytest.fixture(scope="session")
def nethsm_api() -> dict[str, Any]:
    """NetHSM's API description."""
    if not DESCRIPTION.is_file():
        pytest.skip("NetHSM's API description is not here; set KEYSTEAD_SHARED")
    return description()
