"""The metrics of the core, under NetHSM's names and for Prometheus."""

import gc
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from resource import RUSAGE_SELF, getrusage
from typing import NamedTuple

from keystead.algorithms import USES
from keystead.journal.exposition import Family, MetricType, Sample
from keystead.model.members import DatabaseSpace
from keystead.wire.edge_messages import Refusal

RESPONSE_TIME_SMOOTHING = 0.3
"""The weight of the newest response in the moving average, as in NetHSM."""

RESPONSE_SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""The upper bounds of the histogram, from a P-256 signature to an RSA key that waited."""

KEY_OPERATIONS = ("generate", *(use.verb for use in USES))


class Load(NamedTuple):
    """How things are at the moment of a scrape."""

    is_writable: bool
    work: Mapping[str, int]
    """The slow operations that wait or run, by the kind of work."""
    free_bytes: int | None
    """The space on the store's disk, if it is known."""
    database: DatabaseSpace | None = None
    """How full etcd's database is, if this HSM is a member of a cluster and its etcd answers."""
    serves_minority: bool | None = None
    """Whether it answers without a majority of its cluster. None without a cluster."""


class Metrics:
    """Counters since the core started."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._started = monotonic()
        # No Counters, whose items Python sets ten times as slowly.
        self._responses: defaultdict[int, int] = defaultdict(int)
        self._key_operations = dict.fromkeys(KEY_OPERATIONS, 0)
        self.uses_permitted = 0
        self.uses_refused = 0
        self._refusals: Counter[Refusal] = Counter()
        self._response_seconds = 0.0
        self._seconds_total = 0.0
        self._seconds_counts = [0] * (len(RESPONSE_SECONDS_BOUNDS) + 1)
        self._writes = 0
        self.edges: Callable[[], int] = lambda: 0
        """How many edges are connected now."""

    def count_key_operation(self, kind: str, number: int = 1) -> None:
        """Count keys that were generated, `generate`, or uses of a key: the verb of the use."""
        self._key_operations[kind] += number

    def count_refusals(self, counts: Mapping[Refusal, int]) -> None:
        """Count what edges refused by themselves, by reason."""
        self._refusals.update(counts)

    def count_writes(self, number: int) -> None:
        """Count records written to the store."""
        self._writes += number

    def count_response(self, status: int, seconds: float) -> None:
        """Count an answered request and how long it took."""
        self._responses[status] += 1
        self._seconds_total += seconds
        self._seconds_counts[bisect_left(RESPONSE_SECONDS_BOUNDS, seconds)] += 1
        self._response_seconds += RESPONSE_TIME_SMOOTHING * (seconds - self._response_seconds)

    def values(self, *, log_warnings: int, log_errors: int) -> dict[str, str]:
        """Return every metric by NetHSM's name, each value as text."""
        collections = gc.get_stats()
        numbers: dict[str, int] = {
            "uptime": int(self._monotonic() - self._started),
            "log warnings": log_warnings,
            "log errors": log_errors,
            "gc major collections": collections[-1]["collections"],
            "gc minor collections": collections[0]["collections"],
            "gc compactions": 0,  # Python's collector moves nothing.
            "gc major bytes": getrusage(RUSAGE_SELF).ru_maxrss * 1024,
            "kv write": self._writes,
            "http response total": sum(self._responses.values()),
        }
        numbers |= self._key_operations
        for status, count in sorted(self._responses.items()):
            numbers[f"http response {status}"] = count
        texts = {name: str(number) for name, number in numbers.items()}
        texts["http response time"] = f"{self._response_seconds:.6f}"
        return texts

    def families(
        self, *, version: str, log_warnings: int, log_errors: int, load: Load
    ) -> list[Family]:
        """Return every metric under its name for Prometheus."""
        return [
            *_gauges(load),
            Family(
                "keystead_build_info",
                MetricType.GAUGE,
                "The version that runs; the value is always 1.",
                (Sample(1, labels=(("version", version),)),),
            ),
            Family(
                "keystead_uptime_seconds",
                MetricType.GAUGE,
                "Time since the core process started.",
                (Sample(self._monotonic() - self._started),),
            ),
            _counters(
                "keystead_key_operations",
                "Uses of keys, and keys generated.",
                "operation",
                self._key_operations,
            ),
            _counters(
                "keystead_key_access",
                "Uses of keys that were permitted or refused.",
                "decision",
                {"permitted": self.uses_permitted, "refused": self.uses_refused},
            ),
            _counters(
                "keystead_http_responses",
                "Requests answered, by status.",
                "status",
                {str(status): count for status, count in sorted(self._responses.items())},
            ),
            _counters(
                "keystead_edge_refusals",
                "Connections and requests that an edge refused by itself, by reason.",
                "reason",
                {str(reason): count for reason, count in sorted(self._refusals.items())},
            ),
            self._response_times(),
            Family(
                "keystead_edges_connected",
                MetricType.GAUGE,
                "Edge processes that the core serves.",
                (Sample(self.edges()),),
            ),
            Family(
                "keystead_store_writes",
                MetricType.COUNTER,
                "Records written to the store.",
                (Sample(self._writes),),
            ),
            _counters(
                "keystead_log_events",
                "Events logged, by level.",
                "level",
                {"warning": log_warnings, "error": log_errors},
            ),
            _counters(
                "keystead_gc_collections",
                "Runs of Python's garbage collector, by generation.",
                "generation",
                {str(number): one["collections"] for number, one in enumerate(gc.get_stats())},
            ),
        ]

    def _response_times(self) -> Family:
        bounds = (*(str(bound) for bound in RESPONSE_SECONDS_BOUNDS), "+Inf")
        counts = list(accumulate(self._seconds_counts))
        buckets = (
            Sample(count, suffix="_bucket", labels=(("le", bound),))
            for bound, count in zip(bounds, counts, strict=True)
        )
        return Family(
            "keystead_http_response_seconds",
            MetricType.HISTOGRAM,
            "Time from a request's arrival in the core to its answer.",
            (
                *buckets,
                Sample(counts[-1], suffix="_count"),
                Sample(self._seconds_total, suffix="_sum"),
            ),
        )


