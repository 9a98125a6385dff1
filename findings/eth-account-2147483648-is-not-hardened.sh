#!/usr/bin/env bash
# eth-account derives keys at steps from 2147483648 on that no other BIP-32 library has.
#
# BIP-32 numbers the hardened keys from 2^31 on: 0' is the key 2147483648. Some programs write paths with these plain numbers, and four
# libraries read m/2147483648 as m/0'. eth-account decides by the apostrophe alone: it puts the number 2147483648 into the formula of keys that are
# not hardened. No path of another library leads to that key, so whoever recovers the wallet elsewhere finds it empty.
# Write hardened steps with the apostrophe, and refuse plain numbers of 2^31 and above, as Keystead does.
#
# Seen with eth-account 0.14.0, bip32 5.0.0, bip-utils 2.12.3, embit 0.8.0 and hdwallet 3.6.1 from PyPI on 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -q install \
    eth-account==0.14.0 bip32==5.0.0 bip-utils==2.12.3 embit==0.8.0 hdwallet==3.6.1
"$folder/venv/bin/pip" list 2> /dev/null | grep -iE '^(eth-account|bip32|bip.utils|embit|hdwallet) '

"$folder/venv/bin/python" - <<'PROGRAM' | tee "$folder/seen"
from bip32 import BIP32
from bip_utils import Bip32Slip10Secp256k1
from embit.bip32 import HDKey
from eth_account.hdaccount import key_from_seed
from hdwallet.derivations import CustomDerivation
from hdwallet.eccs import SLIP10Secp256k1ECC
from hdwallet.hds import BIP32HD

SEED = bytes(range(16))  # Of BIP-32's test vector 1.
VECTOR = "edb2e14f9ee77d26dd93b4ecede8d16ed408ce149b6cd80b0715a2d911a0afea"  # m/0' of that vector.


def by_hdwallet(path):
    wallet = BIP32HD(ecc=SLIP10Secp256k1ECC)
    wallet.from_seed(SEED.hex())
    wallet.from_derivation(CustomDerivation(path=path))
    return wallet.private_key()


LIBRARIES = {
    "bip32": lambda path: BIP32.from_seed(SEED).get_privkey_from_path(path).hex(),
    "bip-utils": lambda path: Bip32Slip10Secp256k1.FromSeedAndPath(SEED, path).PrivateKey().Raw().ToHex(),
    "embit": lambda path: HDKey.from_seed(SEED).derive(path).key.serialize().hex(),
    "hdwallet": by_hdwallet,
    "eth-account": lambda path: key_from_seed(SEED, path).hex(),
}
for path in ("m/0'", "m/2147483648"):
    keys = {name: derive(path) for name, derive in LIBRARIES.items()}
    print(f"{path} is m/0' in:", ", ".join(name for name, key in keys.items() if key == VECTOR))
PROGRAM
diff - "$folder/seen" <<'EXPECTED'
m/0' is m/0' in: bip32, bip-utils, embit, hdwallet, eth-account
m/2147483648 is m/0' in: bip32, bip-utils, embit, hdwallet
EXPECTED
