"""Tests may be coroutines; a module has one event loop, so that a core outlives a test."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator

import pytest
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from keystead.sealing import passphrase
from tests.support.core import Answer, Core, Credentials, start_core
from tests.support.every_key import add_every_key


@pytest.fixture(scope="module", autouse=True)
def runner() -> Iterator[asyncio.Runner]:
    """The module's event loop."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in the module's event loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.function):
        return None
    wanted = inspect.signature(pyfuncitem.function).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted}
    pyfuncitem.funcargs["runner"].run(pyfuncitem.function(**arguments))
    return True


@pytest.fixture(scope="module", autouse=True)
def cheap_scrypt() -> Iterator[None]:
    """scrypt at a thousandth of its cost, which the tests of sealing are about.

    At its full cost, adding and authenticating users takes four fifths of the time here.
    """

    def scrypt(secret, salt, cost):
        return Scrypt(salt=salt, length=32, n=2**4, r=cost.r, p=cost.p).derive(secret.reveal())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passphrase, "_scrypt", scrypt)
        yield


@pytest.fixture(scope="module")
def core(runner: asyncio.Runner) -> Iterator[Core]:
    """An Operational core with the user `admin`, the same for the whole module."""
    core = runner.run(start_core())
    runner.run(core.provision())
    yield core
    core.close()


@pytest.fixture(scope="module")
def operator(runner: asyncio.Runner, core: Core) -> Credentials:
    """An Operator without a namespace."""
    return runner.run(core.add_user("operator", "Operator"))


@pytest.fixture
def fresh_core(runner: asyncio.Runner) -> Iterator[Core]:
    """An Unprovisioned core for one test."""
    core = runner.run(start_core())
    yield core
    core.close()


@pytest.fixture(scope="module")
def every_key(runner: asyncio.Runner, core: Core) -> None:
    """A key of each type that may do all its type can, named as its type."""
    runner.run(add_every_key(core))


@pytest.fixture
def use(core: Core, operator: Credentials) -> Callable[..., Awaitable[Answer]]:
    """Ask for a use of a key, as an Operator."""

    async def use(key_id: str, how: str, **wanted: object) -> Answer:
        return await core.request("POST", f"/keys/{key_id}/{how}", user=operator, json=wanted)

    return use