def _gauges(load: Load) -> Iterator[Family]:
    yield Family(
        "keystead_work_under_way",
        MetricType.GAUGE,
        "Slow operations that wait for a thread or run now, by the kind of work.",
        tuple(Sample(count, labels=(("work", kind),)) for kind, count in load.work.items()),
    )
    yield Family(
        "keystead_store_writable",
        MetricType.GAUGE,
        "1; 0 while the store cannot write, as on a full disk, and changes are refused.",
        (Sample(int(load.is_writable)),),
    )
    if load.free_bytes is not None:
        yield Family(
            "keystead_store_free_bytes",
            MetricType.GAUGE,
            "Free space on the disk with the data directory.",
            (Sample(load.free_bytes),),
        )
    if load.serves_minority is not None:
        yield Family(
            "keystead_without_majority",
            MetricType.GAUGE,
            "1 while the HSM answers without a majority: it does not know what others revoke.",
            (Sample(int(load.serves_minority)),),
        )
    if load.database is not None:
        yield from _database(load.database)


def _database(space: DatabaseSpace) -> Iterator[Family]:
    for name, description, value in (
        ("size_bytes", "The size of etcd's database.", space.size_bytes),
        ("used_bytes", "The part of etcd's database that records need.", space.used_bytes),
        ("quota_bytes", "The size from which on etcd refuses changes.", space.quota_bytes),
        ("complaints", "Alarms, and what else etcd reports as wrong.", len(space.complaints)),
    ):
        yield Family(f"keystead_etcd_{name}", MetricType.GAUGE, description, (Sample(value),))


def _counters(name: str, description: str, label: str, counts: dict[str, int]) -> Family:
    samples = tuple(Sample(count, labels=((label, value),)) for value, count in counts.items())
    return Family(name, MetricType.COUNTER, description, samples)
