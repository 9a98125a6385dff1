"""What a member of a cluster does when another one changes something, and when it hears nothing."""

import asyncio
import contextlib
from functools import partial
from string import ascii_lowercase

import pytest

from keystead.errors import StoreUnavailable
from keystead.model.keys import KeyPath
from keystead.model.lifecycle import State
from keystead.operations.cluster_news import ClusterNews
from keystead.operations.freshness import Freshness
from keystead.storage.generations import POINTER
from keystead.storage.key_value_store import Change
from keystead.storage.paths import VERSIONS
from keystead.wire.platform_messages import FreshnessSettings as Settings
from tests.support.core import ADMIN, UNLOCK, Clock, b64, start_core
from tests.support.memory_store import MemoryStore

SECONDS = 0.1
SIGN = {"mode": "EdDSA", "message": b64(b"text")}


class Link:
    """The way of one member to the store of all. It can be cut, for some records or for all."""

    def __init__(self, store):
        self.store, self.is_cut = store, False
        self.cut_off = ()
        self.refused = set()
        self.slow = ()
        self.answers = asyncio.Event()
        """Let go what is read of the slow records."""

    async def get(self, path):
        if path.startswith(self.slow):
            await self.answers.wait()
        if self.is_cut or path.startswith(self.cut_off):
            self.refused.add(path)
            raise StoreUnavailable("The link is cut.")
        return await self.store.get(path)

    def __getattr__(self, name):
        if self.is_cut:
            raise StoreUnavailable("The link is cut.")
        return getattr(self.store, name)


class Members:
    """Two cores on one store: what the first one changes, the second one must hear of."""

    def __init__(self, first, second, clock, asked, link):
        self.first, self.second, self.clock, self.asked = first, second, clock, asked
        self.link = link
        self.freshness = second.hsm.freshness
        self.news = ClusterNews(second.hsm, second.hsm.freshness)
        self.news.up_to_date(clock(), is_alone=False)

    async def signs(self, user=("op", "passphrase of op")):
        answer = await self.second.request("POST", "/keys/k/sign", user=user, json=SIGN)
        return answer.status


@contextlib.asynccontextmanager
async def members(*, strict=False, minority_seconds=0.0):
    clock, asked = Clock(), asyncio.Event()
    settings = Settings(SECONDS, strict, minority_seconds)
    first = await start_core(clock=clock)
    await first.provision()
    await first.add_user("op", "Operator")
    await first.generate("k", "Curve25519", "EdDSA_Signature")
    link = Link(first.store)
    second = await start_core(
        store=link,
        device_key=first.device_key,
        clock=clock,
        pools=first.pools,
        freshness=Freshness(settings, clock, asked.set),
    )
    unlocked = await second.request("POST", "/unlock", json={"passphrase": UNLOCK})
    assert unlocked.status == 204
    try:
        yield Members(first, second, clock, asked, link)
    finally:
        await second.hsm.stop()
        await first.hsm.stop()
        first.close()


def in_cluster(scenario, **settings):
    async def main():
        async with members(**settings) as both:
            await scenario(both)

    asyncio.run(main())


async def settled(both):
    """Wait until what was heard is read again."""
    if (reading := both.news._reading) is not None:  # noqa: SLF001 - nothing tells of it
        await reading


def test_a_key_that_another_member_deleted_is_gone_when_that_is_heard():
    async def scenario(both):
        assert await both.signs() == 200
        await both.first.request("DELETE", "/keys/k", user=ADMIN)
        both.news.changed(["/0/key/k"])
        assert await both.signs() == 404

    in_cluster(scenario)


def test_a_passphrase_that_another_member_changed_is_refused_when_that_is_heard():
    async def scenario(both):
        assert await both.signs() == 200
        new = {"passphrase": "another passphrase"}
        await both.first.request("POST", "/users/op/passphrase", user=ADMIN, json=new)
        both.news.changed(["/0/authentication/op"])
        assert await both.signs() == 401
        both.clock.advance(2)
        both.news.up_to_date(both.clock(), is_alone=False)
        assert await both.signs(("op", "another passphrase")) == 200

    in_cluster(scenario)


def test_a_namespace_that_another_member_created_is_known_when_that_is_heard():
    async def scenario(both):
        administrator = await both.first.add_namespace("new")
        both.news.changed(["/0/namespace/new"])
        await settled(both)
        answer = await both.second.request("GET", "/keys", user=administrator)
        assert answer.status == 200

    in_cluster(scenario)


