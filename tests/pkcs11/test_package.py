"""The packages of the module: what is in them, and that it loads from where it lies."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pkcs11.conftest import ROOT, Token, need

MODULE = f"usr/lib/{platform.machine()}-linux-gnu/pkcs11/libkeystead_pkcs11.so"
DOCUMENTS = Path("usr/share/doc/keystead-pkcs11")


def test_the_package_has_the_module_where_programs_look_for_it(token: Token) -> None:
    need("dpkg-deb")
    token.run(ROOT / "packaging/deb/build-pkcs11", token.folder, SOURCE_DATE_EPOCH="1")
    (package,) = token.folder.glob("keystead-pkcs11_*.deb")
    unpacked = token.folder / "unpacked"
    token.run("dpkg-deb", "--extract", package, unpacked)
    files = {str(file.relative_to(unpacked)) for file in unpacked.rglob("*") if file.is_file()}
    names = ("copyright", "pkcs11.md", "examples/pkcs11.toml", "examples/keystead.module")
    assert files == {MODULE, *(str(DOCUMENTS / name) for name in names)}
    control = token.run("dpkg-deb", "--field", package)
    assert "Depends: libc6 (>= " in control
    assert "@" not in control.replace("keystead@localhost", "")

    token.module = unpacked / MODULE
    assert "the EC_P256" in token.tool("--list-objects")


def test_the_wheel_is_found_by_the_command_line_and_loads(token: Token) -> None:
    made = subprocess.run(  # noqa: S603
        [ROOT / "scripts/add-locked", sys.executable, token.folder, "pkcs11"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"setuptools cannot be installed: {made.stderr[-200:]}")
    setuptools = token.folder / "pkcs11/bin/python"
    built = token.folder / "built"
    token.run(
        ROOT / "packaging/wheel-pkcs11/build", setuptools, built, SOURCE_DATE_EPOCH="1000000000"
    )
    (wheel,) = built.glob("keystead_pkcs11-*-py3-none-manylinux_2_*.whl")
    installed = token.folder / "installed"
    token.run(sys.executable, "-m", "venv", "--without-pip", installed)
    python = installed / "bin/python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps")
    token.run(*pip, wheel)

    path = token.run(python, "-m", "keystead", "pkcs11", "path", PYTHONPATH=str(ROOT / "src"))
    token.module = Path(path.strip())
    assert token.module.is_relative_to(installed)
    assert "the EC_P256" in token.tool("--list-objects")


def test_the_example_of_a_configuration_is_one(token: Token) -> None:
    example = (ROOT / "packaging/deb/pkcs11.toml").read_text()
    pin = token.folder / "pin"
    pin.write_text("a passphrase\n")
    text = example.replace("# pin-file", "pin-file").replace("/etc/keystead/operator.pin", str(pin))
    file = token.folder / "example.toml"
    file.write_text(text.replace('ca-file = "/etc/keystead/ca.pem"\n', ""))
    need("pkcs11-tool")
    shown = token.run(
        *("env", f"KEYSTEAD_PKCS11_CONFIG={file}", "pkcs11-tool"),
        *(f"--module={token.module}", "--list-slots"),
        PATH=os.environ["PATH"],
    )
    assert "token label        : hsm" in shown


def test_a_configuration_of_nethsm_pkcs11_is_read(token: Token) -> None:
    server = token.server
    folder = token.folder / "nethsm"
    folder.mkdir()
    (folder / "p11nethsm.conf").write_text(f"""
slots:
  - label: moved
    operator:
      username: operator
      password: "env:OPERATOR_PASSPHRASE"
    instances:
      - url: "{server.url}/api/v1"
        sha256_fingerprints: ["{server.fingerprint}"]
""")
    need("pkcs11-tool")
    shown = token.run(
        *("env", "--unset=KEYSTEAD_PKCS11_CONFIG", "pkcs11-tool"),
        *(f"--module={token.module}", "--list-objects"),
        XDG_CONFIG_HOME=str(token.folder),
        OPERATOR_PASSPHRASE=server.passphrases["operator"],
    )
    assert "the EC_P256" in shown
