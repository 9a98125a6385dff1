"""Ethereum transactions (EIP-1559) and messages (EIP-191, EIP-712) for a key in the HSM.

`digest` writes what the HSM has to sign, `finish` puts its signature into the form that Ethereum
wants, `signer` tells from the finished form alone which address signed. This program never talks to
the HSM and sees no passphrase: `keystead keys sign` signs between the two steps.
"""

import base64
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from eth_account import Account
from eth_account.messages import SignableMessage, encode_defunct, encode_typed_data
from eth_account.typed_transactions import TypedTransaction
from eth_keys.datatypes import PublicKey, Signature
from eth_utils import keccak

PUBLIC_KEY_INFO: Final = bytes.fromhex("3056301006072a8648ce3d020106052b8104000a03420004")
"""What DER has before the two coordinates of a point on secp256k1."""

COORDINATE_BYTES: Final = 32
RECOVERY_IDS: Final = (0, 1)
MESSAGE_V: Final = 27
"""Added to the recovery ID in the signature of a message."""


def public_key(pem: Path) -> PublicKey:
    """Return the public key of a file. Raises ValueError if it is not on secp256k1."""
    der = base64.b64decode("".join(pem.read_text().splitlines()[1:-1]))
    if not der.startswith(PUBLIC_KEY_INFO):
        raise ValueError("The key is not on the curve secp256k1.")
    return PublicKey(der[len(PUBLIC_KEY_INFO) :])


def with_recovery_id(signature: bytes, digest: bytes, public: PublicKey) -> Signature:
    """Return r, s and the recovery ID. Raises ValueError if the key did not sign the digest."""
    r = int.from_bytes(signature[:COORDINATE_BYTES])
    s = int.from_bytes(signature[COORDINATE_BYTES:])
    for recovery_id in RECOVERY_IDS:
        found = Signature(vrs=(recovery_id, r, s))
        if found.recover_public_key_from_msg_hash(digest) == public:
            return found
    raise ValueError("The signature is not of this key over this digest.")


def message(file: Path) -> SignableMessage:
    """Return the text of a file as a message (EIP-191, version 0x45)."""
    return encode_defunct(text=file.read_text())


def typed_data(file: Path) -> SignableMessage:
    """Return the JSON of a file as typed data (EIP-712)."""
    return encode_typed_data(full_message=json.loads(file.read_text()))


def message_digest(signable: SignableMessage) -> bytes:
    """Return what is signed of a message (EIP-191)."""
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def transaction_digest(file: Path) -> bytes:
    """Return what is signed of a transaction (EIP-1559)."""
    return TypedTransaction.from_dict(json.loads(file.read_text())).hash()


def finished_transaction(file: Path, signature: Signature) -> bytes:
    """Return the transaction with its signature, ready to be sent."""
    signed = {**json.loads(file.read_text()), **dict(zip("vrs", signature.vrs, strict=True))}
    return TypedTransaction.from_dict(signed).encode()


def finished_message(_: Path, signature: Signature) -> bytes:
    """Return the 65 bytes of a message's signature."""
    recovery_id, r, s = signature.vrs
    return (
        r.to_bytes(COORDINATE_BYTES)
        + s.to_bytes(COORDINATE_BYTES)
        + bytes([MESSAGE_V + recovery_id])
    )


class Kind(NamedTuple):
    """What can be signed: its digest, its finished form, and the address that signed."""

    digest: Callable[[Path], bytes]
    finish: Callable[[Path, Signature], bytes]
    signer: Callable[[Path, str], str]


KINDS: Final = {
    "transaction": Kind(
        transaction_digest,
        finished_transaction,
        lambda _, signed: Account.recover_transaction(signed),
    ),
    "message": Kind(
        lambda file: message_digest(message(file)),
        finished_message,
        lambda file, signed: Account.recover_message(message(file), signature=signed),
    ),
    "typed-data": Kind(
        lambda file: message_digest(typed_data(file)),
        finished_message,
        lambda file, signed: Account.recover_message(typed_data(file), signature=signed),
    ),
}


def show_address(given: Namespace) -> None:
    """Print the address of a key."""
    print(public_key(given.key).to_checksum_address())


def write_digest(given: Namespace) -> None:
    """Write the digest that the HSM has to sign."""
    given.output.write_bytes(KINDS[given.kind].digest(given.file))


def finish(given: Namespace) -> None:
    """Write the transaction with its signature, or the signature of a message, in hexadecimal."""
    kind = KINDS[given.kind]
    raw, public = given.signature.read_bytes(), public_key(given.key)
    signature = with_recovery_id(raw, kind.digest(given.file), public)
    given.output.write_text(f"0x{kind.finish(given.file, signature).hex()}\n")


def show_signer(given: Namespace) -> None:
    """Print the address that signed."""
    print(KINDS[given.kind].signer(given.file, given.signed.read_text().strip()))


def main() -> None:
    """Show addresses, prepare, finish or check."""
    top = ArgumentParser(description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, run, takes, writes in (
        ("address", show_address, ("key",), False),
        ("digest", write_digest, ("kind", "file"), True),
        ("finish", finish, ("kind", "file", "signature", "key"), True),
        ("signer", show_signer, ("kind", "file", "signed"), False),
    ):
        command = commands.add_parser(name, help=run.__doc__)
        command.set_defaults(run=run)
        for argument in takes:
            command.add_argument(
                argument, **({"choices": KINDS} if argument == "kind" else {"type": Path})
            )
        if writes:
            command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    given = top.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
