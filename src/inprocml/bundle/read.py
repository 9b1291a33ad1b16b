"""Opening a bundle: parse, audit, construct, in this order and never back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from inprocml.batching import Ragged, Shapes
from inprocml.bundle.card import Card
from inprocml.bundle.golden import Golden, read_golden, replay_features, replay_outputs
from inprocml.bundle.manifest import Manifest, Parity, model_file
from inprocml.bundle.outputs import Output, from_entry
from inprocml.bundle.parts import bundle_path, read_parts
from inprocml.bundle.policy import Policy
from inprocml.bundle.remedy import ANEW
from inprocml.bundle.save import check_digest, save
from inprocml.bundle.signatures import signers
from inprocml.errors import BundleError, Corrupt
from inprocml.monitoring.baseline import Baseline
from inprocml.monitoring.quality import Tally, held_out
from inprocml.protocols import Backend
from inprocml.sources import real_folder
from inprocml.transform import Transform
from inprocml.values import Tensors

__all__ = ["Bundle"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """One version of a model, verified and in memory; nothing of it is read from disk again.

    ``model`` holds the bytes of ``model.onnx`` or ``weights.safetensors``, the very ones whose digest
    was checked; ``module`` is the name of the registered torch module (``None`` for ONNX).
    ``parity.rows/distance/limit/flips`` tell how near the packed model is to the trained one. ``card`` is
    Markdown text, and ``card.html`` the same as HTML. ``signed_by`` are the keys of the policy that signed.
    ``holdout`` counts labelled rows that the model was not trained on, if it was packed with any.
    """

    name: str
    version: str
    path: Path
    manifest: Manifest = field(repr=False)
    transform: Transform = field(repr=False)
    model: bytes = field(repr=False)
    output: Output
    golden: Golden = field(repr=False)
    baseline: Baseline = field(repr=False)
    card: Card = field(repr=False)
    signed_by: tuple[str, ...] = ()
    holdout: Tally | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        version: str | None = None,
        digest: str | None = None,
        policy: Policy | None = None,
    ) -> Bundle:
        """Verify the bundle at ``path``, a folder or a single file ``.inprocml``, and load it.

        ``name`` is what to call the model instead of the manifest's name; ``version`` and ``digest``, when
        given, must be the manifest's: ``Corrupt`` for another one, since these are not the bytes that were
        asked for. ``policy`` says whose signatures count and whether one is
        required. Every digest is checked on the bytes that are kept, and the golden rows are encoded again.
        Raises ``Corrupt``, ``Untrusted``, ``Unsupported``, or ``BundleError`` when there is no bundle and
        for a URL, which is not repeated. The model itself is not run: see ``replay``.
        """
        where = real_folder(bundle_path(path))  # of a mounted ConfigMap: one state, not one a file
        signed_by: tuple[str, ...] = ()

        def admit(manifest: Manifest, spelt: bytes, signature: bytes | None) -> None:
            nonlocal signed_by
            _check_version(manifest, version, where)
            if digest is not None:
                check_digest(manifest, digest, where)
            signed_by = signers(spelt, signature, policy or Policy(), where=str(where))

        parts = read_parts(where, admit)
        manifest, files = parts.manifest, parts.files
        transform = _transform(files["transform.json"], manifest)
        golden = read_golden(files["golden.json"], rows=manifest.golden.rows, width=manifest.transform.width)
        golden = replay_features(golden, transform)
        baseline = _of_file(
            "baseline.json",
            lambda: Baseline.from_json(files["baseline.json"]).fitting(transform.schema),
        )
        holdout = _of_file("baseline.json", lambda: _holdout(baseline, manifest))
        return cls(
            name=name or manifest.name,
            version=manifest.version,
            path=where,
            manifest=manifest,
            transform=transform,
            model=files[model_file(manifest.model.runtime)],
            output=_of_file("manifest.json", lambda: from_entry(manifest.output, manifest.model.output)),
            golden=golden,
            baseline=baseline,
            card=_of_file(
                "card.md", lambda: Card(files["card.md"].decode("utf-8"), manifest, transform, holdout)
            ),
            signed_by=signed_by,
            holdout=holdout,
        )

    @property
    def runtime(self) -> str:
        """The runtime that computes the model: ``"onnx"`` or ``"torch"``."""
        return self.manifest.model.runtime

    @property
    def module(self) -> str | None:
        """The name under which the host registers the torch module; ``None`` for ONNX."""
        return self.manifest.model.module

    @property
    def inputs(self) -> Mapping[str, str]:
        """Tensor of the transform -> the model's input that takes it."""
        return self.manifest.model.inputs

    def shapes(self, *, whole: bool = False) -> Shapes:
        """Return how the model's inputs vary from row to row, in length and nothing else: for batching.

        ``whole`` pads to the ends of groups of lengths, for a device that prepares for each.
        """
        ragged = [spec for spec in self.transform.tensors if spec.ragged and spec.name in self.inputs]
        return Shapes(
            {self.inputs[spec.name]: Ragged(spec.pad, spec.axis, spec.ends) for spec in ragged},
            fixed=True,
            whole=whole,
        )

    @property
    def golden_inputs(self) -> Tensors:
        """The golden rows' tensors under the names of the model's inputs."""
        return {given: self.golden.tensors[name] for name, given in self.inputs.items()}

    @property
    def output_name(self) -> str:
        """The output tensor that ``output`` decodes."""
        return self.manifest.model.output

    @property
    def parity(self) -> Parity:
        """How near the packed model is to the trained one, measured when it was packed."""
        return self.manifest.parity

    @property
    def digest(self) -> str:
        """``"sha256:<hex>"`` over the manifest, and through it over every file."""
        return self.manifest.digest

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the bundle out again and return where: ``"x.inprocml"`` makes a single file, else a folder.

        The files, and signatures, are read again from ``self.path`` and come out byte for byte; a single file
        of the same bundle always has the same bytes. Nothing is overwritten, and nothing half-written is
        visible. Raises ``PackError`` when ``path`` exists or cannot be written, ``Corrupt`` when another
        bundle is at ``self.path`` by now, and ``BundleError`` when there is none.
        """
        save(self.path, self.digest, Path(path))
        return Path(path)

    def replay(self, backend: Backend) -> None:
        """Run the golden rows on ``backend``.

        Raises ``Corrupt`` when an output is out of tolerance and ``BackendFailed`` when it cannot run.
        """
        replay_outputs(
            self.golden, self.manifest.golden, backend, inputs=self.inputs, output=self.output_name
        )

    def _repr_html_(self) -> str:
        from inprocml.bundle import display

        return display.html(self)


def _check_version(manifest: Manifest, version: str | None, where: Path) -> None:
    if version is not None and version != manifest.version:
        raise Corrupt(
            f"{where}: asked for version {version!r}, but its manifest says {manifest.version!r}: it was "
            "renamed or copied by hand. Give it its own name again, or pack that version."
        )


def _transform(content: bytes, manifest: Manifest) -> Transform:
    transform = _of_file("transform.json", lambda: Transform.from_json(content))
    names = tuple(spec.name for spec in transform.tensors)
    if transform.width != manifest.transform.width or names != manifest.transform.tensors:
        raise Corrupt(
            f"transform.json makes {transform.width} features and {len(names)} tensors, the manifest says "
            f"{manifest.transform.width} and {len(manifest.transform.tensors)}. {ANEW}"
        )
    return transform


def _holdout(baseline: Baseline, manifest: Manifest) -> Tally | None:
    if baseline.holdout is None:
        return None
    return held_out(baseline.holdout, len(manifest.output.labels or ()))


def _of_file(where: str, construct: Callable[[], T]) -> T:
    """Construct; refusals name the file, and whatever else a crafted one provokes becomes ``Corrupt``."""
    try:
        return construct()
    except BundleError as error:
        raise type(error)(f"{where}: {error}") from error
    except Exception as error:  # the file decides what goes wrong, not this code
        raise Corrupt(f"{where}: holds what cannot be ({type(error).__name__}: {error}). {ANEW}") from error
