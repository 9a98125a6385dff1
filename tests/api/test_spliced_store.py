"""Every mixture of an older and the present store, put together by a program that has no key.

It may take each kind of record from either, and so splice what fits together. A start on a mixture
that loosens anything must say so: by refusing the unlock, in the log, or in the journal.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from itertools import product
from typing import Any

import pytest

from keystead.storage.key_value_store import Change
from tests.api.test_rollback import Place, StoreWithPlace
from tests.support.core import ADMIN, UNLOCK, Core, start_core

Records = Mapping[str, bytes]
KINDS = ("records", "pages", "root", "device", "head", "blocks")
SAID = (
    "the store is older than the journal's head elsewhere",
    "the records are older than the journal",
    "the store is not the one that was written last",
    "a record is not the one that was written last",
    "the device's settings are not those that were written last",
)


def kind_of(path: str) -> str:
    """Return which of KINDS a record belongs to."""
    if path.startswith("/journal/"):
        return "head" if path == "/journal/head" else "blocks"
    if path.startswith("/0/root"):
        return "root" if path == "/0/root" else "pages"
    return "records" if path.startswith("/0/") else "device"


async def contents(store: StoreWithPlace) -> Records:
    paths = await store.list("", "\U0010ffff", limit=10**6)
    entries = {path: await store.get(path) for path in paths}
    return {path: entry.value for path, entry in entries.items() if entry is not None}


def mixture(older: Records, present: Records, choice: Mapping[str, str]) -> Records:
    """Return each kind of record from the store that `choice` names."""
    sources = {"older": older, "present": present}
    return {
        path: value
        for name, source in sources.items()
        for path, value in source.items()
        if choice[kind_of(path)] == name
    }


@pytest.fixture(scope="module")
def history(runner: Any) -> tuple[Core, Records, Records]:
    """A core with its store before and after a user, a policy and a setting were changed."""

    async def make() -> tuple[Core, Records, Records]:
        core = await start_core(store=StoreWithPlace(Place()), keeps_head=True, keeps_count=True)
        await core.provision()
        await core.add_user("leaver", "Operator")
        await core.generate("limited", "Curve25519", "EdDSA_Signature")
        await core.request("PUT", "/keys/limited/policy", user=ADMIN, json={"maxUses": 5})
        await core.hsm.stop()
        assert isinstance(core.store, StoreWithPlace)
        older = await contents(core.store)
        core = await start_core(
            store=core.store,
            device_key=core.device_key,
            pools=core.pools,
            keeps_head=True,
            keeps_count=True,
        )
        await core.request("POST", "/unlock", json={"passphrase": UNLOCK})
        assert (await core.request("DELETE", "/users/leaver", user=ADMIN)).status == 204
        answer = await core.request(
            "PUT", "/keys/limited/policy", user=ADMIN, json={"enabled": False}
        )
        assert answer.status == 204
        time = {"time": "2025-01-01T00:00:00Z"}
        assert (await core.request("PUT", "/config/time", user=ADMIN, json=time)).status == 204
        await core.hsm.stop()
        assert isinstance(core.store, StoreWithPlace)
        return core, older, await contents(core.store)

    return runner.run(make())


async def answers(core: Core, records: Records, places: AbstractSet[str]) -> list[str]:
    """Start on these records. Return what the HSM says of them, or [] for the present store."""
    assert isinstance(core.store, StoreWithPlace)
    store = StoreWithPlace(Place())
    store.place.content, store.place.count = core.store.place.content, core.store.place.count
    await store.commit([Change(path, value) for path, value in records.items()])
    other = await start_core(
        store=store,
        device_key=core.device_key,
        pools=core.pools,
        keeps_head="file" in places,
        keeps_count="counter" in places,
    )
    if (await other.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 204:
        for path in ("/users/leaver", "/keys/limited/policy"):
            await other.request("GET", path, user=ADMIN)
        opened = (await other.request("GET", "/journal", user=ADMIN)).body.splitlines()
        said = [line for line in opened if b'"journal opened"' in line][-1:]
        if any(b'"outcome"' in line for line in said):
            return ["in the journal"]
    return [event for event in SAID if any(event in line for line in other.log_lines)]


def is_all_there_is(choice: Mapping[str, str]) -> bool:
    """Whether a mixture is the present store."""
    return {*choice.values()} == {"present"}


def fits_together(choice: Mapping[str, str]) -> bool:
    """Whether only another place can tell: each part is whole, and no record is too old."""
    records = {choice[kind] for kind in ("records", "pages", "root", "device")}
    journal = {choice[kind] for kind in ("head", "blocks")}
    return len(records) == len(journal) == 1 and (records, journal) != ({"older"}, {"present"})


@pytest.mark.parametrize(
    ("places", "may_pass"),
    [({"file"}, is_all_there_is), ({"counter"}, is_all_there_is), (set(), fits_together)],
)
async def test_every_mixture_of_an_older_and_the_present_store_is_said(
    history: tuple[Core, Records, Records],
    places: AbstractSet[str],
    may_pass: Callable[[Mapping[str, str]], bool],
) -> None:
    core, older, present = history
    assert {*map(kind_of, older)} == {*KINDS}
    for sources in product(("present", "older"), repeat=len(KINDS)):
        choice = dict(zip(KINDS, sources, strict=True))
        said = await answers(core, mixture(older, present, choice), places)
        assert bool(said) != may_pass(choice), (choice, said)
