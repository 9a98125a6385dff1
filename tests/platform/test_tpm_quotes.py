"""Quotes of a TPM in software, and the key that signs them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from keystead.client.attestations import AttestationInvalid
from keystead.client.event_log import replay
from keystead.client.quotes import pem_of, verify_quote
from keystead.platform.pcrs import PcrSelection
from keystead.platform.tpm_failed import TpmFailed
from tests.support.quotes import answer_of, event_log
from tests.support.tpm import Swtpm, swtpm

pytest.importorskip("tpm2_pytss", exc_type=ImportError, reason="tpm2-pytss is not installed")

from tpm2_pytss import ESYS_TR

from keystead.platform.tpm_quotes import TpmQuotes

__all__ = ["swtpm"]

NONCE = bytes(range(32))
MEASURED = ((0, b"firmware"), (4, b"image"), (11, b"kernel"), (11, b"initramfs"))
PCRS = PcrSelection.parse("sha256:0,1,2,3,4,5,6,7,11")


def quotes_of(tpm: Swtpm, log: Path | str = "/dev/null", pcrs: PcrSelection = PCRS) -> TpmQuotes:
    return TpmQuotes(tpm.tcti, pcrs, str(log))


def boot(tpm: Swtpm, *measured: tuple[int, bytes]) -> None:
    with tpm.esys() as esys:
        for register, text in measured:
            esys.pcr_event(ESYS_TR(register), text)


def test_what_was_booted_is_proven_with_its_log(tmp_path: Path, swtpm: Swtpm) -> None:
    boot(swtpm, *MEASURED)
    log = tmp_path / "log"
    log.write_bytes(event_log(*MEASURED))
    quotes = quotes_of(swtpm, log)
    answer, key = answer_of(quotes.quote(NONCE)), pem_of(quotes.public_der)
    assert verify_quote(answer, key_pem=key, nonce=NONCE)["events"] == 4
    with pytest.raises(AttestationInvalid, match="another nonce"):
        verify_quote(answer, key_pem=key, nonce=NONCE[1:])
    boot(swtpm, (11, b"something else"))
    with pytest.raises(AttestationInvalid, match="value of PCR 11"):
        verify_quote(answer_of(quotes.quote(NONCE)), key_pem=key, nonce=NONCE)
    quotes.close()


def test_the_key_is_the_same_after_power_off_and_after_a_clear(swtpm: Swtpm) -> None:
    keys = set()
    for between in (swtpm.restart, swtpm.clear, swtpm.restart):
        quotes = quotes_of(swtpm)
        keys.add(quotes.public_der)
        quotes.close()
        between()
    assert len(keys) == 1


def test_another_tpm_has_another_key_and_other_registers_another_quote(swtpm: Swtpm) -> None:
    few = quotes_of(swtpm, pcrs=PcrSelection.parse("sha384:7"))
    found = few.quote(NONCE[:8])
    assert (found.bank, set(found.pcr), found.event_log) == ("sha384", {"7"}, b"")
    key = pem_of(few.public_der)
    few.close()
    assert verify_quote(answer_of(found), key_pem=key, nonce=NONCE[:8])["pcr"] == {"7": "00" * 48}


def test_a_register_that_the_tpm_does_not_keep_is_refused(swtpm: Swtpm) -> None:
    with pytest.raises(TpmFailed, match="keeps no PCR"):
        quotes_of(swtpm, pcrs=PcrSelection("sha3_256", (7,)))


def test_a_password_of_the_endorsement_hierarchy_is_named(swtpm: Swtpm) -> None:
    with swtpm.esys() as esys:
        esys.hierarchy_change_auth(ESYS_TR.ENDORSEMENT, b"password")
    with pytest.raises(TpmFailed, match="endorsement hierarchy has a password"):
        quotes_of(swtpm)


def test_a_tpm_that_is_gone_is_an_error_and_not_an_old_quote(swtpm: Swtpm) -> None:
    quotes = quotes_of(swtpm)
    swtpm.stop()
    with pytest.raises(TpmFailed):
        quotes.quote(NONCE)
    quotes.close()


@pytest.mark.skipif(shutil.which("tpm2_checkquote") is None, reason="no tpm2-tools")
def test_the_tpm2_tools_read_a_log_alike(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(event_log(*MEASURED))
    reading = ["tpm2_eventlog", str(tmp_path / "log")]
    ran = subprocess.run(reading, check=True, capture_output=True, text=True)  # noqa: S603
    found = dict(re.findall(r"^    (\d+) +: 0x([0-9a-f]{64})$", ran.stdout, re.MULTILINE))
    replayed = replay(event_log(*MEASURED), "sha256").registers
    assert found == {str(register): value.hex() for register, value in replayed.items()}


@pytest.mark.skipif(shutil.which("tpm2_checkquote") is None, reason="no tpm2-tools")
def test_the_tpm2_tools_verify_a_quote_too(tmp_path: Path, swtpm: Swtpm) -> None:
    boot(swtpm, (7, b"keys"))
    quotes = quotes_of(swtpm)
    found = quotes.quote(NONCE)
    for name, content in {
        "quote": found.quote,
        "signature": found.signature,
        "key": pem_of(quotes.public_der),
    }.items():
        (tmp_path / name).write_bytes(content)
    quotes.close()
    checking = [
        *("tpm2_checkquote", "-u", "key", "-m", "quote", "-s", "signature", "-g", "sha256"),
        *("-q", NONCE.hex()),
    ]
    subprocess.run(checking, cwd=tmp_path, check=True, capture_output=True)  # noqa: S603
    checking[-1] = NONCE[::-1].hex()
    assert subprocess.run(checking, cwd=tmp_path, check=False, capture_output=True).returncode  # noqa: S603
