"""Requests at the same time, over a store that lets others run while it works."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from keystead.model.lifecycle import State
from keystead.operations import hsm as hsm_module
from keystead.operations.shares import Party
from keystead.operations.work_pool import WorkPool
from keystead.wire.edge_messages import Request
from tests.support.core import (
    ADMIN,
    UNLOCK,
    Answer,
    Core,
    Credentials,
    WholeBody,
    b64,
    basic,
    start_core,
)
from tests.support.pools import WatchedPool
from tests.support.stores import WatchedStore

SIGN = {"mode": "ECDSA", "message": b64(bytes(32))}
SIGN_RSA = {"mode": "PKCS1", "message": b64(bytes(32))}
NEW_USER = {"realName": "x", "role": "Operator", "passphrase": "0123456789"}
THREADS, QUEUE = 2, 6


@pytest.fixture
def kdf_pool() -> WatchedPool:
    return WatchedPool()


@pytest.fixture
def busy(runner: asyncio.Runner, kdf_pool: WatchedPool) -> Iterator[Core]:
    """An Operational core of this test's own, with a small crypto pool and a yielding store."""
    crypto_pool = WorkPool(name="crypto", threads=THREADS, queue_limit=QUEUE)
    core = runner.run(start_core(store=WatchedStore(), pools=(crypto_pool, kdf_pool)))
    runner.run(core.provision())
    yield core
    core.close()


@pytest.fixture
def signer(runner: asyncio.Runner, busy: Core) -> Credentials:
    """An Operator whose credentials were verified already."""
    operator = runner.run(busy.add_user("signer", "Operator"))
    runner.run(busy.request("GET", "/keys", user=operator))
    return operator


def statuses(answers: list[Answer]) -> list[int]:
    return sorted(answer.status for answer in answers)


async def until_locked(core: Core) -> None:
    """Wait until requests are refused, though lock may still wait for those before."""
    async with asyncio.timeout(5):
        while core.hsm.state is State.OPERATIONAL:  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0)


async def unlock(core: Core) -> None:
    assert (await core.request("POST", "/unlock", json={"passphrase": UNLOCK})).status == 204


# --- the same thing twice ------------------------------------------------------------------------


async def test_of_clients_that_make_the_same_key_one_succeeds(busy: Core) -> None:
    types = ["EC_P256", "EC_P384", "EC_P521", "Curve25519"]
    answers = await asyncio.gather(
        *(
            busy.request(
                "POST",
                "/keys/generate",
                user=ADMIN,
                json={
                    "id": "same",
                    "type": one,
                    "mechanisms": ["EdDSA_Signature" if one == "Curve25519" else "ECDSA_Signature"],
                },
            )
            for one in types
        )
    )
    assert statuses(answers) == [201, 409, 409, 409]
    winner = types[[answer.status for answer in answers].index(201)]
    shown = await busy.request("GET", "/keys/same", user=ADMIN)
    assert shown.json()["type"] == winner


async def test_of_clients_that_make_the_same_user_one_succeeds(busy: Core) -> None:
    passphrases = [f"passphrase {number}" for number in range(4)]
    answers = await asyncio.gather(
        *(
            busy.request("PUT", "/users/same", user=ADMIN, json=NEW_USER | {"passphrase": one})
            for one in passphrases
        )
    )
    assert statuses(answers) == [201, 409, 409, 409]
    winner = passphrases[[answer.status for answer in answers].index(201)]
    assert (await busy.request("GET", "/users/same", user=("same", winner))).status == 200


async def test_of_clients_that_create_the_same_namespace_one_succeeds(busy: Core) -> None:
    answers = await asyncio.gather(
        *(busy.request("PUT", "/namespaces/same", user=ADMIN) for _ in range(3))
    )
    assert statuses(answers) == [204, 400, 400]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("PUT", "/keys/key/restrictions/tags/new", [204, 304, 304]),
        ("DELETE", "/keys/key/restrictions/tags/old", [204, 404, 404]),
        ("DELETE", "/keys/key/cert", [204, 404, 404]),
        ("PUT", "/users/signer/tags/new", [204, 304, 304]),
        ("DELETE", "/users/signer/tags/old", [204, 404, 404]),
    ],
)
@pytest.mark.usefixtures("signer")
async def test_of_equal_changes_one_is_made(
    busy: Core, method: str, path: str, expected: list[int]
) -> None:
    await busy.generate("key", "EC_P256", "ECDSA_Signature", restrictions={"tags": ["old"]})
    await busy.request("PUT", "/users/signer/tags/old", user=ADMIN)
    headers = {"content-type": "application/octet-stream"}
    await busy.request("PUT", "/keys/key/cert", user=ADMIN, body=b"one", headers=headers)
    answers = await asyncio.gather(*(busy.request(method, path, user=ADMIN) for _ in range(3)))
    assert statuses(answers) == expected


