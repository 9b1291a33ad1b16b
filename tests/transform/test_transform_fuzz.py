"""Every door, hostile rows, every instruction set: the same bytes, or the same fields refused.

20,000 rows by default; ``make fuzz`` takes a million (``ROWS=`` says how many).
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.transform.fuzz_doors import SPECS, answer, by_columns, by_every_door, one_by_one
from tests.transform.fuzz_fields import ALIEN, FIELDS, ZONES, good_rows, training_rows
from tests.transform.test_transform_portable import groups

from inprocml import Timestamp, Transform

ROOT = Path(__file__).parents[2]
ROWS = 20_000
MANY = os.environ.get("FUZZ_ROWS", "")


def started(count, features=()):
    """The same rows in another process, where numpy may not use those instructions."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    command = [sys.executable, "-W", "error", "-m", "tests.transform.fuzz_doors", str(count)]
    return subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def agreed(count):
    """Run here by every door, and elsewhere by columns; return the digest, which must be the same."""
    there = {name: features for name, features in groups().items() if features}
    others = {name: started(count, features) for name, features in there.items()}
    try:
        here, refused = by_every_door(count)
        for name, other in others.items():
            printed, complaint = other.communicate()
            assert other.returncode == 0, complaint
            found = json.loads(printed)
            assert not set(found.pop("active")) & set(there[name])
            assert found == here, name
    finally:
        for other in others.values():
            other.kill()
            other.wait()
            other.stdout.close()
            other.stderr.close()
    assert refused > count // 2000
    return here["features"], sorted(there)


@pytest.mark.timeout(300)
def test_every_door_and_every_instruction_set_gives_the_same_bytes():
    digest, _ = agreed(ROWS)
    assert digest == by_columns(ROWS)["features"]


@pytest.mark.nightly
@pytest.mark.timeout(6 * 3600)
@pytest.mark.skipif(not MANY, reason="nightly: `make fuzz` takes a million rows through every door")
def test_many_rows_through_every_door(capsys):
    digest, there = agreed(int(MANY))
    with capsys.disabled():
        print(f"\n{MANY} rows, also without {', '.join(there)}: features sha256 {digest}")


def test_the_rows_are_as_hostile_as_they_are_meant_to_be():
    rows = good_rows(Random(3), 4000)
    strings = {row.get("carrier") for row in rows} - {None}
    assert any(not value.isascii() for value in strings)
    numbers = [value for row in rows if type(value := row.get("plain")) is float]
    assert any(0 < abs(value) < sys.float_info.min for value in numbers)
    assert any(math.isnan(row.get("minmax") or 0.0) for row in rows)
    assert any(row.get("minmax") == 5.0 for row in rows)
    assert any(abs(row["huge"]) > 2**63 for row in rows)
    assert any("minmax" not in row for row in rows)
    zones = {value.tzinfo for row in rows if isinstance(value := row.get("at"), datetime)}
    assert len(zones) > 200
    folds = [value for row in rows if isinstance(value := row.get("at"), datetime) and value.fold]
    assert any(value.utcoffset() != value.replace(fold=0).utcoffset() for value in folds)
    assert len(ALIEN) > 15


def changes(zone):
    """Instants at which the zone's clocks were changed, found by halving; integers only."""
    start = datetime(1970, 1, 1, tzinfo=UTC)

    def offset(second):
        return (start + timedelta(seconds=second)).astimezone(zone).utcoffset()

    found = []
    for year in (1900, 1941, 1974, 1996, 2010, 2024):
        first = int((datetime(year, 1, 1, tzinfo=UTC) - start).total_seconds())
        for begin in range(first, first + 365 * 86400, 61 * 86400):
            low, high = begin, begin + 61 * 86400
            if offset(low) == offset(high):
                continue
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            found.append(start + timedelta(seconds=high))
    return found


@pytest.mark.timeout(120)
def test_every_zone_that_is_accepted_at_the_changes_of_its_clocks():
    """As the declared zone and as the zone of the values; wall times that come twice, or never, included."""
    spec = Timestamp(parts=("hour", "weekday", "day", "minute"), timezone="UTC")
    assert len(ZONES) > 400
    changed = 0
    for zone in ZONES:
        spec = Timestamp(parts=("hour", "weekday", "day", "minute"), timezone=zone.key)
        transform = Transform({"t": spec}).fit({"t": ["2013-01-01T00:00Z"]})
        found = changes(zone)
        changed += len(found)
        moments = [*found, datetime(2013, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC)]
        moments += [moment + timedelta(seconds=step) for moment in found for step in (-3600, -1, 1800)]
        walls = [moment.astimezone(zone).replace(fold=fold) for moment in moments for fold in (0, 1)]
        walls += [wall.replace(tzinfo=None).replace(tzinfo=zone) + timedelta(minutes=30) for wall in walls]
        utc = [wall.astimezone(UTC) for wall in walls]
        expected = one_by_one(transform, [{"t": value} for value in walls])
        assert isinstance(expected, bytes), zone.key
        assert one_by_one(transform, [{"t": value.isoformat()} for value in utc]) == expected, zone.key
        for column in (
            walls,
            [wall.isoformat() for wall in walls],
            pd.Series(utc, dtype="datetime64[us, UTC]").dt.tz_convert(zone),
            pl.Series(utc, dtype=pl.Datetime("us", "UTC")),
            pa.array(utc, type=pa.timestamp("us", zone.key)),
        ):
            assert answer(transform.transform, {"t": column}) == expected, zone.key
    assert changed > 2000


def test_odd_values_are_refused_by_the_reference():
    """What the fuzz calls odd is odd: a typo in its table would make it test nothing."""
    draw = Random(5)
    transform = Transform(SPECS).fit(training_rows())
    for name, field in FIELDS.items():
        for _ in range(20 if field.odd else 0):
            row = {other: spec.tame(draw) for other, spec in FIELDS.items()} | {name: field.odd(draw)}
            assert answer(transform.transform_one, row) == [name]
    assert np.isfinite(transform.transform(good_rows(draw, 50))).all()
