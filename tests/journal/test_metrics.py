import pytest

from keystead.journal.exposition import openmetrics
from keystead.journal.metrics import RESPONSE_SECONDS_BOUNDS, Load, Metrics

LOAD = Load(is_writable=True, work={"use": 2, "kdf": 0}, free_bytes=None)


def buckets(metrics: Metrics) -> dict[str, int]:
    text = openmetrics(metrics.families(version="1", log_warnings=0, log_errors=0, load=LOAD))
    lines = [line for line in text.splitlines() if "_bucket" in line]
    return {line.split('"')[1]: int(line.rpartition(" ")[2]) for line in lines}


@pytest.mark.parametrize(
    ("seconds", "first"), [(0.0, "0.001"), (0.001, "0.001"), (0.0011, "0.0025"), (10.5, "+Inf")]
)
def test_a_response_counts_from_its_bucket_upwards(seconds, first):
    metrics = Metrics(lambda: 0.0)
    metrics.count_response(200, seconds)
    counted = buckets(metrics)
    assert list(counted) == [*map(str, RESPONSE_SECONDS_BOUNDS), "+Inf"]
    bounds = list(counted)
    assert [counted[bound] for bound in bounds] == [
        int(bounds.index(bound) >= bounds.index(first)) for bound in bounds
    ]


def test_a_core_that_has_answered_nothing_still_has_metrics():
    assert buckets(Metrics(lambda: 0.0))["+Inf"] == 0


def test_free_space_that_is_not_known_is_left_out():
    shown = {
        free: openmetrics(
            Metrics(lambda: 0.0).families(
                version="1", log_warnings=0, log_errors=0, load=LOAD._replace(free_bytes=free)
            )
        )
        for free in (0, None)
    }
    assert "keystead_store_free_bytes 0\n" in shown[0]
    assert "keystead_store_free_bytes" not in shown[None]
    assert 'keystead_work_under_way{work="use"} 2\n' in shown[None]


def test_the_edges_are_those_of_the_moment():
    metrics, edges = Metrics(lambda: 0.0), ["one", "two"]
    metrics.edges = edges.__len__
    edges.pop()
    shown = openmetrics(metrics.families(version="1", log_warnings=0, log_errors=0, load=LOAD))
    assert "keystead_edges_connected 1\n" in shown