def test_a_namespace_that_another_member_deleted_is_unknown_when_that_is_heard():
    async def scenario(both):
        administrator = await both.first.add_namespace("old")
        both.news.changed(["/0/namespace/old"])
        await settled(both)
        answer = await both.first.request("DELETE", "/namespaces/old", user=ADMIN)
        assert answer.status == 204
        both.news.changed(["/0/namespace/.deleted/old", "/0/namespace/old"])
        await settled(both)
        assert "old" not in both.second.hsm.session.known_namespaces
        assert ".deleted/old" not in both.second.hsm.session.known_namespaces
        assert (await both.second.request("GET", "/keys", user=administrator)).status == 403

    in_cluster(scenario)


def test_a_namespace_of_another_member_ends_no_login_and_no_memory_of_keys():
    async def scenario(both):
        assert await both.signs() == 200
        await both.first.add_namespace("new")
        both.news.changed(["/0/namespace/new", "/0/namespace/.quota/new"])
        await settled(both)
        session = both.second.hsm.session
        assert session.keys.cached(KeyPath(None, "k")) is not None
        both.link.is_cut = True  # It has the user and the key in memory, or could not sign.
        assert await both.signs() == 200

    in_cluster(scenario)


def test_while_a_change_is_read_a_member_answers_as_long_as_the_confirmation_before_it_holds():
    async def scenario(both):
        assert await both.signs() == 200
        await both.first.add_namespace("new")
        both.link.slow = ("/0/namespace/",)
        both.news.changed(["/0/namespace/new"])
        await asyncio.sleep(0)
        assert await both.signs() == 200
        both.clock.advance(SECONDS * 2)
        both.news.up_to_date(both.clock(), is_alone=False)
        answer = asyncio.create_task(both.signs())
        await asyncio.sleep(SECONDS)
        assert not answer.done()
        both.link.answers.set()
        assert await answer == 200
        assert "new" in both.second.hsm.session.known_namespaces

    in_cluster(scenario)


def test_a_change_that_is_heard_of_while_another_is_read_is_read_before_it_is_confirmed():
    async def scenario(both):
        for name in ("one", "two"):
            await both.first.add_namespace(name)
        both.link.slow = ("/0/namespace/two",)
        both.news.changed(["/0/namespace/one"])
        await asyncio.sleep(0)
        both.news.changed(["/0/namespace/two"])
        both.clock.advance(SECONDS * 2)
        both.news.up_to_date(both.clock(), is_alone=False)
        answer = asyncio.create_task(both.signs())
        await asyncio.sleep(SECONDS)
        assert "one" in both.second.hsm.session.known_namespaces
        assert not answer.done()
        both.link.answers.set()
        assert await answer == 200
        assert "two" in both.second.hsm.session.known_namespaces

    in_cluster(scenario)


@pytest.mark.parametrize("path", ["/0/namespace/n", "/0/config/x"])
def test_many_changes_that_are_heard_of_at_once_are_read_together(path):
    async def scenario(both):
        readings = []
        session = both.second.hsm.session
        read, read_again = session.known_namespaces.read, session.known_namespaces.read_again

        async def counted(of, *arguments):
            readings.append(arguments)
            await asyncio.sleep(0.01)
            await of(*arguments)

        session.known_namespaces.read = partial(counted, read)
        session.known_namespaces.read_again = partial(counted, read_again)
        for number in range(20):
            both.news.changed([f"{path}{number}"])
        await asyncio.sleep(0)
        for number in range(20):
            both.news.changed([f"{path}{number}"])
        await settled(both)
        assert len(readings) <= 2
        assert await both.signs() == 200

    in_cluster(scenario)


def test_more_changes_than_are_read_one_by_one_are_read_as_a_whole():
    async def scenario(both):
        await both.first.add_namespace("new")
        paths = [f"/0/namespace/n{number}" for number in range(1001)]
        both.news.changed([*paths, "/0/namespace/new"])
        await settled(both)
        assert "new" in both.second.hsm.session.known_namespaces
        assert await both.signs() == 200

    in_cluster(scenario)


def test_whatever_may_have_changed_is_read_again():
    async def scenario(both):
        assert await both.signs() == 200
        await both.first.request("DELETE", "/keys/k", user=ADMIN)
        both.news.any_changed()
        assert await both.signs() == 404

    in_cluster(scenario)