async def test_of_two_certificates_one_is_kept(busy: Core) -> None:
    await busy.generate("key", "EC_P256", "ECDSA_Signature")
    headers = {"content-type": "application/octet-stream"}
    answers = await asyncio.gather(
        *(
            busy.request("PUT", "/keys/key/cert", user=ADMIN, body=one, headers=headers)
            for one in (b"one", b"two")
        )
    )
    assert statuses(answers) == [201, 409]
    kept = b"one" if answers[0].status == 201 else b"two"
    assert (await busy.request("GET", "/keys/key/cert", user=ADMIN)).body == kept


async def test_two_keys_that_move_to_the_same_id_stay_two_keys(busy: Core) -> None:
    await busy.generate("one", "EC_P256", "ECDSA_Signature")
    await busy.generate("two", "EC_P384", "ECDSA_Signature")
    answers = await asyncio.gather(
        *(
            busy.request("POST", f"/keys/{one}/move", user=ADMIN, json={"newId": "new"})
            for one in ("one", "two")
        )
    )
    assert statuses(answers) == [200, 409]
    listed = (await busy.request("GET", "/keys", user=ADMIN)).json()
    loser = "two" if answers[0].status == 200 else "one"
    assert listed == [{"id": "new"}, {"id": loser}]


async def test_a_key_deleted_twice_is_deleted_once(busy: Core) -> None:
    await busy.generate("key", "EC_P256", "ECDSA_Signature")
    answers = await asyncio.gather(
        *(busy.request("DELETE", "/keys/key", user=ADMIN) for _ in range(2))
    )
    assert statuses(answers) == [204, 404]


async def test_of_two_changes_of_the_unlock_passphrase_one_is_made(busy: Core) -> None:
    answers = await asyncio.gather(
        *(
            busy.request(
                "PUT",
                "/config/unlock-passphrase",
                user=ADMIN,
                json={"newPassphrase": f"passphrase {number}", "currentPassphrase": UNLOCK},
                client=f"192.0.2.{number}",
            )
            for number in range(2)
        )
    )
    assert statuses(answers) == [204, 403]


# --- different things to one record --------------------------------------------------------------


async def test_tags_added_at_once_are_all_kept(busy: Core) -> None:
    await busy.add_user("operator", "Operator")
    await busy.generate("key", "EC_P256", "ECDSA_Signature")
    tags = [f"t{number}" for number in range(6)]
    for path in ("/keys/key/restrictions/tags/", "/users/operator/tags/"):
        answers = await asyncio.gather(
            *(busy.request("PUT", path + tag, user=ADMIN) for tag in tags)
        )
        assert statuses(answers) == [204] * 6
    shown = (await busy.request("GET", "/keys/key", user=ADMIN)).json()
    assert shown["restrictions"] == {"tags": tags}
    assert (await busy.request("GET", "/users/operator/tags", user=ADMIN)).json() == tags


async def test_label_tag_and_certificate_set_at_once_are_all_kept(busy: Core) -> None:
    await busy.generate("key", "EC_P256", "ECDSA_Signature")
    headers = {"content-type": "application/octet-stream"}
    answers = await asyncio.gather(
        busy.request("PUT", "/keys/key/label", user=ADMIN, json={"label": "label"}),
        busy.request("PUT", "/keys/key/restrictions/tags/tag", user=ADMIN),
        busy.request("PUT", "/keys/key/cert", user=ADMIN, body=b"cert", headers=headers),
    )
    assert statuses(answers) == [201, 204, 204]
    shown = (await busy.request("GET", "/keys/key", user=ADMIN)).json()
    assert (shown["label"], shown["restrictions"]) == ("label", {"tags": ["tag"]})
    assert (await busy.request("GET", "/keys/key/cert", user=ADMIN)).body == b"cert"


