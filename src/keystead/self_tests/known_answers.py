"""Known answers: what other implementations made of a fixed key of each type.

A row that verifies, decrypts or derives has its answer here. What signs or encrypts has random
parts: its results are checked by the row that has an answer (`round_trips`).
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from keystead import algorithms
from keystead.algorithms import USES, VERIFY, PrivateKey
from keystead.errors import SelfTestFailed
from keystead.model.keys import PrivateMaterial

_USES: Final = {use.verb: use for use in USES}


class KnownAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a use of the key must answer."""

    use: str
    mode: str
    message: bytes | None = None
    options: dict[str, bytes | int] = {}
    texts: dict[str, str] = {}
    """Options that are text; in JSON, bytes are text too."""
    result: bytes | bool = True


class KnownKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fixed key of a type, and its answers. It protects nothing."""

    type: str
    answers: tuple[KnownAnswer, ...]
    pem: str | None = None
    raw: bytes | None = None

    def private_key(self) -> PrivateKey:
        """Return the key, ready for use."""
        pem = None if self.pem is None else self.pem.encode()
        return algorithms.load(PrivateMaterial(pem=pem, raw=self.raw, raw_type=self.type))


KEYS: Final = msgspec.json.decode(
    Path(__file__).with_suffix(".json").read_bytes(), type=tuple[KnownKey, ...]
)
"""One of each type, in the table's order. scripts/known_answers.py makes them."""


def tests(
    known: KnownKey, key_of: Callable[[], PrivateKey]
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the name of each answer and what tests it; that raises if it is another."""
    for answer in known.answers:
        name = f"{known.type} {answer.use} {answer.mode}"
        yield name, partial(_require_answer, key_of, answer)


def _require_answer(key_of: Callable[[], PrivateKey], answer: KnownAnswer) -> None:
    key, use = key_of(), _USES[answer.use]
    run = partial(algorithms.mechanism_of(key.algorithm, use, answer.mode).run, **answer.texts)
    messages = () if answer.message is None else (answer.message,)
    if run(key, *messages, **answer.options) != answer.result:
        raise SelfTestFailed("The answer is not the known one.")
    if use is VERIFY and run(key, *messages, **_altered(answer.options)):
        raise SelfTestFailed("An altered signature is valid.")


def _altered(options: Mapping[str, Any]) -> dict[str, Any]:
    signature = options["signature"]
    return {**options, "signature": signature[:-1] + bytes([signature[-1] ^ 1])}
