"""`keystead pkcs11 path`, for the wheel, the Debian package, and neither."""

import pytest

from keystead.cli import pkcs11
from keystead.cli.exit_status import ExitStatus
from keystead.errors import NotFound


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "debian" / "x86_64-linux-gnu" / "pkcs11"
    folder.mkdir(parents=True)
    (folder / pkcs11.FILE).touch()
    return folder


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    folder = tmp_path / "wheel" / pkcs11.PACKAGE
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / pkcs11.FILE).touch()
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def test_the_module_of_the_wheel_comes_before_the_one_of_the_system(wheel, package, command):
    assert pkcs11.find_module(package.parents[1]) == wheel / pkcs11.FILE
    ran = command("pkcs11", "path")
    assert (ran.status, ran.out) == (ExitStatus.DONE, f"{wheel / pkcs11.FILE}\n")


def test_without_the_wheel_it_is_the_one_of_the_debian_package(package):
    assert pkcs11.find_module(package.parents[1]) == package / pkcs11.FILE


def test_without_either_the_command_says_what_to_install(tmp_path):
    with pytest.raises(NotFound, match="install the wheel or the Debian package"):
        pkcs11.find_module(tmp_path)
