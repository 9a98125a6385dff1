"""Which commands the command line knows."""

import pytest

from keystead.__main__ import COMMANDS, main, parser_of


@pytest.mark.parametrize("arguments", [["serv"], ["--help"]])
def test_whoever_calls_no_command_is_told_of_all(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)

    shown = "".join(capsys.readouterr())
    assert [one.name for one in COMMANDS if one.name not in shown] == []


def test_a_command_is_called_without_making_the_parsers_of_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve, doctor, selftest = COMMANDS[:3]
    with pytest.raises(SystemExit):
        parser_of([serve]).parse_args([doctor.name])

    shown = capsys.readouterr().err
    assert serve.name in shown
    assert selftest.name not in shown


def test_an_option_before_the_command_is_told_where_it_stands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--host", "localhost:8443", "status"])

    assert "--host stands after the command" in capsys.readouterr().err


def test_the_help_says_whose_passphrase_each_option_takes(command):
    shown = " ".join(command("restore", "--help").out.split())
    assert "FILE the user's passphrase: the first line of FILE" in shown
    assert "FILE the passphrase of the backup: the first line of FILE" in shown
