"""`keystead migrate`: a folder of key files, and a real SoftHSM2 token."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234"


def new_key(lock=None):
    key = ec.generate_private_key(ec.SECP256R1())
    form = (Encoding.PEM, PrivateFormat.PKCS8)
    return key, key.private_bytes(*form, lock or NoEncryption())


@pytest.fixture
def folder(tmp_path):
    directory = tmp_path / "keys"
    directory.mkdir()
    (directory / "web server.pem").write_bytes(new_key()[1])
    (directory / "web@server.key").write_bytes(new_key()[1])
    (directory / "locked.pem").write_bytes(new_key(BestAvailableEncryption(b"a phrase"))[1])
    (directory / "notes.pem").write_text("nothing here")
    (directory / "README").write_text("is not looked at")
    return directory


def results(ran):
    return {row["source"]: row["result"] for row in ran.json()}


def test_a_dry_run_says_what_would_come_and_brings_nothing(keystead, folder):
    ran = keystead("migrate", "directory", folder, "--dry-run", "--prefix", "dry-", "--json")
    assert ran.status == 0
    assert results(ran) == {
        "locked.pem": "It is encrypted: give --file-passphrase-file.",
        "notes.pem": "There is no private key in the file.",
        "web server.pem": "would come",
        "web@server.key": "would come",
    }
    assert [row["id"] for row in ran.json()][2:] == ["dry-web-server", "dry-web-server-2"]
    assert keystead("keys", "list", "dry-", "--json").json() == []


def test_keys_of_a_folder_come_and_the_report_says_which_did_not(keystead, folder):
    bring = ("migrate", "directory", folder, "--prefix", "old-", "--json")
    assert keystead(*bring).status == 2
    assert keystead("keys", "list", "old-", "--json").json() == []
    ran = keystead(*bring, "--yes", KEYSTEAD_FILE_PASSPHRASE="a phrase")
    assert ran.status == 0
    assert results(ran)["locked.pem"] == "came"
    assert results(ran)["notes.pem"] == "There is no private key in the file."
    assert len(keystead("keys", "list", "old-", "--json").json()) == 3
    again = keystead(*bring, "--yes", KEYSTEAD_FILE_PASSPHRASE="a phrase")
    assert again.status == 1
    assert "exists" in results(again)["locked.pem"]


@pytest.fixture
def tokens(tmp_path, monkeypatch):
    """Two tokens; that of the label `web` has a key of each type."""
    if shutil.which("pkcs11-tool") is None or not MODULE.exists():
        pytest.skip("softhsm2 and opensc are not installed")
    root = tmp_path / "tokens"
    root.mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {root}\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    for label in ("web", "other"):
        init = ["softhsm2-util", "--init-token", "--free", f"--label={label}", f"--pin={PIN}"]
        subprocess.run([*init, "--so-pin=5678"], check=True, capture_output=True)
    for number, name in enumerate(("EC:prime256v1", "EC:secp521r1", "RSA:2048", "EC:edwards25519")):
        pkcs11("--keypairgen", f"--key-type={name}", f"--label={name}", f"--id=0{number}")
    pkcs11("--keygen", "--key-type=AES:32", "--label=aes", "--id=09")
    pkcs11("--keygen", "--key-type=AES:16", "--label=private aes", "--id=0a", "--private")
    return root


def pkcs11(*options):
    command = ["pkcs11-tool", f"--module={MODULE}", "--token-label=web", "--login", f"--pin={PIN}"]
    ran = subprocess.run([*command, *options], check=True, capture_output=True, env=os.environ)
    return ran.stdout


def public_in_token(number):
    """The public key as PKCS#11 gives it out; None for a form that no library reads."""
    content = pkcs11("--read-object", "--type=pubkey", f"--id=0{number}")
    return load_der_public_key(content)


def pem(public):
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_keys_of_a_token_come_even_those_that_pkcs11_never_gives_out(keystead, tokens):
    bring = ("migrate", "softhsm", "--tokens", tokens, "--token", "web", "--json")
    ran = keystead(*bring, "--dry-run", KEYSTEAD_PIN_PASSPHRASE=PIN)
    assert set(results(ran).values()) == {"would come"}
    ran = keystead(*bring, "--yes", KEYSTEAD_PIN_PASSPHRASE=PIN)
    assert ran.status == 0, ran
    assert results(ran) == dict.fromkeys(results(ran), "came")
    assert len(results(ran)) == 6
    for number, key_id in enumerate(("EC-prime256v1", "EC-secp521r1", "RSA-2048")):
        here = keystead("keys", "public", key_id).out.encode()
        assert pem(load_pem_public_key(here)) == pem(public_in_token(number))


def test_an_edwards_key_of_a_token_is_the_same_key_here(keystead, tokens, tmp_path):
    bring = ("migrate", "softhsm", "--tokens", tokens, "--token", "web", "--prefix", "same-")
    keystead(*bring, "--yes", KEYSTEAD_PIN_PASSPHRASE=PIN)
    message, signature = tmp_path / "message", tmp_path / "signature"
    message.write_bytes(b"hello")
    files = (f"--input-file={message}", f"--output-file={signature}")
    pkcs11("--sign", "--mechanism=EDDSA", "--id=03", *files)
    verify = ("keys", "verify", "same-EC-edwards25519", signature, message)
    assert keystead(*verify).out == "valid\n"


def test_a_wrong_pin_or_label_brings_nothing(keystead, tokens):
    bring = ("migrate", "softhsm", "--tokens", tokens, "--yes")
    ran = keystead(*bring, "--token", "web", KEYSTEAD_PIN_PASSPHRASE="4321")
    assert ran.status == 1
    assert "The PIN is not this token's user PIN." in ran.err
    ran = keystead(*bring, KEYSTEAD_PIN_PASSPHRASE=PIN)
    assert ran.status == 1
    assert "does not have exactly one token. Its tokens: " in ran.err
    assert "web" in ran.err
    assert "other" in ran.err
    ran = keystead(*bring, "--token", "third", KEYSTEAD_PIN_PASSPHRASE=PIN)
    assert (ran.status, "exactly one token with the label third" in ran.err) == (1, True)


def test_a_damaged_object_of_a_token_is_named(keystead, tokens):
    for file in tokens.glob("*/*.object"):
        if file.name != "token.object" and file.stat().st_size > 600:
            content = file.read_bytes()
            file.write_bytes(content.replace(content[-300:-200], bytes(100)))
    bring = ("migrate", "softhsm", "--tokens", tokens, "--token", "web", "--yes")
    ran = keystead(*bring, KEYSTEAD_PIN_PASSPHRASE=PIN)
    assert ran.status == 1
    assert ".object is" in ran.err


@pytest.mark.parametrize("content", [b"", bytes(7), bytes(8) + b"\xff" * 40, bytes(100)])
def test_a_file_that_is_not_softhsms_is_named(keystead, tmp_path, content):
    token = tmp_path / "tokens/one/token.object"
    token.parent.mkdir(parents=True)
    token.write_bytes(content)
    ran = keystead("migrate", "softhsm", "--tokens", tmp_path / "tokens", "--yes")
    assert ran.status == 1
    assert "token.object is not a file of SoftHSM2" in ran.err
