"""examples/ssh: a real sshd accepts what the authority certified, and git an agent's signature."""

import shutil

import pytest

from tests.support.daemons import free_port

TOOLS = {"ssh": "openssh-client", "/usr/sbin/sshd": "openssh-server", "git": "git"}


def test_sshd_accepts_certificates_but_revoked_ones_and_git_an_agents_signature(follow, tmp_path):
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {missing}")
    ran = follow("ssh", PORT=str(free_port()))
    log = (tmp_path / "sshd.log").read_text()
    shown = [line for line in ran.stdout.splitlines() if "accepted" in line or "refused" in line]
    assert shown == ["accepted", "refused", "alice accepted", "alice-rsa accepted"], log
    assert "revoked by file" in log
    assert "(ECDSA)" in ran.stdout
    assert "(RSA)" in ran.stdout
    assert 'Good "git" signature for alice@example.com with ECDSA key' in ran.stderr + ran.stdout