def test_news_of_unknown_records_do_no_harm():
    async def scenario(both):
        both.news.changed(["/0/key/.a/", "/0/authentication/~", "/0/other", "/7/key/k", "/x", ""])
        await settled(both)
        assert await both.signs() == 200

    in_cluster(scenario)


def test_a_change_makes_a_member_forget_nothing_else():
    async def scenario(both):
        assert await both.signs() == 200
        keys = both.second.hsm.session.keys
        await both.first.generate("other", "Curve25519", "EdDSA_Signature")
        both.news.changed(["/0/key/other", f"/0{VERSIONS}", f"/0{VERSIONS}/001"])
        assert keys.cached(KeyPath(None, "k")) is not None
        both.news.changed(["/0/key/k"])
        assert keys.cached(KeyPath(None, "k")) is None

    in_cluster(scenario)


def test_news_for_a_locked_member_do_no_harm():
    async def scenario(both):
        await both.second.hsm.lock()
        both.news.changed(["/0/key/k", "/0/namespace/n", POINTER])
        both.news.any_changed()
        await settled(both)
        assert both.second.hsm.state is State.LOCKED

    in_cluster(scenario)


async def state_is(both, state):
    async with asyncio.timeout(60):
        while both.second.hsm.state is not state:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


async def backup_of(core):
    passphrase = {"newPassphrase": "backup passphrase", "currentPassphrase": ""}
    await core.request("PUT", "/config/backup-passphrase", user=ADMIN, json=passphrase)
    backup_user = await core.add_user("backup", "Backup")
    return (await core.request("POST", "/system/backup", user=backup_user)).body


@pytest.fixture
def recovers_fast(monkeypatch):
    monkeypatch.setattr("keystead.operations.recovery.STORE_RETRY_SECONDS", 0.01)


@pytest.mark.usefixtures("recovers_fast")
def test_a_member_that_cannot_read_a_change_is_failed_until_it_can():
    async def scenario(both):
        assert await both.signs() == 200
        await both.first.request("DELETE", "/keys/k", user=ADMIN)
        both.link.is_cut = True
        both.news.any_changed()
        await settled(both)
        assert both.second.hsm.state is State.FAILED
        assert await both.signs() == 412
        both.link.is_cut = False
        await state_is(both, State.OPERATIONAL)
        both.news.up_to_date(both.clock(), is_alone=False)
        assert await both.signs() == 404

    in_cluster(scenario)


@pytest.mark.usefixtures("recovers_fast")
def test_a_member_that_cannot_read_restored_records_at_once_serves_them_once_it_can():
    async def scenario(both):
        backup = await backup_of(both.first)
        await both.first.request("DELETE", "/keys/k", user=ADMIN)
        assert (await restored(both.first, backup)).status == 204
        both.link.cut_off = ("/local/",)
        both.news.changed([POINTER])
        await settled(both)
        assert both.second.hsm.state is State.FAILED
        both.link.cut_off = ()
        await state_is(both, State.OPERATIONAL)
        both.news.up_to_date(both.clock(), is_alone=False)
        assert await both.signs() == 200

    in_cluster(scenario)


@pytest.mark.usefixtures("recovers_fast")
def test_a_member_that_was_failed_during_a_restore_serves_the_restored_records_afterwards():
    async def scenario(both):
        backup = await backup_of(both.first)
        both.link.is_cut = True
        both.news.any_changed()
        await settled(both)
        await both.first.request("DELETE", "/keys/k", user=ADMIN)
        assert (await restored(both.first, backup)).status == 204
        both.link.is_cut = False
        await state_is(both, State.OPERATIONAL)
        both.news.up_to_date(both.clock(), is_alone=False)
        assert await both.signs() == 200

    in_cluster(scenario)


@pytest.mark.usefixtures("recovers_fast")
def test_a_member_that_may_not_open_restored_records_is_locked_and_forgets_the_domain_key():
    async def scenario(both):
        hsm = both.second.hsm
        backup = await backup_of(both.first)
        assert (await restored(both.first, backup)).status == 204
        await both.first.store.commit([Change(f"/1{VERSIONS}", None)])
        both.news.changed([POINTER])
        await settled(both)
        assert hsm.state is State.FAILED
        await state_is(both, State.LOCKED)
        assert hsm.recovery._domain_key is None  # noqa: SLF001 - nothing shows that it is forgotten

    in_cluster(scenario)


