"""What the platform tells the core of a cluster, and what it does when the core falls behind."""

from keystead.platform.news import NewsForCore
from keystead.wire.cluster_messages import AnyRecordChanged, RecordsChanged, UpToDate
from keystead.wire.connection import ConnectionEnded


class Core:
    """The end of the connection that the platform writes to."""

    def __init__(self):
        self.is_writable = True
        self.has_ended = False
        self.heard = []

    def send(self, message):
        if self.has_ended:
            raise ConnectionEnded("closed")
        self.heard.append(message)


def test_news_are_told_in_their_order():
    core = Core()
    news = NewsForCore(core)
    news.changed(["/0/key/a"])
    news.up_to_date(1.0, is_alone=False)
    news.lost()
    news.up_to_date(2.0, is_alone=False)
    news.up_to_date(3.0, is_alone=False)
    assert core.heard == [
        RecordsChanged(["/0/key/a"]),
        UpToDate(1.0),
        AnyRecordChanged(),
        UpToDate(2.0),
        UpToDate(3.0),
    ]


def test_a_core_that_falls_behind_is_not_up_to_date_and_hears_later_that_it_missed_something():
    core = Core()
    news = NewsForCore(core)
    core.is_writable = False
    news.changed(["/0/key/a"])
    news.up_to_date(1.0, is_alone=False)
    assert core.heard == []
    core.is_writable = True
    news.up_to_date(2.0, is_alone=False)
    assert core.heard == [AnyRecordChanged(), UpToDate(2.0)]


def test_very_many_changes_are_told_as_any():
    core = Core()
    news = NewsForCore(core)
    news.changed([f"/0/key/{number}" for number in range(100_000)])
    news.up_to_date(1.0, is_alone=False)
    assert core.heard == [AnyRecordChanged(), UpToDate(1.0)]


def test_news_for_a_core_that_is_gone_are_dropped():
    core = Core()
    core.has_ended = True
    news = NewsForCore(core)
    news.changed(["/0/key/a"])
    news.up_to_date(1.0, is_alone=False)
    assert core.heard == []
