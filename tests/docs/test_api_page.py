"""The API's page, as a browser shows it."""

import subprocess
from pathlib import Path

import pytest

from keystead.api.routes import ROUTES
from tests.support.browser import CHROMIUM, OPTIONS
from tests.support.server import running_server


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_every_operation(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        ran = subprocess.run(  # noqa: S603 - the browser that the path has
            [
                str(CHROMIUM),
                "--headless",
                "--ignore-certificate-errors",
                "--dump-dom",
                *OPTIONS,
                f"--user-data-dir={tmp_path}/browser",
                f"{server.url}/api_docs",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    for route in ROUTES:
        assert route.path in ran.stdout, route.path
    assert "<script" not in ran.stdout
    assert "Refused to" not in ran.stderr, "the page asks for what its own policy forbids"
