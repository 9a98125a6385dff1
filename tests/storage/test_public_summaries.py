"""Summaries of keys in memory: of one revision each, and not too many."""

import pytest

from keystead.algorithms import PublicParts, ShownPublic
from keystead.model.ids import parse_label, parse_tag
from keystead.storage import public_summaries
from keystead.storage.public_summaries import PublicSummaries, PublicSummary
from tests.support.stores import key_path

A, B, C = key_path("a"), key_path("b"), key_path("c")
FIRST, SECOND = b"hash 1", b"hash 2"


def summary(size: int) -> PublicSummary:
    parts = PublicParts(modulus=bytes(size), public_exponent=b"\1\0\1")
    return PublicSummary(ShownPublic("RSA", parts, pem=bytes(2 * size)))


def test_a_summary_counts_for_its_record_alone():
    summaries = PublicSummaries()
    summaries.put(A, FIRST, summary(256))
    assert summaries.get(A, FIRST) == summary(256)
    assert summaries.get(A, SECOND) is summaries.get(B, FIRST) is None
    summaries.put(A, SECOND, summary(512))
    assert summaries.get(A, FIRST) is None
    assert summaries.get(A, SECOND) == summary(512)


def test_a_key_without_a_public_half_has_a_summary_too():
    summaries = PublicSummaries()
    generic = PublicSummary(ShownPublic("Generic", None, None))
    summaries.put(A, FIRST, generic)
    assert summaries.get(A, FIRST) == generic


def test_the_first_ones_make_room_and_a_replaced_one_takes_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(public_summaries, "MOST_BYTES", 2 * summary(1000).weight)
    summaries = PublicSummaries()
    for number in range(1, 10):
        summaries.put(A, b"hash %d" % number, summary(1000))
    summaries.put(B, FIRST, summary(1000))
    assert summaries.get(A, b"hash 9") is not None
    summaries.put(C, FIRST, summary(1000))
    assert summaries.get(A, b"hash 9") is None
    assert (summaries.get(B, FIRST), summaries.get(C, FIRST)) == (summary(1000), summary(1000))


def test_nothing_stays_after_clear():
    summaries = PublicSummaries()
    summaries.put(A, FIRST, summary(10))
    summaries.clear()
    assert summaries.get(A, FIRST) is None


def test_long_labels_and_many_tags_take_room_too():
    plain = summary(10)
    longer = plain._replace(label=parse_label("x" * 32), tags=frozenset({parse_tag("north")}))
    assert longer.weight > plain.weight + 32 + len("north")


def test_ten_thousand_keys_with_rsa_2048_have_room():
    one = summary(256)._replace(label=parse_label("x" * 20), tags=frozenset({parse_tag("north")}))
    assert 10_000 * one.weight <= public_summaries.MOST_BYTES
