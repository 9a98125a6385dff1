"""Stands in for a wallet without keys: makes a payment to be signed, and checks the signed one.

A real one comes from Bitcoin Core, Sparrow or the like, and goes back there.
"""

import sys
from pathlib import Path

from embit import script
from embit.ec import PublicKey, SchnorrSig, Signature
from embit.finalizer import finalize_psbt
from embit.psbt import PSBT
from embit.transaction import SIGHASH, Transaction, TransactionInput, TransactionOutput

VALUE, FEE = 100_000, 500


def make(file: str, *addresses: str) -> None:
    """Write a PSBT that spends an output of each address, which some earlier transaction had."""
    owned = [script.address_to_scriptpubkey(one) for one in addresses]
    inputs = [TransactionInput(bytes([number + 1]) * 32, 0) for number in range(len(owned))]
    paid = TransactionOutput(VALUE * len(owned) - FEE, owned[0])
    unsigned = PSBT(Transaction(vin=inputs, vout=[paid]))
    for one, output in zip(unsigned.inputs, owned, strict=True):
        one.witness_utxo = TransactionOutput(VALUE, output)
    Path(file).write_text(unsigned.to_string() + "\n")


def check(file: str) -> None:
    """Print the types of the inputs that are signed. Raises ValueError if one is not valid."""
    signed = PSBT.from_string(Path(file).read_text().strip())
    transaction = finalize_psbt(signed)
    for index, one in enumerate(transaction.vin):
        output = signed.inputs[index].utxo.script_pubkey
        if not is_valid(signed, index, output, one.witness.items):
            raise ValueError(f"The signature of input {index} is not valid.")
        print(output.script_type(), "is valid")
    print(transaction.serialize().hex())


def is_valid(signed: PSBT, index: int, output: script.Script, witness: list[bytes]) -> bool:
    """Return whether the witness of an input opens its output."""
    if output.script_type() == "p2tr":
        key = PublicKey.from_xonly(output.data[2:])
        digest = signed.sighash(index, SIGHASH.DEFAULT)
        return key.schnorr_verify(SchnorrSig.parse(witness[0]), digest)
    signature, key = witness[0], PublicKey.parse(witness[1])
    digest = signed.sighash(index, signature[-1])
    is_owner = script.p2wpkh(key) == output
    return is_owner and key.verify(Signature.parse(signature[:-1]), digest)


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](*sys.argv[2:])
