"""examples/debian_repository: apt accepts what the HSM signed, and nothing that was changed."""

import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from examples.debian_repository import openpgp

TOOLS = ("gpgv", "sqv", "apt-get", "apt-ftparchive", "dpkg-deb")
MORE = """
sed -i 's/^Origin: .*/Origin: Another/' repository/InRelease
rm -r repository/Release repository/Release.gpg root/var/lib/apt/lists/*
mkdir root/var/lib/apt/lists/partial
apt-get $in_root update 2>refusal || grep -o -m 1 'is not signed' refusal
"""
CREATED = 1_700_000_000
KEYS = {
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
}
TEXTS = ("a\n", "a", "", "\n\n", "- a\n-----BEGIN\n", "a \t\nb\t", "a\r\nb\r\n", "From é\n")


def test_apt_accepts_the_repository_until_it_is_changed(follow):
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    ran = follow("debian_repository", MORE)
    assert "Good signature" in ran.stderr
    assert "Candidate: 1.0" in ran.stdout
    assert ran.stdout.endswith("is not signed\n")


@pytest.fixture(params=KEYS)
def signer(request):
    if not shutil.which("gpgv"):
        pytest.skip("gpgv is not installed")
    return openpgp.new_signer(KEYS[request.param](), CREATED)


def is_good(tmp_path, signer, *files):
    """Whether gpgv accepts files by the certificate of the signer."""
    (tmp_path / "certificate.gpg").write_bytes(openpgp.certificate(signer, "A <a@example.com>"))
    command = ["gpgv", "--homedir", tmp_path, "--keyring", tmp_path / "certificate.gpg", *files]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("text", TEXTS)
def test_gpgv_accepts_a_signed_text_whatever_its_lines_are(tmp_path, signer, text):
    file = tmp_path / "signed"
    file.write_text(openpgp.signed_text(signer, text, CREATED + 1), newline="")
    assert is_good(tmp_path, signer, file)
    file.write_text(openpgp.signed_text(signer, "true", CREATED).replace("true", "false"))
    assert not is_good(tmp_path, signer, file)


def test_a_signature_whose_numbers_are_short_is_good(tmp_path):
    if not shutil.which("gpgv"):
        pytest.skip("gpgv is not installed")
    signer = openpgp.new_signer(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)), CREATED)
    made = {
        message: openpgp.signature(signer, openpgp.OF_BINARY, message.encode(), CREATED)
        for message in map(str, range(1000))
    }
    shortest = min(made, key=lambda message: len(made[message]))
    assert len(made[shortest]) < max(map(len, made.values()))
    message, detached = tmp_path / "message", tmp_path / "signature"
    message.write_text(shortest)
    detached.write_bytes(made[shortest])
    assert is_good(tmp_path, signer, detached, message)


def test_a_certificate_is_of_its_key_alone(signer):
    certificate = openpgp.certificate(signer, "A <a@example.com>")
    assert openpgp.known_signer(signer.key, certificate) == signer
    with pytest.raises(ValueError, match="not of this key"):
        openpgp.known_signer(ed25519.Ed25519PrivateKey.generate(), certificate)
    with pytest.raises(ValueError, match="not of this key"):
        openpgp.known_signer(signer.key, b"\0" + certificate[1:])
