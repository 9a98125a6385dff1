"""Summaries of keys in memory: of one revision each, and not too many."""

import pytest

from keystead.algorithms import PublicParts
from keystead.storage import public_summaries
from keystead.storage.public_summaries import PublicSummaries, PublicSummary
from tests.support.stores import key_path

A, B, C = key_path("a"), key_path("b"), key_path("c")


def summary(size: int) -> PublicSummary:
    return PublicSummary("RSA", PublicParts(modulus=bytes(size), public_exponent=b"\x03"), b"pem")


def test_a_summary_counts_for_its_revision_alone():
    summaries = PublicSummaries()
    summaries.put(A, 5, summary(256))
    assert summaries.get(A, 5) == summary(256)
    assert summaries.get(A, 6) is summaries.get(B, 5) is None
    summaries.put(A, 6, summary(512))
    assert summaries.get(A, 5) is None
    assert summaries.get(A, 6) == summary(512)


def test_a_key_without_a_public_half_has_a_summary_too():
    summaries = PublicSummaries()
    summaries.put(A, 1, PublicSummary("Generic", None, None))
    assert summaries.get(A, 1) == ("Generic", None, None)


def test_the_first_ones_make_room_and_a_replaced_one_takes_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(public_summaries, "MOST_BYTES", 2 * summary(1000).weight)
    summaries = PublicSummaries()
    for revision in range(1, 10):
        summaries.put(A, revision, summary(1000))
    summaries.put(B, 1, summary(1000))
    assert summaries.get(A, 9) is not None
    summaries.put(C, 1, summary(1000))
    assert summaries.get(A, 9) is None
    assert (summaries.get(B, 1), summaries.get(C, 1)) == (summary(1000), summary(1000))


def test_nothing_stays_after_clear():
    summaries = PublicSummaries()
    summaries.put(A, 1, summary(10))
    summaries.clear()
    assert summaries.get(A, 1) is None