async def test_no_use_is_lost_from_the_count_while_the_record_changes(
    busy: Core, signer: Credentials
) -> None:
    await busy.generate("key", "EC_P256", "ECDSA_Signature")
    session = busy.hsm.session
    assert session is not None

    async def sign() -> None:
        for _ in range(10):
            answer = await busy.request("POST", "/keys/key/sign", user=signer, json=SIGN)
            assert answer.status == 200
            await asyncio.sleep(0)

    async def relabel() -> None:
        for number in range(10):
            wanted = {"label": f"label {number}"}
            await busy.request("PUT", "/keys/key/label", user=ADMIN, json=wanted)
            await session.flush_counters()

    await asyncio.gather(*(sign() for _ in range(5)), relabel())
    await session.flush_counters()
    shown = (await busy.request("GET", "/keys/key", user=ADMIN)).json()
    assert (shown["operations"], shown["label"]) == (50, "label 9")


# --- a full queue --------------------------------------------------------------------------------


async def test_more_slow_work_than_fits_is_503_and_the_rest_is_done(
    busy: Core, signer: Credentials
) -> None:
    await busy.generate("rsa", "RSA", "RSA_Signature_PKCS1", length=2048)
    answers = await asyncio.gather(
        *(busy.request("POST", "/keys/rsa/sign", user=signer, json=SIGN_RSA) for _ in range(30))
    )
    done = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 503]
    assert (len(done), len(refused)) == (THREADS + QUEUE, 30 - THREADS - QUEUE)
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert all(answer.message for answer in refused)
    again = await busy.request("POST", "/keys/rsa/sign", user=signer, json=SIGN_RSA)
    assert again.status == 200
    shown = (await busy.request("GET", "/keys/rsa", user=ADMIN)).json()
    assert shown["operations"] == len(done) + 1


async def test_a_full_queue_does_not_hold_up_fast_keys(busy: Core, signer: Credentials) -> None:
    await busy.generate("rsa", "RSA", "RSA_Signature_PKCS1", length=2048)
    await busy.generate("ec", "EC_P256", "ECDSA_Signature")
    slow = [
        asyncio.create_task(busy.request("POST", "/keys/rsa/sign", user=signer, json=SIGN_RSA))
        for _ in range(THREADS + QUEUE)
    ]
    await asyncio.sleep(0)
    fast = await busy.request("POST", "/keys/ec/sign", user=signer, json=SIGN)
    assert fast.status == 200
    assert not all(task.done() for task in slow)
    assert statuses(await asyncio.gather(*slow)) == [200] * (THREADS + QUEUE)


# --- lock ----------------------------------------------------------------------------------------


async def test_lock_lets_signatures_under_way_finish_and_begins_no_other(
    busy: Core, signer: Credentials
) -> None:
    await busy.generate("rsa", "RSA", "RSA_Signature_PKCS1", length=2048)

    def sign() -> asyncio.Task[Answer]:
        return asyncio.create_task(
            busy.request("POST", "/keys/rsa/sign", user=signer, json=SIGN_RSA)
        )

    before = [sign() for _ in range(THREADS + QUEUE)]
    await asyncio.sleep(0)
    locking = asyncio.create_task(busy.request("POST", "/lock", user=ADMIN))
    await until_locked(busy)
    assert not locking.done()
    after = [sign() for _ in range(3)]
    assert statuses(await asyncio.gather(*after)) == [412] * 3
    assert (await locking).status == 204
    assert all(task.done() for task in before)
    assert statuses(await asyncio.gather(*before)) == [200] * (THREADS + QUEUE)
    await unlock(busy)
    shown = (await busy.request("GET", "/keys/rsa", user=ADMIN)).json()
    assert shown["operations"] == THREADS + QUEUE


async def test_of_two_locks_one_locks_and_neither_waits_for_the_other(busy: Core) -> None:
    await busy.request("GET", "/keys", user=ADMIN)
    answers = await asyncio.wait_for(
        asyncio.gather(*(busy.request("POST", "/lock", user=ADMIN) for _ in range(2))), 5
    )
    assert statuses(answers) == [204, 412]


