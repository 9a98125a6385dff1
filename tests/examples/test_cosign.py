"""examples/cosign: cosign verifies the release that was signed, and no other."""

import os
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "keystead"
MORE = """
printf 'another program' > release.tar
cosign verify-blob --key cosign.pub --bundle release.tar.sigstore.json --insecure-ignore-tlog=true \
    release.tar 2>refusal || echo another program is refused
"""


@pytest.mark.skipif(not any(CACHE.glob("cosign-*/cosign")), reason="make cosign-test builds cosign")
def test_cosign_verifies_the_release_that_was_signed_and_no_other(follow, tmp_path):
    ran = follow("cosign", MORE)
    assert ran.stderr.count("Verified OK") == 1
    assert ran.stdout.endswith("another program is refused\n")
    assert "failed to verify signature" in (tmp_path / "refusal").read_text()
