"""The dashboard and the rules in docs/, held to a real Prometheus server that scrapes real instruments."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from importlib import import_module
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from tests.conftest import wait_for
from tests.monitoring.report.exposition import (
    DRIFTED,
    INSTRUMENTS,
    REFERENCE,
    Exposition,
    Process,
    exposed,
    series,
)

from inprocml.monitoring.statistics import psi

DOCS = Path(__file__).parents[3] / "docs"
RULES = DOCS / "prometheus" / "inprocml-alerts.yml"
BOARD = json.loads((DOCS / "grafana" / "inprocml.json").read_text("utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
ALERTS = set(re.findall(r"- alert: (\w+)", RULES.read_text("utf-8")))

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus is not installed: run scripts/install-prometheus.sh",
)
pytestmark = pytest.mark.server


def filled(query):
    """A panel's query as Grafana sends it, every variable at its default."""
    values = {"$__rate_interval": "1m", "$window": "1h", "$model": ".+", "$feature": "amount"}
    for name, value in values.items():
        query = query.replace(name, value)
    assert "$" not in query
    return query


class Prometheus:
    def __init__(self, port):
        self._at = f"http://127.0.0.1:{port}/api/v1/"

    def get(self, path, **told):
        with urllib.request.urlopen(f"{self._at}{path}?{urllib.parse.urlencode(told)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def ask(self, query):
        try:
            return self.get("query", query=query)["result"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{query}\n{error.read().decode()}")

    def up(self):
        try:
            return self.get("rules") is not None
        except OSError:
            return False


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """A server that has scraped three processes some times, and has evaluated the rules on that."""
    home = tmp_path_factory.mktemp("prometheus")
    exposition = Exposition()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    shutil.copy(RULES, home / "rules.yml")
    jobs = [
        {
            "job_name": f"worker-{place}",
            "metrics_path": f"/{place}",
            "static_configs": [{"targets": [f"127.0.0.1:{exposition.port}"]}],
        }
        for place in range(3)
    ]
    told = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yml"],
        "scrape_configs": jobs,
    }
    (home / "prometheus.yml").write_text(json.dumps(told))  # JSON is YAML
    command = [
        "prometheus",
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (home / "log").open("w") as log, subprocess.Popen(command, stderr=log, stdout=log) as process:
        try:
            server = Prometheus(port)
            wait_for(lambda: process.poll() is not None or (server.up() and min(exposition.scrapes) >= 5), 40)
            assert process.poll() is None, (home / "log").read_text()
            wait_for(lambda: server.ask("inprocml:feature_psi:1h"))
            yield server
        finally:
            process.terminate()
            process.wait(20)
            exposition.close()


@needs_prometheus
def test_the_rules_are_sound():
    checked = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False, timeout=30
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_prometheus
@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_shows_something_whoever_named_the_series(prometheus, panel):
    for target in panel["targets"]:
        found = prometheus.ask(filled(target["expr"]))
        assert found, target["expr"]
        models = {each["metric"].get("inprocml_model_name") for each in found}
        assert models in ({None}, *ANY_MODELS), models
        assert all(re.fullmatch(r"-?[\d.e+-]+", each["value"][1]) for each in found)  # nor NaN
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert all(label in each["metric"] for each in found), label


@needs_prometheus
def test_a_version_that_took_over_is_loaded_once_in_each_process(prometheus):
    (target,) = next(panel for panel in PANELS if panel["title"] == "Versions loaded")["targets"]
    found = {
        each["metric"]["inprocml_model_name"]: each["value"][1]
        for each in prometheus.ask(filled(target["expr"]))
    }
    assert found == {"late": "2", "calm": "2", "late-exporter": "1", "calm-exporter": "1"}


ANY_MODELS = (
    {"late", "late-exporter", "calm", "calm-exporter"},
    {"late", "late-exporter"},  # where nothing is shown of a model that is well
)


@needs_prometheus
def test_every_alert_sees_what_is_wrong_and_nothing_else(prometheus):
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    alerts = {rule["name"]: rule["query"] for rule in rules if rule["type"] == "alerting"}
    assert set(alerts) == ALERTS
    for name, query in alerts.items():
        models = {each["metric"]["inprocml_model_name"] for each in prometheus.ask(query)}
        assert models == {"late", "late-exporter"}, name


@needs_prometheus
def test_alerts_go_off_and_say_of_what(prometheus):
    def active():
        return prometheus.get("alerts")["alerts"]

    wait_for(lambda: {alert["labels"]["alertname"] for alert in active()} == ALERTS)
    for alert in active():
        model = alert["labels"]["inprocml_model_name"]
        assert model.startswith("late")
        assert model in alert["annotations"]["summary"]
        assert "<no value>" not in "".join(alert["annotations"].values())
        assert "error" not in alert["annotations"]["summary"].lower()
    at_once = {"InprocmlVersionRefused", "InprocmlCandidateRolledBack"}
    assert {alert["labels"]["alertname"] for alert in active() if alert["state"] == "firing"} == at_once


@needs_prometheus
@pytest.mark.parametrize("column", REFERENCE)
def test_psi_in_the_dashboard_is_that_of_all_workers_together(prometheus, column):
    panel = next(panel for panel in PANELS if "bin counters" in panel["title"])
    found = {
        each["metric"]["inprocml_model_name"]: float(each["value"][1])
        for each in prometheus.ask(filled(panel["targets"][0]["expr"]))
        if each["metric"]["inprocml_feature_name"] == column
    }
    bins = list(REFERENCE[column])
    reference = [REFERENCE[column][label] * 10_000_000 for label in bins]
    together = [sum(worker[column][label] for worker in DRIFTED) * 10_000 for label in bins]
    expected = psi(reference, together, smoothing=1e-4).statistic
    assert found["late"] == pytest.approx(expected, rel=0.03)
    alone = psi(reference, [DRIFTED[0][column][label] * 10_000 for label in bins], smoothing=1e-4).statistic
    assert found["late-exporter"] == pytest.approx(alone, rel=0.03)
    assert abs(alone / expected - 1) > 0.06  # else this would not tell the sum from one worker
    assert abs(found["calm"]) < 0.01


def test_the_dashboard_is_one_that_grafana_takes():
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    names = {variable["name"] for variable in BOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(BOARD["panels"])))
    assert used - {"__rate_interval", "value", "labels"} <= names
    assert all(panel["description"] for panel in PANELS)


def asked_for():
    text = json.dumps(PANELS) + RULES.read_text("utf-8")
    found = set(re.findall(r"\binprocml_[a-z_]+(?=[\[{ )(\n\\])", text))
    found |= {name + "_ratio" for name in re.findall(r"(inprocml_[a-z_]+)\(_ratio\)\?", text)}
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def test_dashboard_and_rules_ask_for_every_instrument_by_its_name():
    every = {series(name, kind, unit, ratio=True) for name, (kind, unit) in INSTRUMENTS.items()}
    assert every <= asked_for()
    told = exposed(_ticked().reader, ratio=True) + exposed(_ticked().reader, ratio=False)
    others = asked_for() - every
    assert {name for name in others if f'{name}="' not in told and f"\n{name}{{" not in told} == set()


def _ticked():
    process = Process(0)
    process.tick()
    return process


class Recorder:
    """A meter that keeps what is created."""

    def __init__(self):
        self.created = {}

    def __getattr__(self, create):
        kind = create.removeprefix("create_").removeprefix("observable_")
        return lambda name, **told: self.created.setdefault(name, (kind, told["unit"]))


def test_instruments_are_those_of_the_library(monkeypatch):
    meter = Recorder()
    modules = [import_module(f"inprocml.telemetry.{name}") for name in ("instruments", "monitored")]
    for module in modules:
        monkeypatch.setattr(module.metrics, "get_meter", lambda *_scope, **_schema: meter)
    modules[0]._Instruments()
    modules[1]._instruments.__wrapped__()
    shared = set(meter.created) & set(INSTRUMENTS)
    assert len(shared) >= 14
    assert {name: INSTRUMENTS[name] for name in shared} == {name: meter.created[name] for name in shared}


def test_names_are_those_of_opentelemetry_s_exporter():
    pytest.importorskip(
        "opentelemetry.exporter.prometheus", reason="opentelemetry-exporter-prometheus is not installed"
    )
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from prometheus_client import REGISTRY, generate_latest

    provider = MeterProvider([PrometheusMetricReader()])
    try:
        Process(0, provider=provider).tick()
        told = generate_latest(REGISTRY).decode()
    finally:
        provider.shutdown()
    theirs = set(re.findall(r"^(inprocml_\w+)\{", told, re.MULTILINE))
    ours = set(re.findall(r"^(inprocml_\w+)\{", exposed(_ticked().reader, ratio=False), re.MULTILINE))
    assert ours == theirs