class HeldBody(WholeBody):
    """A body that arrives when the test lets it."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._body, self.whole = body, None
        self.asked_for = asyncio.Event()
        self.may_arrive = asyncio.Event()

    async def read(self, limit: int) -> bytes:
        self.asked_for.set()
        await self.may_arrive.wait()
        assert len(self._body) <= limit
        return self._body

    def belongs_to(self, party: Party) -> None:
        pass


async def test_what_outlasts_the_patience_of_lock_gets_412_and_changes_nothing(
    busy: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hsm_module, "LOCK_PATIENCE_SECONDS", 0.05)
    body = HeldBody(b'{"id":"late","type":"EC_P256","mechanisms":["ECDSA_Signature"]}')
    headers = {"authorization": basic(ADMIN), "content-type": "application/json"}
    request = Request(
        1, "POST", "/api/v1/keys/generate", "", headers, "192.0.2.1", b"", None, more=True
    )
    uploading = asyncio.create_task(busy.dispatcher.answer(request, body))
    await body.asked_for.wait()
    assert (await busy.request("POST", "/lock", user=ADMIN)).status == 204
    body.may_arrive.set()
    assert (await uploading).status == 412
    await unlock(busy)
    assert (await busy.request("GET", "/keys", user=ADMIN)).json() == []


async def test_what_is_changed_while_lock_loses_its_patience_is_told(
    busy: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hsm_module, "LOCK_PATIENCE_SECONDS", 0.05)
    is_writing, may_write = busy.store.hold_next_commit()
    wanted = {"currentPassphrase": UNLOCK, "unlockShares": {"threshold": 2, "shares": 3}}
    changing = asyncio.create_task(
        busy.request("PUT", "/config/unlock-passphrase", user=ADMIN, json=wanted)
    )
    await is_writing.wait()
    assert (await busy.request("POST", "/lock", user=ADMIN)).status == 204
    may_write.set()
    answer = await changing
    assert answer.status == 200, answer
    for share, status in zip(answer.json()["shares"][:2], (202, 204), strict=True):
        given = await busy.request("POST", "/unlock", json={"share": share})
        assert given.status == status


async def test_entries_stay_whose_deletion_outlasts_lock(
    busy: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hsm_module, "LOCK_PATIENCE_SECONDS", 0.05)
    auditor = await busy.add_user("auditor", "Auditor")
    before = (await busy.request("GET", "/journal", user=auditor)).body
    is_writing, may_write = busy.store.hold_next_commit()
    deleting = asyncio.create_task(busy.request("DELETE", "/journal?upto=3", user=auditor))
    await is_writing.wait()  # The entry that says that others are deleted.
    locking = asyncio.create_task(busy.request("POST", "/lock", user=ADMIN))
    _ = await asyncio.wait([locking], timeout=0.5)
    assert any("keys were dropped" in line for line in busy.log_lines)
    may_write.set()
    assert (await deleting).status == 412
    assert (await locking).status == 204
    await unlock(busy)
    assert (await busy.request("GET", "/journal", user=auditor)).body.startswith(before)


async def lock_during_a_change(
    busy: Core,
) -> tuple[HeldBody, asyncio.Task[Any], asyncio.Task[Answer]]:
    """Return the body that a change waits for, that change, and a lock that waits for it."""
    body = HeldBody(b'{"label":"x"}')
    headers = {"authorization": basic(ADMIN), "content-type": "application/json"}
    request = Request(1, "PUT", "/api/v1/keys/k/label", "", headers, "192.0.2.1", b"", None, True)
    labelling = asyncio.create_task(busy.dispatcher.answer(request, body))
    await body.asked_for.wait()
    locking = asyncio.create_task(busy.request("POST", "/lock", user=ADMIN))
    await until_locked(busy)
    return body, labelling, locking


async def test_after_an_unlock_during_lock_the_journal_records_what_is_done(busy: Core) -> None:
    body, labelling, locking = await lock_during_a_change(busy)
    unlocking = asyncio.create_task(unlock(busy))
    _ = await asyncio.wait([unlocking], timeout=0.1)
    assert not locking.done()
    assert not unlocking.done()
    body.may_arrive.set()
    assert (await labelling).status == 404
    assert (await locking).status == 204
    await unlocking
    await busy.generate("new", "EC_P256", "ECDSA_Signature")
    entries = (await busy.request("GET", "/journal", user=ADMIN)).body.splitlines()
    actions = [json.loads(entry)["action"] for entry in entries]
    in_order = ["POST /lock", "journal opened", "POST /unlock", "POST /keys/generate"]
    assert [action for action in actions if action in in_order][-4:] == in_order


async def test_a_stop_during_lock_waits_for_it_and_closes_the_journal(busy: Core) -> None:
    body, labelling, locking = await lock_during_a_change(busy)
    stopping = asyncio.create_task(busy.hsm.stop())
    _ = await asyncio.wait([stopping], timeout=0.1)
    assert not stopping.done()
    body.may_arrive.set()
    await stopping
    assert (await labelling).status == 404
    assert (await locking).status == 204
    again = await start_core(store=busy.store, device_key=busy.device_key)
    await unlock(again)
    entries = (await again.request("GET", "/journal", user=ADMIN)).body.splitlines()
    opened = [one for one in map(json.loads, entries) if one["action"] == "journal opened"]
    assert not opened[-1].get("outcome")
    again.close()


async def test_unlock_during_lock_opens_a_session_of_its_own(
    busy: Core, signer: Credentials
) -> None:
    await busy.generate("rsa", "RSA", "RSA_Signature_PKCS1", length=2048)
    signing = [
        asyncio.create_task(busy.request("POST", "/keys/rsa/sign", user=signer, json=SIGN_RSA))
        for _ in range(4)
    ]
    await asyncio.sleep(0)
    locking = asyncio.create_task(busy.request("POST", "/lock", user=ADMIN))
    await until_locked(busy)
    await unlock(busy)
    assert (await locking).status == 204
    assert statuses(await asyncio.gather(*signing)) == [200] * 4
    answer = await busy.request("POST", "/keys/rsa/sign", user=signer, json=SIGN_RSA)
    assert answer.status == 200
    session = busy.hsm.session
    assert session is not None
    await session.flush_counters()
    shown = (await busy.request("GET", "/keys/rsa", user=ADMIN)).json()
    assert shown["operations"] == 5


# --- namespaces ----------------------------------------------------------------------------------


@pytest.mark.parametrize("head_start", range(0, 40, 3))
async def test_no_key_outlives_its_namespace(busy: Core, head_start: int) -> None:
    administrator = await busy.add_namespace("ns")
    await busy.generate("old", "EC_P256", "ECDSA_Signature", by=administrator)
    wanted = {"id": "new", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    creating = asyncio.create_task(
        busy.request("POST", "/keys/generate", user=administrator, json=wanted)
    )
    for _ in range(head_start):
        await asyncio.sleep(0)
    deleted = await busy.request("DELETE", "/namespaces/ns", user=ADMIN)
    created = await creating
    assert deleted.status == 204
    assert created.status in {201, 403, 404}
    assert (await busy.request("PUT", "/namespaces/ns", user=ADMIN)).status == 204
    assert (await busy.request("GET", "/keys", user=administrator)).json() == []


async def test_a_user_is_not_made_by_the_root_in_a_namespace_that_exists_by_then(
    busy: Core, kdf_pool: WatchedPool
) -> None:
    await busy.request("GET", "/users", user=ADMIN)

    async def create_the_namespace() -> None:
        assert (await busy.request("PUT", "/namespaces/ns", user=ADMIN)).status == 204

    kdf_pool.after_run = create_the_namespace
    made = await busy.request("PUT", "/users/ns~intruder", user=ADMIN, json=NEW_USER)
    assert made.status == 403
    assert (await busy.request("GET", "/users", user=ADMIN)).json() == [{"user": "admin"}]


# --- keys that go while they are used ------------------------------------------------------------


async def test_a_signature_under_way_outlives_its_key(busy: Core, signer: Credentials) -> None:
    await busy.generate("rsa", "RSA", "RSA_Signature_PKCS1", length=2048)
    signing = asyncio.create_task(
        busy.request("POST", "/keys/rsa/sign", user=signer, json=SIGN_RSA)
    )
    deleted = await busy.request("DELETE", "/keys/rsa", user=ADMIN)
    assert deleted.status == 204
    assert (await signing).status in {200, 404}
    again = await busy.request("POST", "/keys/rsa/sign", user=signer, json=SIGN_RSA)
    assert again.status == 404
    session = busy.hsm.session
    assert session is not None
    await session.flush_counters()
    assert (await busy.request("GET", "/keys", user=ADMIN)).json() == []


async def test_a_tag_taken_away_is_gone_for_the_next_request(
    busy: Core, signer: Credentials
) -> None:
    await busy.generate("key", "EC_P256", "ECDSA_Signature", restrictions={"tags": ["t"]})
    await busy.request("PUT", "/users/signer/tags/t", user=ADMIN)
    assert (await busy.request("POST", "/keys/key/sign", user=signer, json=SIGN)).status == 200
    await busy.request("DELETE", "/users/signer/tags/t", user=ADMIN)
    assert (await busy.request("POST", "/keys/key/sign", user=signer, json=SIGN)).status == 403