def test_after_a_restore_on_another_member_the_restored_records_are_served():
    async def scenario(both):
        backup = await backup_of(both.first)
        assert await both.signs() == 200
        await both.first.request("DELETE", "/keys/k", user=ADMIN)
        both.news.changed(["/0/key/k"])
        assert await both.signs() == 404
        answer = await restored(both.first, backup)
        assert answer.status == 204, answer
        both.news.changed([POINTER])
        await settled(both)
        assert both.second.hsm.state is State.OPERATIONAL
        assert await both.signs() == 200

    in_cluster(scenario)


async def restored(core, backup):
    arguments = b'{"backupPassphrase": "backup passphrase"}'
    boundary = b"--x\r\nContent-Disposition: form-data; name="
    body = boundary + b'"arguments"\r\n\r\n' + arguments + b"\r\n"
    body += boundary + b'"backup"; filename="b"\r\n\r\n' + backup + b"\r\n--x--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=x"}
    return await core.request("POST", "/system/restore", user=ADMIN, body=body, headers=kind)


# --- silence -----------------------------------------------------------------------------------


def test_a_member_that_is_not_up_to_date_answers_nothing_that_needs_authority():
    async def scenario(both):
        assert await both.signs() == 200
        both.clock.advance(SECONDS * 2)
        answer = await both.second.request("GET", "/keys", user=ADMIN)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert "cut off" in answer.message
        assert (await both.second.request("GET", "/health/state")).status == 200
        diagnosed = await both.second.request("GET", "/health/diagnose?details=true", user=ADMIN)
        assert diagnosed.status == 200

    in_cluster(scenario)


def test_a_request_waits_for_the_next_confirmation():
    async def scenario(both):
        both.clock.advance(SECONDS * 2)
        answer = asyncio.create_task(both.signs())
        await asyncio.sleep(0)
        both.news.up_to_date(both.clock(), is_alone=False)
        assert await answer == 200

    in_cluster(scenario)


def test_a_strict_member_asks_before_each_request():
    async def scenario(both):
        both.clock.advance(0.001)
        answer = asyncio.create_task(both.signs())
        await both.asked.wait()
        assert not answer.done()
        both.news.up_to_date(both.clock(), is_alone=False)
        assert await answer == 200

    in_cluster(scenario, strict=True)


def test_a_member_that_has_just_started_has_not_been_silent_however_old_answers_may_be():
    clock = Clock()
    freshness = Freshness(Settings(seconds=30.0, strict=False), clock, lambda: None)
    assert freshness.silent_seconds == 0
    clock.advance(5)
    assert freshness.silent_seconds == 5
    freshness.confirmed(clock() - 1)
    assert freshness.silent_seconds == 1


def test_a_revocation_waits_for_no_other_member_where_there_was_none_for_long_enough():
    async def scenario():
        clock, asked = Clock(), asyncio.Event()
        freshness = Freshness(Settings(seconds=30.0), clock, asked.set)

        def revoking():
            asked.clear()
            return asyncio.create_task(freshness.everywhere())

        async def is_waiting(task):
            done, _ = await asyncio.wait([task], timeout=0.1)
            task.cancel()
            return not done

        freshness.confirmed(clock(), is_alone=True)
        clock.advance(29)
        freshness.confirmed(clock(), is_alone=True)
        # A member that was removed before may still answer.
        assert await is_waiting(revoking())
        clock.advance(2)
        task = revoking()
        await asked.wait()
        freshness.confirmed(clock(), is_alone=True)
        await task
        task = revoking()
        await asked.wait()
        clock.advance(1)
        freshness.confirmed(clock(), is_alone=False)
        assert await is_waiting(task)

    asyncio.run(scenario())


def test_a_member_that_is_cut_off_for_ten_seconds_is_not_ready():
    async def scenario(both):
        assert (await both.second.request("GET", "/health/ready")).status == 200
        both.clock.advance(11)
        assert (await both.second.request("GET", "/health/ready")).status == 412
        both.news.up_to_date(both.clock(), is_alone=False)
        assert (await both.second.request("GET", "/health/ready")).status == 200

    in_cluster(scenario)


