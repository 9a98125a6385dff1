"""The diagnosis of a member warns before the others cease to trust its certificate."""

from datetime import timedelta

import pytest

from keystead.errors import StoreUnavailable
from keystead.storage.settings import CLUSTER_CA
from tests.support.authority import END, Authority
from tests.support.core import ADMIN, start_core

DAY = timedelta(days=1)


class Unheard:
    """The members of a cluster whose etcd does not answer just now."""

    async def space(self):
        raise StoreUnavailable("no answer")

    view = space


async def warnings(core):
    answer = await core.request("GET", "/health/diagnose?details=true", user=ADMIN)
    return [one for one in answer.json()["warnings"] if "expires on" in one]


@pytest.mark.parametrize(("left", "is_warned"), [(31 * DAY, False), (29 * DAY, True), (-DAY, True)])
async def test_it_warns_from_thirty_days_before(left, is_warned):
    core = await start_core()
    await core.provision()
    core.hsm.members = Unheard()
    assert await warnings(core) == []
    authority = Authority("cluster").pem
    await core.hsm.store.commit([core.hsm.local.settings.put(CLUSTER_CA, authority)])
    core.clock.advance((END - left).timestamp() - core.hsm.time.now())
    assert [f"{END:%Y-%m-%d}" in one for one in await warnings(core)] == [True] * is_warned
    core.close()
