"""Bodies of sign, verify, encrypt and decrypt that nobody thought of, for a key of every type."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keystead import algorithms
from keystead.algorithms import DECRYPT, ENCRYPT, SIGN, VERIFY, options_of
from tests.support.core import Core, Credentials, b64

USES = (SIGN, VERIFY, ENCRYPT, DECRYPT)
TYPES = [row.name for row in algorithms.ALL if any(one.use in USES for one in row.mechanisms)]
MODES = sorted({one.mode for row in algorithms.ALL for one in row.mechanisms if one.use in USES})
SIZES = (0, 1, 8, 12, 15, 16, 17, 20, 24, 28, 32, 48, 64, 114, 255, 256, 4096, 4104, 4105)

OCTETS = st.one_of(
    st.binary(max_size=300),
    st.sampled_from(SIZES).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.sampled_from([b"\x30\x06\x02\x01\x01\x02\x01\x01", b"\x30\x80", b"\xff" * 256]),
)
VALUES = st.one_of(
    OCTETS.map(b64), st.text(max_size=5), st.none(), st.integers(), st.lists(st.none())
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Return a verb and a body: mostly what the use takes, sometimes anything."""
    use = draw(st.sampled_from(USES))
    names = [str(use.takes), *(option.name for option in options_of(use)), "unknown"]
    wanted = {"mode": draw(st.sampled_from(MODES)), str(use.takes): b64(draw(OCTETS))}
    given_names = draw(st.lists(st.sampled_from(names), unique=True, max_size=4))
    return use.verb, {**wanted, **{name: draw(VALUES) for name in given_names}}


@pytest.fixture(scope="module", autouse=True)
def keys(runner: asyncio.Runner, core: Core) -> None:
    """A key of each type that may do all its type can, named as its type."""
    for name in TYPES:
        names = sorted({one.name for one in algorithms.BY_NAME[name].mechanisms})
        length = 1024 if name == "RSA" else 256
        runner.run(core.generate(name, name, *names, length=length))


def test_whatever_is_sent_is_answered_and_no_signature_of_chance_is_valid(
    runner: asyncio.Runner, core: Core, operator: Credentials
) -> None:
    @settings(max_examples=600, suppress_health_check=list(HealthCheck))
    @given(key_type=st.sampled_from(TYPES), body=bodies())
    @example("ML_DSA_44", ("sign", {"mode": "ML_DSA", "message": "", "context": ""}))
    @example("Generic", ("decrypt", {"mode": "AES_KWP", "encrypted": b64(bytes(16))}))
    def sent(key_type: str, body: tuple[str, dict[str, Any]]) -> None:
        verb, wanted = body
        path = f"/keys/{key_type}/{verb}"
        answer = runner.run(core.request("POST", path, user=operator, json=wanted))
        assert answer.status in {200, 400}, answer
        if answer.status == 400:
            assert answer.message
        elif verb == "verify":
            assert answer.json() == {"valid": False}

    sent()
    assert not [line for line in core.log_lines if "request failed" in line]
