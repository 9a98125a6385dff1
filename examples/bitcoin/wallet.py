"""Signs Bitcoin transactions (PSBT, BIP-174) with keys in the HSM.

`address` shows where a key receives: by P2WPKH and by taproot. `sign` signs the inputs of a PSBT
that belong to the key, by ECDSA and BIP-340.
"""

from argparse import Namespace
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from embit import script
from embit.ec import PublicKey
from embit.networks import NETWORKS
from embit.psbt import PSBT
from embit.transaction import SIGHASH

from examples.connection import hsm, parser
from keystead.client import Client


def public_key(client: Client, key_id: str) -> PublicKey:
    """Return the public key of an HSM key."""
    found = load_pem_public_key(client.public_pem(key_id))
    return PublicKey.parse(found.public_bytes(Encoding.X962, PublicFormat.CompressedPoint))


def taproot(public: PublicKey) -> script.Script:
    """Return the output that the key itself opens: there is no tree of scripts, and no tweak.

    BIP-341 advises to tweak even so, against scripts that another party of a shared key hid. Here
    the key is made in the HSM and shared with nobody.
    """
    return script.Script(b"\x51\x20" + public.xonly())


def show(client: Client, given: Namespace) -> None:
    """Print the addresses of a key."""
    public = public_key(client, given.key)
    for output in (script.p2wpkh(public), taproot(public)):
        print(output.address(NETWORKS[given.network]))


def sign(client: Client, given: Namespace) -> None:
    """Sign the inputs that belong to the key. Raises ValueError if none does."""
    transaction = PSBT.from_string(given.psbt.read_text().strip())
    public = public_key(client, given.key)
    ours = {script.p2wpkh(public).data: sign_segwit, taproot(public).data: sign_taproot}
    inputs = [
        (index, ours[one.utxo.script_pubkey.data])
        for index, one in enumerate(transaction.inputs)
        if one.utxo.script_pubkey.data in ours
    ]
    if not inputs:
        raise ValueError("No input belongs to the key.")
    for index, sign_input in inputs:
        sign_input(client, given.key, transaction, index)
    given.output.write_text(transaction.to_string() + "\n")


def sign_segwit(client: Client, key_id: str, transaction: PSBT, index: int) -> None:
    """Sign by ECDSA (BIP-143); the HSM's s is low, as BIP-146 wants it."""
    signature = client.sign(key_id, "ECDSA", transaction.sighash(index, SIGHASH.ALL))
    public = public_key(client, key_id)
    transaction.inputs[index].partial_sigs[public] = signature + bytes([SIGHASH.ALL])


def sign_taproot(client: Client, key_id: str, transaction: PSBT, index: int) -> None:
    """Sign by the key path of taproot (BIP-341)."""
    signature = client.sign(key_id, "BIP340", transaction.sighash(index, SIGHASH.DEFAULT))
    transaction.inputs[index].final_scriptwitness = script.Witness([signature])


def main() -> None:
    """Show addresses, or sign."""
    top = parser(__doc__)
    top.add_argument("--key", required=True, help="the key in the HSM")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    showing = commands.add_parser("address", help="show the addresses of a key")
    showing.set_defaults(run=show)
    showing.add_argument("--network", choices=NETWORKS, default="main")
    signing = commands.add_parser("sign", help="sign a PSBT")
    signing.set_defaults(run=sign)
    signing.add_argument("psbt", type=Path, metavar="PSBT")
    signing.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    given = top.parse_args()
    with hsm(given) as client:
        given.run(client, given)


if __name__ == "__main__":
    main()
