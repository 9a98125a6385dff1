"""A server attests the machine with a TPM, and someone else verifies that offline."""

from pathlib import Path

import pytest

from keystead.__main__ import main
from keystead.cli.exit_status import ExitStatus
from keystead.errors import StartRefused
from keystead.journal.log import Log
from keystead.processes.platform.quotes import quotes_if_any
from keystead.processes.platform.settings import AttestationSettings
from tests.support.quotes import event_log
from tests.support.server import Server, running_server
from tests.support.tpm import Swtpm, as_device, swtpm

__all__ = ["swtpm"]

NONCE = "MDEyMzQ1Njc4OWFiY2RlZg=="


def attestation(server: Server, *what: object) -> int:
    place = ("--host", f"{server.host}:{server.port}", "--insecure", "--user", "admin")
    return main(["attestation", *map(str, what), *place])


def test_a_server_attests_what_was_booted(
    tmp_path: Path, swtpm: Swtpm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").write_bytes(event_log())
    key, quote = tmp_path / "key.pem", tmp_path / "quote.json"
    with as_device(swtpm) as device:
        config = f'[attestation]\ntpm = "{device}"\npcrs = "sha256:0,7,11"\nevent_log = "log"'
        with running_server(directory=tmp_path, config=config) as server:
            server.provision()
            monkeypatch.setenv("KEYSTEAD_PASSPHRASE", "adminPassphrase")
            assert attestation(server, "tpm-key", "-o", key) == 0
            assert attestation(server, "quote", "--nonce", NONCE, "-o", quote) == 0
            server.stop()
    image = tmp_path / "contents.json"
    verify = ["attestation", "verify", str(quote), "--tpm-key", str(key), "--nonce"]
    image.write_text('{"measurements": {"pcr11": "%s"}}' % ("00" * 32))
    assert main([*verify, NONCE, "--measurements", str(image)]) == 0
    image.write_text('{"measurements": {"pcr11": "%s"}}' % ("11" * 32))
    assert main([*verify, NONCE, "--measurements", str(image)]) == 1
    assert main([*verify, "AAAAAAAAAAA="]) == 1


def test_a_server_that_needs_its_tpm_does_not_start_without_it() -> None:
    wanted = AttestationSettings("/dev/no-tpm", "sha256:7", "/dev/null")
    log = Log("platform", clock=lambda: 0, write=lambda _: None)
    with pytest.raises(StartRefused, match=r"attestation\.tpm"):
        quotes_if_any(wanted, log)
    assert quotes_if_any(None, log) is None


def test_a_server_without_a_tpm_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = '[attestation]\ntpm = "/dev/no-tpm"\nis_optional = true'
    with running_server(directory=tmp_path, config=config) as server:
        assert "the machine cannot be attested" in server.log()
        server.provision()
        monkeypatch.setenv("KEYSTEAD_PASSPHRASE", "adminPassphrase")
        assert attestation(server, "tpm-key") == ExitStatus.WRONG_STATE
        assert attestation(server, "quote", "--nonce", NONCE) == ExitStatus.WRONG_STATE
    said = capsys.readouterr().err
    assert said.count("no TPM for attestation: [attestation] in its configuration file") == 2
