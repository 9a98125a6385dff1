"""Each process loads only what it uses: memory, start and attack surface depend on it."""

import subprocess
import sys

import pytest

from keystead.imports import OPTIONAL, USED_BY_NO_PROCESS

PROCESSES = (
    "server_commands",
    "processes.platform.process",
    "processes.core.process",
    "processes.edge.process",
)
HELD_BY_THE_CORE = ("cryptography", "Crypto", "_btclib_libsecp256k1", "keystead.algorithms")


def loaded_by(module):
    code = f"import sys, keystead.{module}; print(*sys.modules)"
    command = [sys.executable, "-I", "-c", code]
    return subprocess.check_output(command, text=True).split()  # noqa: S603 - fixed code


def loaded_at_the_start_of(kind, *options):
    """What a process has loaded when it reads its options, of which one is missing here."""
    code = (
        "import runpy, sys\n"
        f"sys.argv[1:] = {options}\n"
        f"try: runpy.run_module('keystead.processes.{kind}', run_name='__main__')\n"
        "except Exception as error: print(type(error).__name__, *sys.modules)"
    )
    command = [sys.executable, "-I", "-c", code]
    error, *loaded = subprocess.check_output(command, text=True).split()  # noqa: S603 - fixed code
    assert error == "ValidationError"
    return loaded


@pytest.mark.parametrize(
    "module", ["server_commands", "processes.platform.process", "processes.edge.process"]
)
def test_only_the_core_loads_cryptography(module):
    loaded = loaded_by(module)
    assert f"keystead.{module}" in loaded
    assert not [name for name in loaded if name.startswith(HELD_BY_THE_CORE)]


def test_a_supervisor_loads_nothing_that_only_doctor_needs():
    assert not {"keystead.etcd.client", "h2", "hpack"} & set(loaded_by("server_commands"))


def test_the_core_loads_pycryptodome_without_cffi():
    loaded = set(loaded_by("processes.core.process"))
    assert "Crypto.PublicKey.RSA" in loaded
    assert not {"cffi", "pycparser"} & loaded


@pytest.mark.parametrize("process", ["core", "platform", "edge"])
def test_loading_starts_no_program(process):
    code = f"""import sys
def refuse(event, _):
    assert event not in {{"subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec"}}, event
sys.addaudithook(refuse)
import keystead.processes.{process}.process"""
    subprocess.run([sys.executable, "-I", "-c", code], check=True)  # noqa: S603 - fixed code


@pytest.mark.parametrize("module", PROCESSES)
def test_no_process_loads_the_modules_for_copies_of_files(module):
    assert not {"shutil", "tempfile", "bz2", "lzma"} & set(loaded_by(module))


@pytest.mark.parametrize("module", ["platform", "core", "edge"])
def test_no_process_but_the_supervisor_reads_a_command_line_of_people(module):
    assert not {"argparse", "gettext"} & set(loaded_by(f"processes.{module}.process"))


def test_the_core_knows_no_names_of_characters_for_html():
    assert "html.entities" not in loaded_by("processes.core.process")


OPENSSL = {"ssl", "_ssl", "_hashlib"}


def test_a_supervisor_loads_no_openssl():
    assert not OPENSSL & set(loaded_by("server_commands"))


def test_the_platform_loads_openssl_for_syslog_over_tls_alone():
    assert not OPENSSL & set(loaded_at_the_start_of("platform"))
    assert set(loaded_at_the_start_of("platform", "--tls")) >= OPENSSL


@pytest.mark.parametrize("kind", ["platform", "core", "edge"])
def test_no_process_loads_what_reads_pythons_code_or_happens_to_be_installed(kind):
    unused = {"ast", *OPTIONAL} & {*USED_BY_NO_PROCESS, *OPTIONAL}
    assert not unused & set(loaded_at_the_start_of(kind))


@pytest.mark.parametrize("kind", ["platform", "edge"])
def test_only_the_core_loads_what_describes_types(kind):
    described = {"msgspec.inspect", "msgspec._json_schema"}
    assert not described & set(loaded_at_the_start_of(kind))
    assert set(loaded_at_the_start_of("core")) >= described


def test_a_supervisor_loads_nothing_for_code_types_and_tls():
    unused = {
        *USED_BY_NO_PROCESS,
        *OPTIONAL,
        "msgspec.inspect",
        "msgspec._json_schema",
        "asyncio.sslproto",
    }
    assert not unused & set(loaded_by("server_commands"))


def test_the_platform_loads_asyncios_tls_for_syslog_over_tls_alone():
    assert "asyncio.sslproto" not in loaded_at_the_start_of("platform")
    assert "asyncio.sslproto" in loaded_at_the_start_of("platform", "--tls")


PLAIN_DATACLASSES = """
import dataclasses, sys
import keystead.processes.core.process
for name, module in sys.modules.items():
    if name.startswith("keystead."):
        for one in vars(module).values():
            if isinstance(one, type) and one.__module__ == name and dataclasses.is_dataclass(one):
                fields = dataclasses.fields(one)
                is_shown = one.__dataclass_params__.repr and all(field.repr for field in fields)
                if is_shown and all(field.compare for field in fields):
                    print(one.__qualname__)
"""
"""Prints the dataclasses of the core that show and compare all their fields."""


def test_the_core_makes_no_dataclass_where_a_struct_would_do():
    """Each takes Python half a millisecond at each start, and a Struct a fiftieth of that."""
    command = [sys.executable, "-I", "-c", PLAIN_DATACLASSES]
    found = subprocess.check_output(command, text=True).split()  # noqa: S603 - fixed code
    # `replace` changes these, and mypy checks its arguments for dataclasses only.
    assert set(found) <= {"Approval", "CoreContext", "Failures", "KeySelection", "StoreDiagnosis"}
