"""A store in another process, when that process is gone or talks nonsense."""

import asyncio

import pytest

from keystead.errors import StaleRevision, StoreUnavailable, WriteRefused
from keystead.storage.backends.remote import RemoteStore, StoreAnswers
from keystead.storage.key_value_store import Change
from keystead.wire.connection import ConnectionEnded
from keystead.wire.platform_messages import (
    Commit,
    Committed,
    Found,
    Get,
    List,
    Listed,
    StoreRefusal,
    Write,
)


class Scripted:
    """Calls that are all answered alike."""

    def __init__(self, reply):
        self.reply = reply

    def next_id(self):
        return 7

    async def ask(self, _message, /):
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


def asked(reply):
    """Return every question to a store that answers with `reply`."""
    store = RemoteStore(Scripted(reply))
    return (
        store.get("/a"),
        store.list("/a", "/b", limit=1),
        store.commit([Change("/a", b"1")]),
    )


def all_raise(questions, error, match):
    for question in questions:
        with pytest.raises(error, match=match):
            asyncio.run(question)


def test_a_store_whose_process_is_gone_is_unavailable():
    all_raise(asked(ConnectionEnded("gone")), StoreUnavailable, "out of reach")


def test_a_refusal_says_why():
    all_raise(
        asked(StoreRefusal(7, "unavailable", "the disk is gone")), StoreUnavailable, "disk is gone"
    )
    all_raise(
        asked(StoreRefusal(7, "unwritable", "the disk is full")), WriteRefused, "disk is full"
    )
    all_raise(asked(StoreRefusal(7, "stale", "changed")), StaleRevision, "changed")


def test_an_answer_to_another_question_is_not_taken():
    get, listing, commit = asked(Listed(7, ["/a"]))
    all_raise([get, commit], StoreUnavailable, "another question")
    assert asyncio.run(listing) == ["/a"]
    get, listing, commit = asked(Committed(7, 3))
    all_raise([get, listing], StoreUnavailable, "another question")
    assert asyncio.run(commit) == 3


def test_an_absent_record_is_none_and_not_an_empty_one():
    get, listing, commit = asked(Found(7, None, 0))
    assert asyncio.run(get) is None
    all_raise([listing, commit], StoreUnavailable, "another question")


class Broken:
    """A store that fails in one way."""

    def __init__(self, error):
        self.error = error

    async def fail(self, *_arguments, **_options):
        raise self.error

    get = list = commit = fail


QUESTIONS = (Get(1, "/a"), List(2, "/a", "/b", 5), Commit(3, [Write("/a", b"1")]))


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_fails_behind_the_answer_is_a_refusal(question):
    reply = asyncio.run(StoreAnswers(Broken(StoreUnavailable("no disk"))).to(question))
    assert reply == StoreRefusal(question.id, "unavailable", "no disk")
    reply = asyncio.run(StoreAnswers(Broken(StaleRevision("changed"))).to(question))
    assert reply == StoreRefusal(question.id, "stale", "changed")
    reply = asyncio.run(StoreAnswers(Broken(WriteRefused("full disk"))).to(question))
    assert reply == StoreRefusal(question.id, "unwritable", "full disk")
