"""What a process that only serves must not load: reports, webhooks, databases, frames, the command line."""

from __future__ import annotations

from tests.conftest import elsewhere

FORBIDDEN = (
    "http.client",
    "http.server",
    "inprocml.checking",
    "inprocml.cli",
    "inprocml.datasets",
    "inprocml.monitoring.capture.recorder",
    "inprocml.monitoring.capture.writer",
    "inprocml.monitoring.documents",
    "inprocml.monitoring.hooks.signature",
    "inprocml.monitoring.hooks.webhook",
    "inprocml.monitoring.quality.sql",
    "inprocml.monitoring.quality.sqlite",
    "inprocml.monitoring.report.document",
    "inprocml.monitoring.report.merge",
    "inprocml.monitoring.report.page",
    "inprocml.monitoring.report.skew",
    "inprocml.monitoring.report.text",
    "inprocml.monitoring.report.words",
    "inprocml.monitoring.watching.onlooker",
    "inprocml.packing",
    "inprocml.sizing",
    "inprocml.sklearn",
    "onnx",
    "opentelemetry.sdk",
    "pandas",
    "pyarrow",
    "requests",
    "scipy",
    "sklearn",
    "smtplib",
    "sqlalchemy",
    "sqlite3",
    "torch",
    "urllib.request",
    "xmlrpc",
)


def loaded(store, row, then=""):
    script = f"""
        import sys
        from inprocml import Model

        model = Model({str(store)!r})
        model.predict({row!r})
        {then}
        print(*(name for name in {FORBIDDEN!r} if name in sys.modules))
        model.close()
    """
    done = elsewhere(script)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_prediction_loads_nothing_that_it_does_not_need(store, row):
    assert loaded(store, row) == []


def test_what_is_asked_for_is_loaded_then(store, row):
    found = loaded(store, row, "str(model.drift()), model.drift().html(), model.drift().to_dict()")
    assert found == [
        "inprocml.monitoring.documents",
        "inprocml.monitoring.report.document",
        "inprocml.monitoring.report.page",
        "inprocml.monitoring.report.text",
        "inprocml.monitoring.report.words",
    ]
