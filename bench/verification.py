"""How fast `keystead.journal_verify` follows an exported journal, on one core."""

import io
import time

from bench.result import Row, at_least
from bench.run import Findings, Run
from keystead import journal_verify
from keystead.journal.audit.entries import Chain, JournalEntry, origin
from keystead.sealing.journal_keys import JournalKeys

_ENTRIES = 300_000
_ENTRIES_OF_CHECKPOINT = 1_000
_TIME = "2026-11-28T12:00:00.000Z"
_WANTED = 200_000


def measure_verification(run: Run) -> Findings:
    """Return how many entries are verified in a second of CPU time."""
    keys = JournalKeys.new()
    journal = _journal(keys)
    key = journal_verify.load_key(keys.public_pem)
    rates = []
    for _ in range(run.rounds):
        began = time.process_time()
        report = journal_verify.verify(journal_verify.lines_of(io.BytesIO(journal)), key)
        rates.append(report.entries / (time.process_time() - began))
        if not report.is_intact:
            raise RuntimeError("an intact journal was refused")
    return Findings([Row("journal, entries verified on one core", "/s", rates, at_least(_WANTED))])


def _journal(keys: JournalKeys) -> bytes:
    """Return a journal of uses of keys, as the HSM exports it."""
    chain = Chain(0, origin(keys.public_raw))
    use = JournalEntry(_TIME, "sign", "operator", "192.0.2.1", key="release", count=17)
    use.mode, use.outcome = "ECDSA", "permitted"
    lines = []
    for number in range(1, _ENTRIES + 1):
        lines.append(chain.line(use))
        if number % _ENTRIES_OF_CHECKPOINT == 0:
            lines.append(chain.checkpoint(_TIME, keys.sign))
    return b"".join(lines)
