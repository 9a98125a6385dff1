"""GET /metrics in each of its three forms, read by Prometheus's own parsers."""

import asyncio
from collections.abc import Iterable, Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from keystead import __version__
from keystead.wire.edge_messages import Request
from tests.support.core import (
    ADMIN,
    FREE_BYTES,
    Answer,
    Core,
    Credentials,
    WholeBody,
    b64,
    basic,
    start_core,
)

TYPES = {
    "application/openmetrics-text": "application/openmetrics-text; version=1.0.0; charset=utf-8",
    "text/plain": "text/plain; version=0.0.4; charset=utf-8",
    "application/json": "application/json",
}
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_2_TEXT = "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Measured:
    """A core that has signed twice, and its metrics."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self.core: Core = self.run(start_core())
        self.run(self.core.provision())
        self.user: Credentials = self.run(self.core.add_user("metrics", "Metrics"))
        operator = self.run(self.core.add_user("operator", "Operator"))
        self.run(self.core.generate("key", "Curve25519", "EdDSA_Signature"))
        for _ in range(2):
            sign = {"mode": "EdDSA", "message": b64(b"message")}
            answer = self.run(self.core.request("POST", "/keys/key/sign", user=operator, json=sign))
            assert answer.status == 200

    def metrics(self, accept: str | None = None, *, method: str = "GET") -> Answer:
        headers = {} if accept is None else {"accept": accept}
        return self.run(self.core.request(method, "/metrics", user=self.user, headers=headers))


@pytest.fixture(scope="module")
def measured() -> Iterator[Measured]:
    with asyncio.Runner() as runner:
        measured = Measured(runner)
        yield measured
        runner.run(measured.core.hsm.stop())
        measured.core.close()


def samples(families: Iterable[Metric]) -> dict[tuple[str, ...], float]:
    """Values by name and label values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def families_of(measured: Measured, accept: str) -> list[Metric]:
    parse = parse_openmetrics if "openmetrics" in accept else parse_prometheus
    return list(parse(measured.metrics(accept).body.decode()))


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        (BROWSER, "application/json"),
        ("text/plain", "text/plain"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
        (PROMETHEUS_3, "application/openmetrics-text"),
        (PROMETHEUS_2_TEXT, "text/plain"),
        ("application/json;q=0.1, text/*", "text/plain"),
        ("application/json;q=0, */*", "application/openmetrics-text"),
    ],
)
def test_a_client_gets_the_form_it_prefers(measured, accept, given):
    answer = measured.metrics(accept)
    assert (answer.status, answer.headers["Content-Type"]) == (200, TYPES[given])
    assert answer.headers["Vary"] == "Accept"


def test_a_client_that_takes_none_of_them_is_told_what_there_is(measured):
    answer = measured.metrics("text/html")
    assert answer.status == 406
    assert answer.message == (
        "This gives application/json or application/openmetrics-text or text/plain."
    )


def test_there_is_one_content_type_only(measured):
    headers = {"authorization": basic(measured.user), "accept": "text/plain"}
    request = Request(1, "GET", "/api/v1/metrics", "", headers, "192.0.2.1", b"")
    response = measured.run(measured.core.dispatcher.answer(request, WholeBody(b"")))
    assert response.header_lines.count(b"Content-Type: ") == 1


@pytest.mark.parametrize("accept", ["application/openmetrics-text", "text/plain"])
def test_prometheus_reads_every_family_with_its_help_and_type(measured, accept):
    families = families_of(measured, accept)
    assert {family.name: family.type for family in families} == {
        "keystead_build_info": "gauge",
        "keystead_uptime_seconds": "gauge",
        "keystead_key_operations": "counter",
        "keystead_key_access": "counter",
        "keystead_http_responses": "counter",
        "keystead_http_response_seconds": "histogram",
        "keystead_edges_connected": "gauge",
        "keystead_edge_refusals": "counter",
        "keystead_store_writes": "counter",
        "keystead_store_writable": "gauge",
        "keystead_store_free_bytes": "gauge",
        "keystead_work_under_way": "gauge",
        "keystead_log_events": "counter",
        "keystead_gc_collections": "counter",
    }
    assert all(family.documentation.endswith(".") for family in families)


@pytest.mark.parametrize("accept", ["application/openmetrics-text", "text/plain"])
def test_the_numbers_are_those_of_the_json(measured, accept):
    told = measured.metrics().json()
    values = samples(families_of(measured, accept))
    assert values["keystead_build_info", __version__] == 1
    assert values["keystead_uptime_seconds",] == pytest.approx(int(told["uptime"]), abs=1)
    for kind, count in {"generate": 1, "sign": 2, "decrypt": 0, "encrypt": 0}.items():
        assert values["keystead_key_operations_total", kind] == count == int(told[kind])
    assert values["keystead_http_responses_total", "201"] == int(told["http response 201"])
    assert values["keystead_store_free_bytes",] == FREE_BYTES
    assert values["keystead_work_under_way", "use"] == 0
    assert values["keystead_store_writes_total",] == int(told["kv write"]) > 0
    assert values["keystead_log_events_total", "warning"] == int(told["log warnings"])


def test_every_response_is_in_the_histogram(measured):
    before = samples(families_of(measured, "text/plain"))
    after = samples(families_of(measured, "text/plain"))
    name = "keystead_http_response_seconds"
    assert after[name + "_count",] == before[name + "_count",] + 1
    assert after[name + "_bucket", "+Inf"] == after[name + "_count",]
    assert after[name + "_sum",] >= before[name + "_sum",]
    answered = sum(count for (kind, *_), count in after.items() if "http_responses" in kind)
    assert answered == after[name + "_count",]


def test_the_head_of_each_form_is_answered(measured):
    assert measured.metrics("text/plain", method="HEAD").status == 200


def test_only_metrics_users_see_them(measured):
    ask = measured.core.request("GET", "/metrics", user=ADMIN, headers={"accept": "text/plain"})
    assert measured.run(ask).status == 403
