"""A real SDK and processes that fork: each reports what is its own."""

from __future__ import annotations

import json

import pytest
from opentelemetry.sdk import resources
from tests.conftest import elsewhere

# The host sets up its SDK and declares the model, then forks its workers, as with ``gunicorn --preload``.
HOST = """
    import json, os, sys
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from inprocml import Model, Monitoring

    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    model = Model({store!r}, name="forked", monitoring=Monitoring(folder={folder!r}))
    row = {row!r}

    def told():
        found = reader.get_metrics_data()
        values, who = {{}}, None
        for resource in found.resource_metrics if found else []:
            who = resource.resource.attributes.get("service.instance.id")
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = metric.data.data_points
                    value = sum(getattr(p, "count", getattr(p, "value", 0)) for p in points)
                    values[metric.name] = value
        return {{"who": who, "values": values}}

    def serve(count):
        before = told()
        for _ in range(count):
            model.predict(row)
        if count:
            model.drift()
        return {{"before": before, "after": told()}}

    def forked(count):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(writing, json.dumps(serve(count)).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading) as answer:
            found = json.load(answer)
        os.waitpid(child, 0)
        return found

    own = serve({own})
    children = [forked(3), forked(4)]
    print(json.dumps([own, *children, serve(0)]))
"""
PER_ROW = ["inprocml.monitoring.rows"]
RECORDED = ["inprocml.prediction.duration", "inprocml.inference.duration", "inprocml.inference.batch.size"]
STANDING = {
    "inprocml.model.loaded",
    "inprocml.queue.limit",
    "inprocml.model.stale",
    "inprocml.monitoring.rows",
}


def family(store, folder, row, *, own):
    done = elsewhere(HOST.format(store=str(store), folder=str(folder), row=row, own=own))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_workers_report_their_own_and_the_parent_nothing(store, row, tmp_path):
    parent, one, two, after = family(store, tmp_path, row, own=0)
    assert parent["after"]["values"] == after["after"]["values"] == {}
    for child, rows in ((one, 3), (two, 4)):
        assert child["before"]["values"] == {}
        values = child["after"]["values"]
        assert [values[name] for name in [*PER_ROW, *RECORDED]] == [rows] * 4
        assert values["inprocml.model.loaded"] == 1


def test_what_a_parent_has_loaded_and_counted_is_not_its_childrens(store, row, tmp_path):
    """What it recorded is kept by its SDK, which hands that on; what is observed is read anew."""
    parent, one, two, after = family(store, tmp_path, row, own=5)
    assert parent["after"]["values"]["inprocml.monitoring.rows"] == 5
    for child, rows in ((one, 3), (two, 4)):
        assert not STANDING & set(child["before"]["values"])
        assert child["after"]["values"]["inprocml.monitoring.rows"] == rows
        assert child["after"]["values"]["inprocml.model.loaded"] == 1
    assert after["after"]["values"]["inprocml.monitoring.rows"] == 5


@pytest.mark.skipif(
    not hasattr(resources, "ServiceInstanceIdResourceDetector"),
    reason="this release of OpenTelemetry's SDK gives processes no service.instance.id",
)
def test_every_process_is_an_instance_of_its_own(store, row, tmp_path):
    told = family(store, tmp_path, row, own=1)
    named = {each["after"]["who"] for each in told}
    assert len(named) == 3, "parent and two children; the parent is told of twice"
    assert None not in named
