"""What watches a server: Prometheus, with our rules."""

import contextlib
import json
import re
import shutil
import ssl
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from keystead.journal.exposition import MetricType
from keystead.journal.metrics import Load, Metrics
from tests.support.daemons import free_port, running
from tests.support.server import wait_until

MONITORING = Path(__file__).parents[2] / "packaging/monitoring"
DASHBOARD = json.loads((MONITORING / "grafana-dashboard.json").read_text())
SECONDS = 60


def needs(command: str):
    return pytest.mark.skipif(shutil.which(command) is None, reason=f"{command} is not installed")


@needs("promtool")
@pytest.mark.parametrize("check", [("check", "alerts.yaml"), ("test", "alerts_test.yaml")])
def test_promtool_accepts_the_alert_rules_and_they_fire_when_they_should(check):
    what, file = check
    subprocess.run(["promtool", what, "rules", file], cwd=MONITORING, check=True)


@pytest.mark.parametrize("file", ["alerts.yaml", "grafana-dashboard.json"])
def test_rules_and_dashboard_ask_only_for_metrics_that_there_are(file):
    families = Metrics(lambda: 0.0).families(
        version="1",
        log_warnings=0,
        log_errors=0,
        load=Load(is_writable=True, work={}, free_bytes=1, serves_minority=False),
    )
    known = set()
    for family in families:
        suffixes = {
            MetricType.COUNTER: ["_total"],
            MetricType.HISTOGRAM: ["_bucket", "_sum", "_count"],
        }
        known |= {family.name + suffix for suffix in suffixes.get(family.kind, [""])}
    asked = set(re.findall(r"keystead_[a-z_]+", (MONITORING / file).read_text()))
    assert asked
    assert asked <= known


def test_the_dashboard_has_a_query_in_each_panel():
    assert all(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def lost(given, kept, at: str = "dashboard") -> list[str]:
    """Return the places where `kept` does not have what is in `given`."""
    match given, kept:
        case dict(), dict():
            inner = [(f"{at}.{name}", given[name], kept.get(name)) for name in given]
        case list(), list() if len(given) == len(kept):
            inner = [(f"{at}[{place}]", one, kept[place]) for place, one in enumerate(given)]
        case _:
            return [] if given == kept else [at]
    return [place for where, value, other in inner for place in lost(value, other, where)]


def as_grafana_reads_it(dashboard: dict) -> dict:
    register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


def test_grafana_s_own_types_know_each_field_of_the_dashboard():
    assert lost(DASHBOARD, as_grafana_reads_it(DASHBOARD)) == []
    mistaken = {"panels": [{"type": "stat", "titel": "Locked"}]}
    assert lost(mistaken, as_grafana_reads_it(mistaken)) == ["dashboard.panels[0].titel"]


def queries() -> list[str]:
    """Return the queries of the dashboard, as Grafana sends them for all instances."""
    targets = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [target["expr"].replace("$instance", ".*") for target in targets]


def prepared(folder: Path, server) -> Path:
    """Make prometheus.yml as the example has it, for this server, with all that it names."""
    server.provision()
    server.add_user("metrics", "Metrics")
    folder.mkdir()
    (folder / "passphrase").write_text(server.passphrases["metrics"])
    (folder / "cert.pem").write_text(ssl.get_server_certificate((server.host, server.port)))
    shutil.copy(MONITORING / "alerts.yaml", folder)
    example = (MONITORING / "prometheus.yml").read_text()
    file = folder / "prometheus.yml"
    file.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        + example.replace("localhost:8443", f"{server.host}:{server.port}")
    )
    return file


def queried(port: int, path: str):
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=5) as answer,
    ):
        return json.load(answer)["data"]
    return None


@needs("prometheus")
def test_prometheus_scrapes_a_server_with_the_configuration_shown(server, tmp_path):
    file = prepared(tmp_path / "prometheus", server)
    subprocess.run(["promtool", "check", "config", file], check=True)
    port = free_port()
    command = (
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={file.parent / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with running(*command, log=tmp_path / "prometheus.log"):

        def value(query: str) -> str | None:
            found = queried(port, f"query?query={query}")
            return found["result"][0]["value"][1] if found and found["result"] else None

        wait_until(
            lambda: value("keystead_store_writable") == "1",
            seconds=SECONDS,
            what=lambda: f"{queried(port, 'targets')}\n{(tmp_path / 'prometheus.log').read_text()}",
        )
        assert value("up") == "1"
        for query in queries():
            assert queried(port, f"query?query={urllib.parse.quote(query)}") is not None, query
        groups = queried(port, "rules")["groups"]
        assert {rule["health"] for rule in groups[0]["rules"]} <= {"ok", "unknown"}