@pytest.mark.usefixtures("recovers_fast")
def test_a_member_that_the_others_have_removed_is_failed_at_once_and_says_so():
    async def scenario(both):
        assert await both.signs() == 200
        both.second.hsm.members = object()
        both.link.is_cut = True
        both.second.hsm.recovery.removed_from_cluster()
        assert both.second.hsm.state is State.FAILED
        new = {"passphrase": "another passphrase"}
        await both.first.request("POST", "/users/op/passphrase", user=ADMIN, json=new)
        both.news.up_to_date(both.clock(), is_alone=False)
        assert await both.signs() == 412
        diagnosis = (await both.second.request("GET", "/health/diagnose?details=true")).json()
        assert diagnosis["clusterState"] == {"running": False}
        assert "removed this HSM" in diagnosis["clusterLogs"][0]["msg"]
        both.link.is_cut = False
        await state_is(both, State.OPERATIONAL)
        assert not both.second.hsm.recovery.is_removed

    in_cluster(scenario)


SHARED = (POINTER, "/0/")
"""Where the records are that all members share. Those of a device are in its own store."""


@contextlib.asynccontextmanager
async def started_alone(both, *, unattended_key=None):
    """The second member once more, as it starts while no majority is in reach."""
    both.link.cut_off = SHARED
    core = await start_core(
        store=both.link,
        device_key=both.first.device_key,
        clock=both.clock,
        pools=both.first.pools,
        unattended_key=unattended_key,
        freshness=Freshness(Settings(SECONDS), both.clock, both.asked.set),
    )
    try:
        yield core
    finally:
        await core.hsm.stop()


async def becomes(core, state):
    async with asyncio.timeout(30):
        while core.hsm.state is not state:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("recovers_fast")
def test_a_member_that_starts_without_a_majority_is_failed_and_goes_on_when_there_is_one():
    async def scenario(both):
        async with started_alone(both) as core:
            assert core.hsm.state is State.FAILED
            assert (await core.request("GET", "/health/ready")).status == 412
            diagnosis = (await core.request("GET", "/health/diagnose?details=true")).json()
            assert diagnosis["clusterLogs"][0]["msg"].endswith("The link is cut.")
            unlock = {"passphrase": UNLOCK}
            assert (await core.request("POST", "/unlock", json=unlock)).status == 412
            # Its own records are there: the user `unlock` is known.
            both.clock.advance(2)
            force = "/cluster/force-new"
            assert (await core.request("POST", force, user=("unlock", UNLOCK))).status == 412
            assert (await core.request("POST", force, user=("unlock", "wrong"))).status == 401
            both.link.cut_off = ()
            await becomes(core, State.LOCKED)
            both.clock.advance(2)
            assert (await core.request("POST", "/unlock", json=unlock)).status == 204

    in_cluster(scenario)


@pytest.mark.parametrize("action", ["reboot", "factory-reset"])
def test_who_knows_the_unlock_passphrase_may_reset_a_member_without_a_majority(action):
    async def scenario(both):
        async with started_alone(both) as core:
            wanted = []

            async def note(what):
                wanted.append(what)

            core.hsm.actions.carry_out = note
            path = f"/system/{action}"
            for user in (None, ADMIN, ("unlock", ADMIN[1])):
                assert (await core.request("POST", path, user=user)).status == 401
                both.clock.advance(2)
            assert wanted == []
            assert (await core.request("POST", path, user=("unlock", UNLOCK))).status == 204
            assert wanted == [action]
        wanted.clear()
        both.second.hsm.actions.carry_out = note
        assert both.second.hsm.state is State.OPERATIONAL
        both.clock.advance(2)
        both.news.up_to_date(both.clock(), is_alone=False)
        both.link.cut_off = ()
        assert (await both.second.request("POST", path, user=("unlock", UNLOCK))).status == 401
        assert wanted == []

    in_cluster(scenario)


@pytest.mark.usefixtures("recovers_fast")
def test_who_knows_the_unlock_passphrase_resets_nothing_that_has_come_back_meanwhile():
    async def scenario(both):
        async with started_alone(both) as core:
            both.link.cut_off = ()
            authenticate = core.hsm.unlocking.authenticate

            async def slowly(header, *, address):
                await authenticate(header, address=address)
                await becomes(core, State.LOCKED)

            core.hsm.unlocking.authenticate = slowly
            asked = core.request("POST", "/system/factory-reset", user=("unlock", UNLOCK))
            assert (await asked).status == 412

    in_cluster(scenario)


