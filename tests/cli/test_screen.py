"""What commands show and write: files, stdout, tables; and how they start and end."""

import json
import os
import re
import stat
import subprocess
import sys
import time

import pytest

from keystead.cli.exit_status import UsageError
from keystead.cli.parallel import in_parallel
from keystead.cli.screen import Screen, printable, progress, write_file
from tests.cli.conftest import trusted
from tests.support.terminal import Terminal


def test_what_is_no_text_is_for_its_owner_only(tmp_path):
    os.umask(0o022)
    write_file(tmp_path / "secret", [b"ab", b"c"])
    write_file(tmp_path / "public.pem", [b"abc"], is_text=True)
    assert (tmp_path / "secret").read_bytes() == b"abc"
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("secret", "public.pem")]
    assert modes == [0o600, 0o644]


def test_a_result_that_breaks_off_leaves_the_file_before_as_it_was(tmp_path):
    def parts():
        yield b"half"
        raise ConnectionError

    (tmp_path / "file").write_bytes(b"before")
    with pytest.raises(ConnectionError):
        write_file(tmp_path / "file", parts())
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"before"


def test_what_is_not_a_regular_file_is_written_and_not_replaced(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE) as reader:
        write_file(fifo, [b"through"])
        assert reader.communicate(timeout=60)[0] == b"through"
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_nothing_that_is_shown_is_a_command_for_the_terminal():
    assert printable("a\033[31mb\x9b\r\u202e") == r"a\x1b[31mb\x9b\r\u202e"
    assert printable("Größe\n") == "Größe\n"


def test_a_value_cannot_look_like_another_row_of_a_table(capsys):
    Screen(is_json=False).rows(
        [{"id": "1", "name": "m1\n3   m3"}, {"id": "2", "name": "m2\tm3"}],
        {"id": "ID", "name": "Name"},
    )
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == 3, shown
    assert r"m1\n3   m3" in shown
    assert "\t" not in shown


def test_each_sentence_of_a_list_has_a_line_of_its_own(capsys):
    Screen().record({"warnings": ["one, and more", "two"], "tags": ["a", "b"]})
    assert capsys.readouterr().out == "warnings  one, and more\n          two\ntags      a, b\n"


def test_the_first_error_ends_work_in_parallel():
    begun = []

    def do(number):
        begun.append(number)
        time.sleep(0.002)
        if number == 10:
            raise UsageError("ten")

    with pytest.raises(UsageError):
        in_parallel("Work", do, range(10_000), connections=2)
    assert len(begun) < 1000
    assert in_parallel("Work", str, range(3), connections=2) == ["0", "1", "2"]


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][;m]")


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_person_sees_how_far_long_work_is_in_colours_if_wanted(
    hsm, at_home, monkeypatch, environment, coloured
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    known = {"KEYSTEAD_USER": "admin", "KEYSTEAD_PASSPHRASE": hsm.passphrases["admin"]}
    terminal = Terminal(at_home, {**known, **environment})
    name = "coloured" if coloured else "plain"
    line = f"keys generate {name} --type EC_P256 --count 12"
    shown = terminal.run([*line.split(), *trusted(hsm)])
    assert "12/12" in shown
    assert re.search(r"\d\.\d/s", shown)
    assert bool(COLOUR.search(shown)) is coloured


def test_progress_of_bytes_and_of_what_has_no_known_end_is_shown(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("Upload", 2_000_000, is_bytes=True) as advance:
        advance(2_000_000)
    with progress("Backup", None, is_bytes=True) as advance:
        advance(3_000_000)
    with progress("Single", 1) as advance:
        advance(1)
    shown = capsys.readouterr().err
    assert "2.0/2.0 MB" in shown
    assert "3.0/? MB" in shown
    assert "Single" not in shown


def test_a_reader_that_has_seen_enough_is_no_error(hsm, keystead):
    keystead("keys", "generate", "piped", "--type", "EC_P256", "--count", "40")
    known = {"KEYSTEAD_USER": "admin", "KEYSTEAD_PASSPHRASE": hsm.passphrases["admin"]}
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "keystead", "keys", "list"]
    ran = subprocess.run(
        command, stdout=write, stderr=subprocess.PIPE, env={**os.environ, **known}, check=False
    )
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_what_was_made_before_an_error_is_shown(keystead):
    keystead("keys", "generate", "batch-25", "--type", "EC_P256")
    ran = keystead("keys", "generate", "batch", "--type", "EC_P256", "--count", "200", "--json")
    assert ran.status == 1
    made = [one["id"] for one in ran.json()]
    assert "batch-25" not in made
    there = [one["id"] for one in keystead("keys", "list", "batch-", "--json").json()]
    assert sorted([*made, "batch-25"]) == sorted(there)
    assert 20 < len(made) < 100


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["keys", "--help"]])
def test_what_asks_no_hsm_loads_no_library_for_it(arguments):
    slow = ["cryptography", "rich", "argcomplete", "tomli_w", "msgspec", "uvloop", "asyncio"]
    program = (
        "import sys, json; from keystead.__main__ import main\n"
        f"try: main({arguments!r})\n"
        "finally: print(); print(json.dumps(sorted(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    loaded = json.loads(ran.stdout.splitlines()[-1])
    assert [name for name in slow if name in loaded] == []
    assert ("urllib3" in loaded) == ("keys" in arguments)


def test_a_list_of_keys_loads_no_cryptography(hsm, keystead):
    assert keystead("keys", "list").status == 0
    program = (
        "import sys, json; from keystead.__main__ import main\n"
        "main(['keys', 'list', '--json']); print()\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    known = {"KEYSTEAD_USER": "admin", "KEYSTEAD_PASSPHRASE": hsm.passphrases["admin"]}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env={**os.environ, **known},
        check=True,
    )
    loaded = json.loads(ran.stdout.splitlines()[-1])
    assert [name for name in ("cryptography", "rich", "asyncio") if name in loaded] == []
