"""Any JSON in place of any part of a bundle's documents: only errors of the bundle's family, and soon."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.bundle.kit import forge, make_manifest, resealed

from inprocml import Bundle, BundleError, Category, Hashed, Numeric, Timestamp, Transform, Vector
from inprocml.bundle.golden import Golden, read_golden
from inprocml.bundle.manifest import parse_manifest, seal
from inprocml.monitoring.baseline import Baseline, build_baseline
from inprocml.monitoring.quality import Quality, QualityReport, Settings, reference
from inprocml.monitoring.sample import with_sample
from inprocml.monitoring.scalars import planes_of, with_scalars
from inprocml.monitoring.watching.apart import with_stretches
from inprocml.schema.canonical import canonical

SLOW = 2.0  # seconds; hundreds of times what the largest of these documents takes

NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from(
        [0, -1, 2**53 + 1, 2**63, 2**70, 10**400, -(10**400), 1e308, -1e308, 5e-324, 1.5, 16, 17, 10**9]
    )
)
TEXTS = st.text(max_size=4) | st.sampled_from(
    ["", "\ud800", "e\u0301", "../x", "<f4", "<i8", "AAAA", "localtime", "numeric@1", "numeric@2", "a" * 5000]
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(TEXTS, parts, max_size=3),
    max_leaves=6,
)


@functools.cache
def transform():
    return Transform(
        {
            "n": Numeric(missing="mean", scale="standard"),
            "l": Numeric(log=True, clip=(0.0, 9.0)),
            "c": Category(missing="slot"),
            "z": Category(max_categories=1),
            "h": Hashed(buckets=2),
            "t": Timestamp(parts=("hour",), timezone="UTC"),
        }
    ).fit(table())


def table():
    return {
        "n": [1.0, None],
        "l": [0.0, 3.0],
        "c": ["a", "b"],
        "z": [1, 2],
        "h": ["x", "y"],
        "t": ["2020-01-01T00:00Z", "2021-06-01T07:00Z"],
    }


def golden():
    fitted = transform()
    rows = fitted.render(table(), [0, 1])
    return Golden.of(tuple(rows), {"features": fitted.transform(rows)}, np.ones((2, 1), np.float32))


def baseline():
    return build_baseline(transform().schema, transform().columns(table()), {"value": np.ones(2)})


def of_vectors():
    rows = np.random.default_rng(0).normal(size=(50, 4)) * np.array([9, 5, 0.1, 0.1])
    fitted = Transform({"v": Vector(size=4)}).fit({"v": rows.tolist()})
    columns = fitted.columns({"v": rows.tolist()})
    planes = planes_of(fitted.schema, columns)
    assert planes
    return build_baseline(fitted.schema, with_scalars(fitted.schema, columns, planes), planes=planes)


def stretched():
    columns = {"n": np.repeat([0.0, 1.0, 0.0], 400) + np.random.default_rng(0).normal(size=1_200)}
    known = Transform({"n": Numeric()}).fit({"n": columns["n"].tolist()}).schema
    found = with_stretches(with_sample(build_baseline(known, columns), columns, {}), columns, {})
    assert found.stretches
    return found


def held_out():
    return dataclasses.replace(baseline(), holdout=reference((), [1.0, 2.0], [1.5, 2.0]).document())


def judged(kind):
    classes = ("a", "b") if kind == "classes" else ()
    known = reference(classes, [0.25, 0.5] * 30, [*(classes or (0.25, 1.0))] * 30)
    quality = Quality(Settings(kind=kind, classes=classes, reference=known, usual=1.0))
    for day in range(3):
        names = [f"{day}-{row}" for row in range(60)]
        quality.predicted(names, [0.25, 0.5] * 30, 86_400.0 * day)
        for name in names:
            quality.feedback(name, classes[0] if classes else 0.5, 86_400.0 * day)
    return json.dumps(quality.report(86_400.0 * 3).to_dict())


def same(document):
    return json.dumps(document)


DOCUMENTS = {
    "manifest": (seal(make_manifest()), resealed, parse_manifest),
    "manifest, damaged": (seal(make_manifest()), canonical, parse_manifest),
    "golden": (golden().to_json(), same, lambda text: read_golden(text, rows=2, width=transform().width)),
    "baseline": (baseline().to_json(), same, Baseline.from_json),
    "baseline with stretches": (stretched().to_json(), same, Baseline.from_json),
    "baseline of vectors": (of_vectors().to_json(), same, Baseline.from_json),
    "baseline with a holdout": (held_out().to_json(), same, Baseline.from_json),
    "quality report": (judged("classes"), same, lambda text: QualityReport.from_dict(json.loads(text))),
    "quality report, numbers": (
        judged("regression"),
        same,
        lambda text: QualityReport.from_dict(json.loads(text)),
    ),
    "transform": (transform().to_json(), same, Transform.from_json),
}


def places(document, path=()):
    """Every path into a document, the whole included."""
    yield path
    members = document.items() if isinstance(document, dict) else enumerate(document)
    for key, part in members:
        if isinstance(part, dict | list):
            yield from places(part, (*path, key))
        else:
            yield (*path, key)


def mutated(document, draw):
    """Replace, remove, double or rename one part."""
    path = draw(st.sampled_from(list(places(document))))
    if not path:
        return draw(VALUES)
    document = copy.deepcopy(document)
    inside = functools.reduce(lambda part, key: part[key], path[:-1], document)
    how = draw(st.sampled_from(["replace", "replace", "remove", "double"]))
    if how == "replace":
        inside[path[-1]] = draw(VALUES)
    elif how == "remove":
        del inside[path[-1]]
    elif isinstance(inside, list):
        inside.insert(0, copy.deepcopy(inside[path[-1]]))
    else:
        inside[draw(TEXTS)] = copy.deepcopy(inside[path[-1]])
    return document


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_only_the_bundle_family_escapes(name, data):
    sound, write, read = DOCUMENTS[name]
    document = json.loads(sound)
    for _ in range(data.draw(st.integers(1, 2))):
        if isinstance(document, dict | list):
            document = mutated(document, data.draw)
    try:
        text = write(document)
    except (ValueError, AttributeError):  # no such manifest can be written
        return
    started = time.perf_counter()
    try:
        read(text)
    except BundleError as refused:
        assert len(str(refused)) < 2_000
    assert time.perf_counter() - started < SLOW


@pytest.mark.parametrize("shape", [[0, 2**70], [2**70, 0], [0], [2, 0], [2**70], [-1, 2], [2, 2**62]])
@pytest.mark.parametrize("member", ["features", "outputs"])
def test_no_shape_of_golden_rows_escapes(store, shape, member):
    folder = store / "1"
    document = json.loads((folder / "golden.json").read_bytes())
    for content in ("", document[member]["base64"]):
        document[member] = {"dtype": "<f4", "shape": shape, "base64": content}
        forge(folder, golden_json=canonical(document))
        with pytest.raises(BundleError, match=r"golden\.json"):
            Bundle.open(folder)


def test_more_golden_rows_than_the_format_has_are_refused(store):
    def edit(manifest):
        manifest["golden"]["rows"] = 17

    forge(store / "1", edit)
    with pytest.raises(BundleError, match=r"manifest\.json: golden\.rows"):
        Bundle.open(store / "1")