@pytest.mark.usefixtures("recovers_fast")
def test_with_unattended_boot_it_is_operational_then_and_waits_again_if_the_majority_goes():
    async def scenario(both):
        on = {"status": "on"}
        path = "/config/unattended-boot"
        assert (await both.first.request("PUT", path, user=ADMIN, json=on)).status == 204
        async with started_alone(both, unattended_key=both.first.unattended_key) as core:
            both.link.refused.clear()
            # Where users and keys are. What says that the HSM is provisioned can be read.
            both.link.cut_off = tuple(f"/0/{letter}" for letter in ascii_lowercase if letter != "c")
            async with asyncio.timeout(30):
                while not both.link.refused:  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0.01)
            assert core.hsm.state is State.FAILED
            both.link.cut_off = ()
            await becomes(core, State.OPERATIONAL)
            core.hsm.freshness.confirmed(both.clock())
            assert (await core.request("GET", "/keys", user=ADMIN)).status == 200

    in_cluster(scenario)


@pytest.mark.usefixtures("recovers_fast")
def test_with_unattended_boot_it_is_locked_then_if_a_record_is_damaged():
    async def scenario(both):
        path, on = "/config/unattended-boot", {"status": "on"}
        assert (await both.first.request("PUT", path, user=ADMIN, json=on)).status == 204
        leftover = "/1/key/of a restore"
        store = both.link.store

        async def stored():
            return await store.list("/", "0", limit=10**6)

        async with started_alone(both, unattended_key=both.first.unattended_key) as core:
            versions = [path for path in await stored() if path.endswith("/.version")]
            await store.commit([Change(path, b"damaged") for path in versions])
            await store.commit([Change(leftover, b"")])
            both.link.cut_off = ()
            await becomes(core, State.LOCKED)
            assert any("the records cannot be opened" in line for line in core.log_lines)
            async with asyncio.timeout(30):
                while leftover in await stored():  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0.01)

    in_cluster(scenario)


def test_an_hsm_that_is_in_no_cluster_does_not_start_without_its_store():
    async def main():
        link = Link(MemoryStore())
        link.is_cut = True
        with pytest.raises(StoreUnavailable):
            await start_core(store=link)

    asyncio.run(main())


def test_an_hsm_that_is_in_no_cluster_cannot_be_removed_from_it():
    async def scenario(both):
        both.second.hsm.recovery.removed_from_cluster()
        assert both.second.hsm.state is State.OPERATIONAL

    in_cluster(scenario)


def test_a_member_that_is_cut_off_for_a_minute_is_failed_and_comes_back():
    async def scenario(both):
        hsm = both.second.hsm
        hsm.recovery.store_lost()
        assert hsm.state is State.OPERATIONAL
        both.clock.advance(61)
        noticing = asyncio.create_task(both.news.notice_silence())
        while hsm.state is not State.FAILED:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        noticing.cancel()
        while hsm.state is not State.OPERATIONAL:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        both.news.up_to_date(both.clock(), is_alone=False)
        assert await both.signs() == 200

    in_cluster(scenario)


def test_a_revocation_is_answered_when_no_member_answers_from_an_older_memory():
    async def scenario(both):
        loop = asyncio.get_running_loop()
        for method, path, json in (
            ("POST", "/users/op/passphrase", {"passphrase": "another passphrase"}),
            ("DELETE", "/keys/k", None),
        ):
            began = loop.time()
            answer = await both.second.request(method, path, user=ADMIN, json=json)
            assert answer.status == 204
            assert loop.time() - began >= SECONDS

    in_cluster(scenario)


# --- without a majority, where the operator has allowed it -------------------------------------

MINORITY_SECONDS = 3600.0


def serving(scenario):
    in_cluster(scenario, minority_seconds=MINORITY_SECONDS)


async def cut_off(both):
    """Cut the second member off, after it has the user `op` and the key `k` in memory."""
    assert await both.signs() == 200
    both.link.is_cut = True
    both.clock.advance(SECONDS + 2)


async def makes_key(both):
    body = {"id": "new", "type": "Curve25519", "mechanisms": ["EdDSA_Signature"]}
    return await both.second.request("POST", "/keys/generate", user=ADMIN, json=body)


