"""A client cannot make the edge shake hands again and again on one connection."""

import shutil
import subprocess

import pytest

from tests.support.edge import running_edge


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")
def test_renegotiation_is_refused():
    with running_edge() as edge:
        client = subprocess.run(  # noqa: S603
            ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{edge.port}"],  # noqa: S607
            input=b"R\n",
            capture_output=True,
            timeout=30,
            check=False,
        )
    said = (client.stdout + client.stderr).lower()
    assert b"renegotiating" in said
    assert b"no renegotiation" in said
