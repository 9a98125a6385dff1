#!/usr/bin/env bash
# embit makes another seed than all other libraries of a BIP-39 passphrase with an accent.
#
# BIP-39 has the mnemonic and the passphrase in UTF-8 and in the normal form NFKD, because an "é" is one character or two, as the keyboard has it.
# embit hashes what it gets. With the two-character form the seeds agree; most keyboards and most JSON have the one-character form, and then
# embit's wallet is another one, without an error. Published test vectors have the passphrase "TREZOR", and show nothing.
# Normalize the passphrase to NFKD before embit gets it. Keystead's import by `mnemonic` normalizes.
#
# Seen with embit 0.8.0, mnemonic 0.21, bip-utils 2.12.3, hdwallet 3.6.1 and eth-account 0.14.0 from PyPI on 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -q install embit==0.8.0 mnemonic==0.21 bip-utils==2.12.3 hdwallet==3.6.1 eth-account==0.14.0
"$folder/venv/bin/pip" list 2> /dev/null | grep -iE '^(embit|mnemonic|bip.utils|hdwallet|eth-account) '

"$folder/venv/bin/python" - <<'PROGRAM' | tee "$folder/seen"
import hashlib
from unicodedata import normalize

from bip_utils import Bip39SeedGenerator
from embit import bip39
from eth_account.hdaccount import seed_from_mnemonic
from hdwallet.seeds import BIP39Seed
from mnemonic import Mnemonic

WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
PASSPHRASES = {"TREZOR": "TREZOR", "é, one character": "\u00e9", "é, two characters": "e\u0301", "full-width x": "\uff58"}


def by_the_standard(passphrase):
    salt = b"mnemonic" + normalize("NFKD", passphrase).encode()
    return hashlib.pbkdf2_hmac("sha512", WORDS.encode(), salt, 2048)


for name, passphrase in PASSPHRASES.items():
    seeds = {
        "mnemonic": Mnemonic.to_seed(WORDS, passphrase),
        "bip-utils": Bip39SeedGenerator(WORDS).Generate(passphrase),
        "hdwallet": bytes.fromhex(BIP39Seed.from_mnemonic(WORDS, passphrase=passphrase)),
        "eth-account": seed_from_mnemonic(WORDS, passphrase),
        "embit": bip39.mnemonic_to_seed(WORDS, passphrase),
    }
    same = [library for library, seed in seeds.items() if seed == by_the_standard(passphrase)]
    others = [library for library in seeds if library not in same]
    print(f"{name}: as BIP-39 says: {', '.join(same)}; another seed: {', '.join(others) or 'none'}")
PROGRAM
diff - "$folder/seen" <<'EXPECTED'
TREZOR: as BIP-39 says: mnemonic, bip-utils, hdwallet, eth-account, embit; another seed: none
é, one character: as BIP-39 says: mnemonic, bip-utils, hdwallet, eth-account; another seed: embit
é, two characters: as BIP-39 says: mnemonic, bip-utils, hdwallet, eth-account, embit; another seed: none
full-width x: as BIP-39 says: mnemonic, bip-utils, hdwallet, eth-account; another seed: embit
EXPECTED
