"""A key of every type in a core, and what tests ask of it through the API."""

from typing import Any, Final

from keystead import algorithms
from keystead.algorithms import Algorithm, Mechanism, Use
from tests.support.core import ADMIN, Core, b64

RSA_BITS: Final = 2048
AES_KEYS: Final = {128: bytes(range(16)), 192: bytes(range(24)), 256: bytes(range(32))}
"""Of the keys AES-128, AES-192 and AES-256."""


def pairs(use: Use) -> list[tuple[Algorithm, Mechanism]]:
    """Return every key type that has a public half, with its mechanisms for this use."""
    return [
        (row, one)
        for row in algorithms.ALL
        for one in row.mechanisms
        if one.use is use and row.name != "Generic"
    ]


def names_of(row: Algorithm) -> set[str]:
    """Return the names of all mechanisms of a key type."""
    return {mechanism.name for mechanism in row.mechanisms}


def name_of(value: object) -> str:
    """Return what a parametrised test is called for a row."""
    return str(getattr(value, "name", value))


async def add_every_key(core: Core) -> None:
    """Make a key of each type that may do all its type can, named as its type."""
    for row in algorithms.ALL:
        if row.name != "Generic":
            await core.generate(row.name, row.name, *sorted(names_of(row)), length=RSA_BITS)
    for bits, key in AES_KEYS.items():
        await import_generic(core, f"AES-{bits}", key)


async def import_generic(core: Core, key_id: str, key: bytes) -> None:
    """Bring in a Generic key that may do all that there is."""
    wanted = {
        "type": "Generic",
        "mechanisms": sorted(names_of(algorithms.BY_NAME["Generic"])),
        "private": {"data": b64(key)},
    }
    answer = await core.request("PUT", f"/keys/{key_id}", user=ADMIN, json=wanted)
    assert answer.status == 204, answer


async def show(core: Core, key_id: str) -> dict[str, Any]:
    """Return what an Administrator sees of a key."""
    return (await core.request("GET", f"/keys/{key_id}", user=ADMIN)).json()
