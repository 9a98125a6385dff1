"""Reads the published vectors: those of cryptography-vectors, and ours in tests/vectors."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cryptography_vectors

OURS = Path(__file__).parent.parent / "vectors"


def read(path: str) -> bytes:
    with cryptography_vectors.open_vector_file(path, "rb") as file:
        return file.read()


@dataclass(frozen=True)
class RsaVector:
    modulus: bytes
    exponent: bytes
    prime_p: bytes
    prime_q: bytes
    seed: bytes
    message: bytes
    result: bytes
    """The signature or the ciphertext."""


def rsa(path: str) -> Iterator[RsaVector]:
    """Read the layout of RSA Laboratories: `# Field:`, then lines of hexadecimal digits."""
    fields: dict[str, str] = {}
    name = ""
    for line in [*read(path).decode().splitlines(), "# End:"]:
        if not line.startswith("#"):
            fields[name] = fields.get(name, "") + line.replace(" ", "").strip()
            continue
        if name in {"Signature", "Encryption"}:
            yield RsaVector(*map(_octets, _columns(fields)))
        heading = line.strip("# ").rstrip()
        if heading.endswith(":"):
            name = heading.removesuffix(":").removesuffix(" to be signed")
            fields[name] = ""
        else:
            name = ""


def _columns(fields: dict[str, str]) -> Iterator[str]:
    yield fields["Modulus"]
    yield fields["Public exponent"]
    yield fields["Prime 1"]
    yield fields["Prime 2"]
    yield fields.get("Seed", "")
    yield fields["Message"]
    yield fields.get("Signature") or fields["Encryption"]


def _octets(digits: str) -> bytes:
    return bytes.fromhex(digits.zfill(len(digits) + len(digits) % 2))


def nist_blocks(path: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Read NIST's layout: `[section]`, then blocks of `name = hexadecimal digits`."""
    section, block = "", dict[str, bytes]()
    for line in [*read(path).decode().splitlines(), ""]:
        name, separator, value = line.partition(" = ")
        if line.startswith("["):
            section = line.strip("[]\r\n ")
        elif separator and name != "COUNT" and not line.startswith("#"):
            block[name.strip()] = _octets(value.strip())
        elif not line.strip() and block:
            yield section, block
            block = {}


def text_blocks(path: str) -> Iterator[dict[str, str]]:
    """Read blocks of `name = text`, which begin with a COUNT; the names are in lower case."""
    block = dict[str, str]()
    for line in [*read(path).decode().splitlines(), "COUNT ="]:
        name, separator, value = line.partition("=")
        if not separator or line.startswith("#"):
            continue
        if name.strip() == "COUNT" and block:
            yield block
            block = {}
        block[name.strip().lower()] = value.strip()


def bip340() -> list[dict[str, str]]:
    with (OURS / "bip-0340" / "test-vectors.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def curves() -> dict[str, dict[str, str]]:
    """Return the domain parameters of each curve, in hexadecimal digits."""
    return json.loads((OURS / "curves.json").read_text())


def brainpool_key_pairs() -> dict[str, dict[str, str]]:
    pairs: dict[str, dict[str, str]] = json.loads((OURS / "rfc7027.json").read_text())
    return pairs


def by_key(vectors: Iterator[RsaVector], limit: int = 20) -> list[list[RsaVector]]:
    """Group vectors by their key, at most `limit` a key: making a key is the costly part."""
    groups: dict[bytes, list[RsaVector]] = {}
    for vector in vectors:
        group = groups.setdefault(vector.modulus, [])
        if len(group) < limit:
            group.append(vector)
    return list(groups.values())
