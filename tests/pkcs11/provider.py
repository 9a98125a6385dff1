"""Web servers whose keys are in the HSM by OpenSSL's provider, as of Debian 13."""

import base64
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.pkcs11.conftest import Token
from tests.pkcs11.test_applications import OBJECT
from tests.pkcs11.test_nginx import make_certificates, running

PROVIDER = Path(f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/ossl-modules/pkcs11.so")
CONFIGURATION = """
openssl_conf = start
[start]
providers = providers
[providers]
default = default_provider
pkcs11 = pkcs11_provider
[default_provider]
activate = 1
[pkcs11_provider]
pkcs11-module-path = {module}
activate = 1
[req]
distinguished_name = names
[names]
"""
KIND = b"PKCS#11 Provider URI v1.0"
VISIBLE_STRING, UTF8_STRING, SEQUENCE = 0x1A, 0x0C, 0x30


def serving_by_provider(
    token: Token, configuration: str, file: Path, command: Sequence[str]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Make a certificate for each key, and run a web server that has both, by the provider."""
    if not PROVIDER.exists():
        pytest.skip("pkcs11-provider is not installed")
    openssl = token.folder / "openssl.cnf"
    openssl.write_text(CONFIGURATION.format(module=token.module))
    environment = {"OPENSSL_CONF": str(openssl)}
    make_certificates(token, (), environment)
    keys = {"p256": _key_file(token, "EC_P256"), "rsa": _key_file(token, "RSA")}
    yield from running(token, configuration, keys, file, command, environment)


def _key_file(token: Token, kind: str) -> str:
    """Write the file that stands for a key; return its name."""
    parts = (VISIBLE_STRING, KIND), (UTF8_STRING, OBJECT.format(kind).encode())
    der = _element(SEQUENCE, b"".join(_element(tag, text) for tag, text in parts))
    lines = base64.encodebytes(der).decode()
    file = token.folder / f"{kind}.key"
    label = "PKCS#11 PROVIDER URI"
    file.write_text(f"-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
    return str(file)


def _element(tag: int, contents: bytes) -> bytes:
    assert len(contents) < 0x80
    return bytes([tag, len(contents)]) + contents