def test_a_member_goes_on_without_a_majority_with_what_changes_nothing():
    async def scenario(both):
        assert (await both.second.request("GET", "/users", user=ADMIN)).status == 200
        await cut_off(both)
        assert await both.signs() == 200
        both.clock.advance(MINORITY_SECONDS / 2)
        assert await both.signs() == 200
        assert (await both.second.request("GET", "/health/ready")).status == 200
        refused = await makes_key(both)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert both.second.hsm.state is State.OPERATIONAL

    serving(scenario)


def test_without_a_majority_only_users_and_keys_in_memory_are_served():
    async def scenario(both):
        await both.first.add_user("late", "Operator")
        await both.first.generate("unused", "Curve25519", "EdDSA_Signature")
        await cut_off(both)
        assert await both.signs(("late", "passphrase of late")) == 503
        unused = await both.second.request(
            "POST", "/keys/unused/sign", user=("op", "passphrase of op"), json=SIGN
        )
        assert unused.status == 503
        assert await both.signs(("op", "wrong passphrase")) == 503
        assert both.second.hsm.state is State.OPERATIONAL
        assert await both.signs() == 200

    serving(scenario)


def test_a_member_that_has_heard_of_no_majority_since_its_start_serves_nothing():
    clock = Clock()
    settings = Settings(SECONDS, minority_seconds=MINORITY_SECONDS)
    freshness = Freshness(settings, clock, lambda: None)
    clock.advance(61)
    assert not freshness.serves_minority
    assert freshness.is_lost
    freshness.confirmed(clock())
    clock.advance(61)
    assert freshness.serves_minority
    assert not freshness.is_lost


@pytest.mark.usefixtures("recovers_fast")
def test_without_a_majority_for_longer_than_allowed_a_member_is_failed():
    async def scenario(both):
        await cut_off(both)
        both.clock.advance(MINORITY_SECONDS)
        assert await both.signs() == 503
        assert (await both.second.request("GET", "/health/ready")).status == 412
        both.second.hsm.recovery.store_lost()
        assert both.second.hsm.state is State.FAILED

    serving(scenario)


def test_while_changes_are_being_read_again_a_minority_is_not_served():
    async def scenario(both):
        await cut_off(both)
        both.freshness.hold()
        assert await both.signs() == 503
        both.freshness.release()
        assert await both.signs() == 200

    serving(scenario)


def test_what_was_revoked_on_the_other_side_works_until_the_majority_is_back():
    async def scenario(both):
        await cut_off(both)
        assert (await both.first.request("DELETE", "/users/op", user=ADMIN)).status == 204
        assert await both.signs() == 200
        both.link.is_cut = False
        both.news.changed(["/0/authentication/op"])
        both.news.up_to_date(both.clock(), is_alone=False)
        assert not both.freshness.serves_minority
        assert await both.signs() == 401

    serving(scenario)


def test_a_member_that_the_others_have_removed_serves_no_minority():
    async def scenario(both):
        both.second.hsm.members = object()
        await cut_off(both)
        both.second.hsm.recovery.removed_from_cluster()
        assert await both.signs() == 412

    serving(scenario)


def test_what_answers_without_a_majority_says_so():
    async def scenario(both):
        hsm = both.second.hsm
        metrics = await both.second.add_user("metrics", "Metrics")
        both.news.up_to_date(both.clock(), is_alone=False)
        lines = both.second.log_lines
        noticing = asyncio.create_task(both.news.notice_silence())

        async def told(event):
            async with asyncio.timeout(60):
                while not any(f'"{event}"' in line for line in lines):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

        async def shown():
            accept = {"accept": "text/plain"}
            answer = await both.second.request("GET", "/metrics", user=metrics, headers=accept)
            return b"\nkeystead_without_majority 1\n" in answer.body

        async def warned():
            answer = await both.second.request("GET", "/health/diagnose?details=true", user=ADMIN)
            return any("revoked" in one for one in answer.json()["warnings"])

        assert not await shown()
        assert not await warned()
        await cut_off(both)
        await told("answering without a majority of the cluster")
        assert await shown()
        assert await warned()
        both.link.is_cut = False
        both.news.up_to_date(both.clock(), is_alone=False)
        await told("no longer answering without a majority of the cluster")
        assert not await shown()
        assert not await warned()
        assert hsm.state is State.OPERATIONAL
        noticing.cancel()

    serving(scenario)
