"""What a restore has kept of policies is applied once, whoever opens the records."""

import asyncio

from msgspec.msgpack import encode

from keystead.storage.key_value_store import Change
from tests.support.stores import WatchedStore, new_domain, open_domain


def test_members_that_open_restored_records_at_once_all_get_through():
    async def scenario():
        store = WatchedStore()
        await new_domain(store)
        kept = {f".root/{number}": b"of another HSM" for number in range(5)}
        pages = [Change(f"/kept-policy/{number}", encode(kept)) for number in range(3)]
        await store.commit([*pages, Change("/kept-policy-pages", b"3")])
        members = [open_domain(store) for _ in range(3)]
        await asyncio.gather(*(member.kept_policies.apply() for member in members))
        assert await store.kept.list("/kept-policy", "/kept-policz", limit=9) == []

    asyncio.run(scenario())
