"""`nitropy nethsm` as its users type it."""

import base64
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.server import PASSPHRASES, UNLOCK, Server, running_server

COMMAND_SECONDS = 120
OPERATOR = "operatorPassphrase"
BACKUP = "backupPassphrase"
MESSAGE = base64.b64encode(bytes(32)).decode()

Nitropy = Callable[..., str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("hsm")) as server:
        yield server


def nitropy_for(server: Server, program: Path, folder: Path) -> Nitropy:
    """Return what runs a command as a user, and fails when the command does."""

    def nitropy(
        *arguments: str,
        user: str = "admin",
        passphrase: str = PASSPHRASES["admin"],
        typed: str = "",
    ) -> str:
        host = f"{server.host}:{server.port}"
        login = ("--username", user, "--password", passphrase)
        ran = subprocess.run(
            [program, "nethsm", "--host", host, "--no-verify-tls", *login, *arguments],
            cwd=folder,
            env=os.environ | {"TMPDIR": str(folder), "HOME": str(folder)},
            input=typed,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, ran
        return ran.stdout

    return nitropy


@pytest.fixture(scope="module")
def nitropy(server: Server, clients: Path, tmp_path_factory: pytest.TempPathFactory) -> Nitropy:
    """Nitropy with a provisioned server, an Operator and a user for backups."""
    program = clients / "nitropy" / "bin" / "nitropy"
    if not program.is_file():
        pytest.skip("nitropy could not be fetched")
    nitropy = nitropy_for(server, program, tmp_path_factory.mktemp("nitropy"))
    assert "Unprovisioned" in nitropy("state")
    nitropy("provision", "-u", UNLOCK, "-a", PASSPHRASES["admin"])
    for role, passphrase in (("operator", OPERATOR), ("backup", BACKUP)):
        nitropy("add-user", "-n", role, "-r", role, "-p", passphrase, "-u", role)
    return nitropy


def test_it_shows_what_it_talks_to(nitropy: Nitropy) -> None:
    assert "Keystead" in nitropy("info")
    assert "Operational" in nitropy("state")
    assert "5.0" in nitropy("system-info")
    assert "operator" in nitropy("list-users")
    assert "Operator" in nitropy("get-user", "operator")
    nitropy("get-config")


@pytest.mark.parametrize(
    ("kind", "mechanism", "mode"),
    [
        ("rsa", "rsa_signature_pss_sha256", "pss_sha256"),
        ("curve25519", "eddsa_signature", "eddsa"),
        ("ec_p256", "ecdsa_signature", "ecdsa"),
        ("ec_p256k1", "bip340_signature", "bip340"),
    ],
)
def test_it_generates_a_key_and_signs(
    nitropy: Nitropy, kind: str, mechanism: str, mode: str
) -> None:
    length = "2048" if kind == "rsa" else "256"  # It asks for one, whatever the type.
    nitropy("generate-key", "-t", kind, "-m", mechanism, "-k", f"{kind}-{mode}", "-l", length)
    nitropy(
        *("sign", "-k", f"{kind}-{mode}", "-m", mode, "-d", MESSAGE),
        user="operator",
        passphrase=OPERATOR,
    )


def test_it_encrypts_and_decrypts(nitropy: Nitropy) -> None:
    mechanisms = ("-m", "aes_encryption_cbc", "-m", "aes_decryption_cbc")
    nitropy("generate-key", "-t", "generic", *mechanisms, "-l", "256", "-k", "aes")
    iv = base64.b64encode(bytes(16)).decode()
    common = ("-k", "aes", "-m", "aes_cbc", "-iv", iv)
    shown = nitropy("encrypt", *common, "-d", MESSAGE, user="operator", passphrase=OPERATOR)
    encrypted = max(shown.split(), key=len)
    shown = nitropy("decrypt", *common, "-d", encrypted, user="operator", passphrase=OPERATOR)
    assert MESSAGE in shown


def test_it_asks_for_a_tls_certificate_and_shows_the_present_one(nitropy: Nitropy) -> None:
    names = ("--common-name", "localhost", "--country", "DE", "--state-or-province", "Berlin")
    more = ("--locality", "Berlin", "--organization", "Example", "--organizational-unit", "HSM")
    rest = ("--email-address", "hsm@example.org")
    assert "BEGIN CERTIFICATE REQUEST" in nitropy("csr", "--api", *names, *more, *rest)
    assert "BEGIN CERTIFICATE" in nitropy("get-certificate", "--api")


def test_it_brings_keys_in_and_names_and_tags_them(
    nitropy: Nitropy, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("pem") / "key.pem"
    private = Ed25519PrivateKey.generate()
    file.write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    nitropy("import-key", "-m", "eddsa_signature", "-k", "brought", "--tags", "berlin", str(file))
    nitropy("set-key-label", "brought", "a label")
    nitropy("move-key", "brought", "renamed")
    shown = nitropy("get-key", "renamed")
    assert ("Curve25519" in shown, "berlin" in shown, "a label" in shown) == (True, True, True)
    nitropy("add-operator-tag", "operator", "berlin")
    assert "berlin" in nitropy("list-operator-tags", "operator")
    message = ("-d", MESSAGE)
    signed = nitropy(
        *("sign", "-k", "renamed", "-m", "eddsa", *message), user="operator", passphrase=OPERATOR
    )
    private.public_key().verify(
        base64.b64decode(max(signed.split(), key=len)), base64.b64decode(MESSAGE)
    )
    nitropy("delete-key-tag", "renamed", "berlin")
    nitropy("delete-key-label", "renamed")
    nitropy("delete-key", "renamed")
    assert "renamed" not in nitropy("list-keys", "--no-details")


def test_it_backs_up_checks_the_file_and_restores_it(nitropy: Nitropy) -> None:
    mechanisms = ("-m", "eddsa_signature", "-l", "256")
    nitropy("generate-key", "-t", "curve25519", *mechanisms, "-k", "kept")
    nitropy("set-backup-passphrase", "-n", BACKUP, "--force", typed="\n")  # There is none yet.
    nitropy("backup", "backup.bin", user="backup", passphrase=BACKUP)
    assert "content are valid" in nitropy("validate-backup", "-p", BACKUP, "backup.bin")
    nitropy("delete-key", "kept")
    nitropy("restore", "-p", BACKUP, "backup.bin")
    assert "Operational" in nitropy("state")
    assert "kept" in nitropy("list-keys", "--no-details")


def test_it_locks_and_unlocks(nitropy: Nitropy) -> None:
    nitropy("set-unattended-boot", "on")
    nitropy("set-unattended-boot", "off")
    nitropy("lock")
    assert "Locked" in nitropy("state")
    nitropy("unlock", UNLOCK)
    assert "Operational" in nitropy("state")
