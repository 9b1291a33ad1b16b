"""What store tests share: versions that differ in their manifests alone, made in no time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bundle.kit import resealed

from inprocml.bundle.write import publish


def files(template: Path, version: str, **changes: Any) -> dict[str, bytes]:
    """The files of ``template``, a sound bundle, under another version and with other metrics."""
    found = {path.name: path.read_bytes() for path in template.iterdir()}
    document = json.loads(found["manifest.json"]) | {"version": version} | changes
    return found | {"manifest.json": resealed(document)}


def put(store: Path, template: Path, version: str | None = None, **changes: Any) -> str:
    """Publish such a version and return its name."""
    return publish(
        store, version, build=lambda name: files(template, name, **changes), prove=lambda _: None
    ).name


class Ticks:
    """Seconds that go on by one with each question, or as they are told."""

    def __init__(self, now: float = 1_780_000_000.0, step: float = 1.0) -> None:
        self.now, self.step = now, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now
