"""An age plugin: decrypts with an X25519 key in the HSM (https://c2sp.org/age-plugin).

`plugin.py KEY` prints the recipient and the identity of a key. age itself starts it with
`--age-plugin=identity-v1` and speaks to it on standard input and output.
"""

import base64
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from embit import bech32

from examples.connection import hsm, parser
from keystead.client import Client, ClientError
from keystead.client.client import to_base64

RECIPIENT: Final = "age"
IDENTITY: Final = "age-plugin-keystead-"
X25519: Final = "X25519"
INFO: Final = b"age-encryption.org/v1/X25519"
LINE: Final = 64
"""The columns of a body; a shorter line ends it."""
SHORT: Final = 45
"""The bytes whose base64 is one line that ends a body."""


class Stanza(NamedTuple):
    """One message of the protocol, or one recipient of a file."""

    words: list[str]
    body: bytes


def read_stanzas() -> Iterator[Stanza]:
    """Yield what age says, up to `done`."""
    for line in sys.stdin:
        words = line.split()[1:]
        body = ""
        for part in sys.stdin:
            body += part.strip()
            if len(part.strip()) < LINE:
                break
        if words == ["done"]:
            return
        yield Stanza(words, from_base64(body))


def say(*words: str, body: bytes = b"") -> None:
    """Send one message; its body fits a line."""
    text = base64.b64encode(body).decode().rstrip("=")
    print("->", *words)
    print(text, flush=True)


def ask(*words: str, body: bytes) -> None:
    """Send one message and wait for age to have taken it."""
    say(*words, body=body)
    next(read_stanzas())


def from_base64(text: str) -> bytes:
    """Return the bytes of base64 without padding, as age has it."""
    return base64.b64decode(text + "=" * (-len(text) % 4))


def encoded(prefix: str, content: bytes) -> str:
    """Return Bech32."""
    return bech32.bech32_encode(bech32.Encoding.BECH32, prefix, bech32.convertbits(content, 8, 5))


def key_of(identity: str) -> str:
    """Return the ID of the HSM key. Raises ValueError if it is no identity of this plugin."""
    _, prefix, data = bech32.bech32_decode(identity)
    if prefix != IDENTITY:
        raise ValueError("This is no identity of age-plugin-keystead.")
    return bytes(bech32.convertbits(data, 5, 8, pad=False)).decode()


def public_bytes(client: Client, key_id: str) -> bytes:
    """Return the 32 bytes of an X25519 public key."""
    return load_pem_public_key(client.public_pem(key_id)).public_bytes_raw()


def file_key(client: Client, key_id: str, stanza: Stanza) -> bytes:
    """Return the key of a file. Raises InvalidTag if the file is for another recipient.

    The HSM derives the wrapping key: the secret of X25519 does not leave it.
    """
    share = from_base64(stanza.words[1])
    kdf = {
        "hkdf": "SHA256",
        "length": 32,
        "salt": to_base64(share + public_bytes(client, key_id)),
        "info": to_base64(INFO),
    }
    content = {"mode": "ECDH", "publicKey": to_base64(share), "kdf": kdf}
    wrapping_key = base64.b64decode(client.use(key_id, "derive", content)["secret"])
    return ChaCha20Poly1305(wrapping_key).decrypt(bytes(12), stanza.body, None)


def unwrap(client: Client) -> None:
    """Answer age with the file key, if one of the identities opens one of the stanzas."""
    identities, found = [], []
    for said in read_stanzas():
        match said.words:
            case ["add-identity", identity]:
                identities.append(key_of(identity))
            case ["recipient-stanza", "0", *words] if words[:1] == [X25519]:
                found.append(Stanza(words, said.body))
            case _:
                continue  # Another type of recipient, or words to be ignored.
    try:
        opened = next(opening(client, identities, found), None)
    except ClientError as error:
        ask("error", "internal", body=error.message.encode()[:SHORT])
        opened = None
    if opened is not None:
        ask("file-key", "0", body=opened)
    say("done")


def opening(client: Client, identities: list[str], stanzas: list[Stanza]) -> Iterator[bytes]:
    """Yield the file keys that the identities open."""
    for key_id in identities:
        for stanza in stanzas:
            try:
                yield file_key(client, key_id, stanza)
            except InvalidTag:
                continue


def main() -> None:
    """Do what age asks for, or show a key."""
    top = parser(__doc__)
    top.add_argument("--age-plugin", choices=["identity-v1"])
    top.add_argument("key", nargs="?", metavar="KEY")
    given = top.parse_args()
    with hsm(given) as client:
        if given.age_plugin:
            unwrap(client)
            return
        print("# recipient:", encoded(RECIPIENT, public_bytes(client, given.key)))
        print(encoded(IDENTITY, given.key.encode()).upper())


if __name__ == "__main__":
    main()
