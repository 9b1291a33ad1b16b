"""The world that changes: orders, and which of them are fraud. One day amounts come in another currency."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

import inprocml
from inprocml import Category, Classes, Numeric, Transform

RATE = 1.9


def orders(count: int, *, seed: int, changed: bool = False) -> tuple[list[dict[str, Any]], list[str]]:
    """Return rows, and the truth that is known later."""
    random = np.random.default_rng(seed)
    amounts = random.normal(50, 20, count)
    countries = random.choice(["de", "fr", "us"], count)
    risk = amounts + np.where(countries == "us", 25, 0) + random.normal(0, 8, count)
    shown = amounts * RATE if changed else amounts
    rows = [{"amount": float(a), "country": str(c)} for a, c in zip(shown, countries, strict=True)]
    return rows, ["fraud" if value > 60 else "ok" for value in risk]


def train(store: str, rows: Any, truth: list[str]) -> inprocml.Bundle:
    """Fit on rows, a list or a table, and pack the next version into the store."""
    transform = Transform({"amount": Numeric(missing="median", scale="standard"), "country": Category()})
    labels = np.array([label == "fraud" for label in truth]).astype(int)
    model = LogisticRegression().fit(transform.fit_transform(rows), labels)
    return inprocml.pack(
        store,
        transform=transform,
        model=model,
        output=Classes(["ok", "fraud"]),
        baseline=rows,
        labels=labels,
    )
