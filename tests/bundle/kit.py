"""What bundle tests share: a tiny manifest, and a forger who knows the format and recomputes every digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from inprocml.bundle.manifest import (
    About,
    Dataset,
    FileEntry,
    GoldenEntry,
    Manifest,
    ModelEntry,
    OutputEntry,
    Parity,
    Provenance,
    TransformEntry,
    file_set,
    seal,
)
from inprocml.schema.canonical import canonical


def make_manifest(**changes: Any) -> Manifest:
    entry = FileEntry(sha256="0" * 64, size=1)
    members: dict[str, Any] = {
        "name": "late",
        "version": "1",
        "created": "2026-11-20T00:00:00Z",
        "files": dict.fromkeys(sorted(file_set("onnx")), entry),
        "model": ModelEntry(
            runtime="onnx", module=None, inputs={"features": "features"}, outputs=("scores",), output="scores"
        ),
        "transform": TransformEntry(digest="sha256:" + "0" * 64, width=3, tensors=("features",)),
        "output": OutputEntry(kind="classes", labels=("no", "yes"), scores="probabilities"),
        "golden": GoldenEntry(rows=1, absolute=1e-3, relative=0.0),
        "parity": Parity(
            reference="a test", rows=1, batches=(1,), unit="probability", distance=0.0, limit=1e-4, flips=0
        ),
        "label_counts": None,
        "metrics": {"auc": 0.75},
        "slices": {},
        "about": About(intended_use=None, limits=None, links={}),
        "provenance": Provenance(
            python="3.11",
            platform="Linux",
            packages={"numpy": "2"},
            commit=None,
            author=None,
            seed=None,
            dataset=Dataset(name=None, digest="sha256:" + "0" * 64, rows=1),
        ),
    }
    return Manifest(**members | changes)


def resealed(document: dict[str, Any]) -> bytes:
    rest = {key: value for key, value in document.items() if key != "digest"}
    return canonical(rest | {"digest": "sha256:" + hashlib.sha256(canonical(rest)).hexdigest()})


def forge(folder: Path, edit=None, **files: bytes) -> None:
    """Replace files (``model_onnx=...``) and edit the manifest, then make all digests right again."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for name, data in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        manifest["files"][path.name] = {"sha256": digest, "size": len(data)}
        if path.name == "transform.json":
            manifest["transform"]["digest"] = "sha256:" + digest
    if edit is not None:
        edit(manifest)
    (folder / "manifest.json").write_bytes(resealed(manifest))


def tiny_files(**contents: bytes) -> dict[str, bytes]:
    """Files under a sound manifest, whose contents mean nothing: for whoever reads bytes only."""
    files = {name: f"the bytes of {name}".encode() for name in file_set("onnx")}
    files |= {name.replace("_", "."): content for name, content in contents.items()}
    entries = {
        name: FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        for name, content in files.items()
    }
    transform = TransformEntry(
        digest=f"sha256:{entries['transform.json'].sha256}", width=3, tensors=("features",)
    )
    return files | {"manifest.json": seal(make_manifest(files=entries, transform=transform))}
