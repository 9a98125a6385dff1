"""examples/bitcoin: another library accepts the signatures, and no others."""

MORE = """
keystead keys generate other --type EC_P256K1 --mechanism ECDSA_Signature --user admin >/dev/null
python -m examples.bitcoin.wallet --key other sign payment.psbt -o other.psbt 2>refusal ||
    tail -1 refusal
python - <<'PROGRAM'
from pathlib import Path
from embit.psbt import PSBT
changed = PSBT.from_string(Path("signed.psbt").read_text().strip())
changed.outputs[0].value += 1
Path("changed.psbt").write_text(changed.to_string())
PROGRAM
python -m examples.bitcoin.payment check changed.psbt 2>refusal || tail -1 refusal
"""


def test_another_library_accepts_the_signatures_of_this_payment_alone(follow):
    lines = follow("bitcoin", MORE).stdout.splitlines()
    first, second = (line for line in lines if line.startswith("bc1"))
    assert (first[:4], second[:4]) == ("bc1q", "bc1p")
    assert lines[-5:-3] == ["p2wpkh is valid", "p2tr is valid"]
    assert lines[-3].startswith("02000000")
    assert lines[-2:] == [
        "ValueError: No input belongs to the key.",
        "ValueError: The signature of input 0 is not valid.",
    ]
