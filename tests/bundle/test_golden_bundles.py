"""Bundles of every released format load for ever, and answer as they did on the day they were packed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scripts.golden_bundles import EXPECTED, FOLDER, predictions

from inprocml import Bundle, Untrusted
from inprocml.backends import open_backend
from inprocml.bundle import Policy

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The golden bundles as this release packs them."""
    folder = tmp_path_factory.mktemp("made") / "format"
    source = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    subprocess.run(
        [sys.executable, "-m", "scripts.golden_bundles", str(folder)],
        check=True,
        timeout=55,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": source},
    )
    return folder


def check(folder):
    expected = json.loads((folder / EXPECTED).read_text("utf-8"))
    strict = Policy(require_signature=True, trusted_keys=[expected["key"]])
    found = {path.name for path in folder.iterdir()} - {EXPECTED}
    assert found == set(expected["bundles"])
    for name, told in expected["bundles"].items():
        bundle = Bundle.open(folder / name, digest=told["digest"], policy=strict if told["signed"] else None)
        assert bundle.signed_by == ((expected["key"],) if told["signed"] else ())
        assert [dict(row) for row in bundle.golden.rows] == told["rows"]
        backend = open_backend("onnx", bundle.model)
        bundle.replay(backend)
        backend.close()
        for (value, scores), (value_then, scores_then) in zip(
            predictions(bundle), told["predictions"], strict=True
        ):
            assert value == (
                value_then if isinstance(value_then, str) else pytest.approx(value_then, rel=1e-4)
            )
            assert scores == (None if scores_then is None else pytest.approx(scores_then, abs=1e-3))
        if not told["signed"]:
            with pytest.raises(Untrusted):
                Bundle.open(folder / name, policy=strict)


@pytest.mark.parametrize(
    "folder",
    sorted(path for path in FOLDER.parent.glob("format-*") if path.is_dir()),
    ids=lambda path: path.name,
)
def test_golden_bundles_of_every_format_load(folder):
    check(folder)


def test_this_release_packs_what_will_have_to_load(made):
    check(made)
    size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
    assert size < 200_000
    for name in ("late", "delay"):
        bundle = Bundle.open(made / name)
        copy = bundle.save(made.parent / f"{name}.inprocml")
        assert copy.read_bytes() == (made / f"{name}.inprocml").read_bytes()
        assert bundle.card.startswith(f"# {name}, version 1")
        assert bundle.manifest.created == "2024-01-01T00:00:00Z"
        assert bundle.manifest.provenance.commit is None


def test_golden_bundles_are_not_overwritten(made):
    done = subprocess.run(
        [sys.executable, "-m", "scripts.golden_bundles", str(made)],
        check=False,
        capture_output=True,
        text=True,
        timeout=55,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
    )
    assert done.returncode != 0
    assert "already exists, and is not overwritten" in done.stderr
