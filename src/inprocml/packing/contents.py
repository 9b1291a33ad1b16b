"""Everything a bundle holds, ready to be spelled out for one version name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from inprocml.bundle import Classes, Manifest, Output, Parity
from inprocml.bundle.card import render_card
from inprocml.bundle.folder import CAPS
from inprocml.bundle.golden import Golden, as_tensors, tolerance
from inprocml.bundle.manifest import Dataset, FileEntry, ModelEntry, TransformEntry, model_file, seal
from inprocml.errors import PackError
from inprocml.monitoring.quality import Tally
from inprocml.packing.about import About
from inprocml.packing.exported import Exported
from inprocml.packing.provenance import created, provenance
from inprocml.packing.sample import Sample
from inprocml.schema.canonical import sha256
from inprocml.sources import MANIFEST
from inprocml.transform import Transform

__all__ = ["Contents"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What goes into the files; only the version's name is still open.

    ``answers`` are the decoder's tensor for the rows of ``sample.rows``, the golden ones first;
    ``baseline`` the bytes of ``baseline.json``, in which ``holdout`` is.
    """

    name: str
    transform: Transform
    exported: Exported
    decoder: Output
    sample: Sample
    answers: NDArray[Any]
    baseline: bytes
    holdout: Tally | None
    parity: Parity
    label_counts: tuple[int, ...] | None
    metrics: dict[str, float]
    notes: str | None
    about: About

    def files(self, version: str) -> dict[str, bytes]:
        """Return file name -> bytes, the manifest last; raises ``PackError`` for a file above its cap."""
        count = len(self.sample.rendered)
        # made from the rows as they are stored: beside longer rows of the sample, texts are padded further
        made = as_tensors(self.transform.transform(list(self.sample.rendered)))
        golden = Golden.of(self.sample.rendered, made, self.answers[:count])
        transform = self.transform.to_json().encode()
        files = {
            "transform.json": transform,
            "golden.json": golden.to_json(),
            "baseline.json": self.baseline,
            model_file(self.exported.runtime): self.exported.model,
        }
        draft = self._manifest(version, transform)
        kinds = tuple((field.name, field.kind) for field in self.transform.schema.fields)
        files["card.md"] = render_card(draft, schema=kinds, notes=self.notes, holdout=self.holdout).encode()
        for name, held in files.items():
            if len(held) > CAPS[name]:
                raise PackError(
                    f"{name} would be {len(held)} bytes, more than the {CAPS[name]} that a bundle allows for "
                    "it. Make the model or the table of features smaller."
                )
        entries = {name: FileEntry(sha256=sha256(held), size=len(held)) for name, held in files.items()}
        return files | {MANIFEST: seal(draft.model_copy(update={"files": entries}))}

    def _manifest(self, version: str, transform: bytes) -> Manifest:
        exported, output = self.exported, self.decoder
        dataset = Dataset(name=self.about.dataset, digest=self.sample.digest, rows=self.sample.count)
        probabilities = isinstance(output, Classes) and output.scores == "probabilities"
        return Manifest(
            name=self.name,
            version=version,
            created=created(),
            files={},
            model=ModelEntry(
                runtime=exported.runtime,
                module=exported.module,
                inputs=dict(exported.inputs),
                outputs=exported.outputs,
                output=exported.output,
            ),
            transform=TransformEntry(
                digest=f"sha256:{sha256(transform)}",
                width=self.transform.width,
                tensors=tuple(spec.name for spec in self.transform.tensors),
            ),
            output=output.entry(),
            golden=tolerance(self.answers, probabilities=probabilities, rows=len(self.sample.rendered)),
            parity=self.parity,
            label_counts=self.label_counts,
            metrics=self.metrics,
            slices=self.about.measured(),
            about=self.about.entry(),
            provenance=provenance(exported.packages, self.about, dataset),
        )
