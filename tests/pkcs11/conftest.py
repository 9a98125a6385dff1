"""The PKCS#11 module against a real server. `make pkcs11` builds the module."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.server import Server, running_server

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "pkcs11/target/release/libkeystead_pkcs11.so"
SECONDS = int(os.environ.get("KEYSTEAD_PKCS11_SECONDS", "180"))
"""How long a program may take."""

KEYS = {
    "EC_P256": ["ECDSA_Signature", "ECDH_Derivation"],
    "EC_P384": ["ECDSA_Signature"],
    "EC_P521": ["ECDSA_Signature"],
    "Curve25519": ["EdDSA_Signature"],
    "RSA": [
        "RSA_Signature_PKCS1",
        "RSA_Signature_PSS_SHA256",
        "RSA_Decryption_PKCS1",
        "RSA_Decryption_OAEP_SHA256",
    ],
    "Generic": ["AES_Encryption_CBC", "AES_Decryption_CBC", "AES_CMAC"],
}
LENGTHS = {"RSA": 2048, "Generic": 256}


@dataclass
class Token:
    """A server, the module, and a configuration that leads from one to the other."""

    server: Server
    module: Path
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        file = self.folder / "pkcs11.toml"
        lines = "\n".join(f"{name} = {value}" for name, value in self.settings.items())
        file.write_text(f"[[slots]]\n{lines}\n")
        return {**os.environ, "KEYSTEAD_PKCS11_CONFIG": str(file)}

    def run(self, *command: str | Path, accept: Sequence[int] = (0,), **more: str) -> str:
        """Run a program that loads the module; return all that it wrote."""
        done = subprocess.run(  # noqa: S603
            list(map(str, command)),
            env={**self.environment(), **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode in accept, done.stdout
        return done.stdout

    def tool(self, *arguments: str | Path, accept: Sequence[int] = (0,)) -> str:
        """Run OpenSC's pkcs11-tool."""
        need("pkcs11-tool")
        return self.run("pkcs11-tool", f"--module={self.module}", *arguments, accept=accept)

    def public_key(self, key_id: str) -> Path:
        """Fetch the public key of a key through the API."""
        file = self.folder / f"{key_id}.pem"
        file.write_bytes(
            self.server.request("GET", f"/keys/{key_id}/public.pem", user="admin").body
        )
        return file


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def hexed(key_id: str) -> str:
    return f"--id={key_id.encode().hex()}"


def add_keys(server: Server, kinds: Mapping[str, Sequence[str]]) -> None:
    """Have the server make a key of each type, named by it, with these mechanisms."""
    for kind, mechanisms in kinds.items():
        wanted = {"type": kind, "id": kind, "mechanisms": mechanisms, "label": f"the {kind}"}
        if kind in LENGTHS:
            wanted["length"] = LENGTHS[kind]
        answer = server.request(
            "POST", "/keys/generate", user="admin", json=wanted, timeout_seconds=SECONDS
        )
        assert answer.status == 201, answer


@pytest.fixture(scope="session")
def module() -> Path:
    if not BUILT.exists():
        pytest.skip("the PKCS#11 module is not built: `make pkcs11` needs cargo")
    return BUILT


@pytest.fixture(scope="session")
def server_with_keys(module: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests: `token` deletes the keys that each makes."""
    assert module.exists()
    with running_server(tmp_path_factory.mktemp("pkcs11")) as server:
        server.provision()
        server.add_user("operator", "Operator")
        add_keys(server, KEYS)
        yield server


@pytest.fixture
def token(server_with_keys: Server, module: Path, tmp_path: Path) -> Iterator[Token]:
    server = server_with_keys
    settings = {
        "label": '"keystead"',
        "instances": f'["{server.url}"]',
        "pinned-sha256": f'["{server.fingerprint}"]',
        "user": '"operator"',
        "pin": f'"{server.passphrases["operator"]}"',
        "administrator": f'{{ user = "admin", pin = "{server.passphrases["admin"]}" }}',
    }
    yield Token(server, module, tmp_path, settings)
    for key in server.request("GET", "/keys", user="admin").json():
        if key["id"] not in KEYS:
            server.request("DELETE", f"/keys/{key['id']}", user="admin")
