"""``pack``: one call from a trained model to a verified version on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inprocml.backends import open_backend
from inprocml.bundle import Bundle, Classes, Output, Parity, Regression
from inprocml.bundle.golden import as_tensors
from inprocml.bundle.write import publish
from inprocml.errors import BackendMissing, InprocmlError, PackError
from inprocml.monitoring.alarm import with_unrest
from inprocml.monitoring.baseline import build_baseline
from inprocml.monitoring.glimpses import Glimpses
from inprocml.monitoring.quality import Tally
from inprocml.monitoring.sample import with_sample
from inprocml.monitoring.scalars import planes_of, with_scalars
from inprocml.monitoring.watching.apart import with_stretches
from inprocml.packing import parity as parity_of
from inprocml.packing.about import About, figures
from inprocml.packing.contents import Contents
from inprocml.packing.exported import Exported
from inprocml.packing.from_onnx import export_onnx, is_onnx
from inprocml.packing.from_sklearn import export_sklearn, is_sklearn
from inprocml.packing.from_torch import export_torch, is_torch, weights_of
from inprocml.packing.holdout import count_holdout
from inprocml.packing.labels import count_labels
from inprocml.packing.sample import Sample, take, take_sample
from inprocml.protocols import Backend
from inprocml.transform import Transform
from inprocml.values import FEATURES, Table, Tensors

__all__ = ["pack"]

_REFERENCE_ROWS = 8  # onnx.reference is some hundred times slower than a runtime


def pack(  # noqa: PLR0913  (keyword-only, one per part of the bundle)
    path: str | os.PathLike[str],
    *,
    transform: Transform,
    model: Any,
    output: Output,
    baseline: Table,
    labels: Iterable[Any] | None = None,
    holdout: tuple[Table, Iterable[Any]] | None = None,
    metrics: Mapping[str, float] | None = None,
    version: str | None = None,
    parity_limit: float = parity_of.LIMIT,
    card: str | None = None,
    about: About | None = None,
    runtime: Literal["onnx", "torch"] = "onnx",
    module: str | None = None,
    allow_loops: bool = False,
) -> Bundle:
    """Pack ``model`` with its ``transform`` as a new version in the store ``path``, and open it.

    ``model`` is a fitted scikit-learn classifier or regressor, a ``torch.nn.Module`` called with
    float32 (rows, width), or an ONNX file (path or bytes). ``output`` says what its numbers mean.
    ``baseline`` is the training table, rows as the transform takes them: golden rows, the sample for
    parity and the distribution for drift come from it; ``labels`` (optional, one per row) are
    counted. ``holdout`` is a pair of a table that the model was *not* trained on and its labels: counts of
    them by score go into the bundle, and live labels are compared with them (``Model.quality``). ``metrics``
    are kept as given. ``version`` defaults to the next whole number and must sort
    after the newest. ``card`` is Markdown to put on the model card, and ``about`` tells the author, seed,
    data, use and limits. ``runtime="torch"`` keeps weights instead of a graph, for the module that the host
    registers as ``module``. ``allow_loops`` takes models that loop, which hosts must allow too, by their
    ``Policy``.

    Nothing is visible in the store until the files were written, forced to disk, opened again and the
    golden rows replayed. Raises ``ParityError`` when the packed model is further than
    ``parity_limit`` from the trained one (see ``packing.parity`` for the distance), ``InvalidRow`` when
    the baseline breaks the schema, and ``PackError`` for everything else that cannot be packed.
    """
    _check_arguments(transform, output, parity_limit, version, about)
    measured = figures(metrics or {})
    sample = take_sample(transform, baseline)
    exported = _export(model, sample, output, runtime, module, allow_loops)
    decoder = output.named(exported.output)
    counts = None if labels is None else count_labels(labels, decoder, exported.classes, sample.count)
    backend = _open(exported, exported.model, exported.inputs, exported.output)
    try:
        # a first look, before the whole table is scored for nothing
        decoder.check(_run(backend, exported, take(sample.tensors, slice(parity_of.WHOLE))))
        everywhere, columns = _scored(backend, exported, transform, sample)
        decoder.check(everywhere)
        answers = everywhere[sample.rows]
        _check_indices(backend, exported, transform, sample)
        if sample.ragged:
            _check_lengths(backend, exported, transform, sample, answers)
        held = _holdout(holdout, backend, exported, transform, sample, decoder)
        contents = Contents(
            name=_name(path),
            transform=transform,
            exported=exported,
            decoder=decoder,
            sample=sample,
            answers=answers,
            baseline=_baseline(everywhere, columns, transform, decoder, held),
            holdout=held,
            parity=_parity(backend, exported, sample, decoder, parity_limit, answers),
            label_counts=counts,
            metrics=measured,
            notes=card,
            about=about or About(),
        )
    finally:
        backend.close()
    return _publish(Path(path), version, contents)


def _check_indices(backend: Backend, exported: Exported, transform: Transform, sample: Sample) -> None:
    """Demand an answer for the last slot of every index, though no training row may have fallen into it."""
    one = dict(take(sample.tensors, slice(1)))
    for spec in transform.tensors:
        if spec.size is None or spec.name not in exported.inputs:
            continue
        last = one | {spec.name: np.full_like(one[spec.name], spec.size - 1)}
        try:
            _run(backend, exported, last)
        except PackError as error:
            raise PackError(
                f"the model cannot answer for index {spec.size - 1} of {spec.name!r}: values that training "
                f"has not seen, and missing ones, have numbers too. Give its embedding {spec.size} rows (the "
                "size of that tensor in transform.tensors)."
            ) from error


def _check_lengths(
    backend: Backend, exported: Exported, transform: Transform, sample: Sample, answers: NDArray[Any]
) -> None:
    """Demand that a row alone, shorter than beside others, is answered alike; raises ``PackError``."""
    for row, beside in zip(sample.rendered, answers, strict=False):
        (alone,) = _run(backend, exported, as_tensors(transform.transform([row])))
        if alone.shape != beside.shape or not np.allclose(alone, beside, rtol=1e-3, atol=1e-4):
            raise PackError(
                "the model answers a row otherwise when it is padded less "
                f"({', '.join(sorted(sample.ragged))} vary in length). Let padding count for nothing, by the "
                "mask, or declare Text without pad_to."
            )


def _publish(store: Path, version: str | None, contents: Contents) -> Bundle:
    proved: list[Bundle] = []

    def prove(folder: Path) -> None:
        bundle = Bundle.open(folder)
        backend = _open(contents.exported, bundle.model, bundle.inputs, bundle.output_name)
        try:
            bundle.replay(backend)
        finally:
            backend.close()
        proved.append(bundle)

    folder = publish(store, version, build=contents.files, prove=prove)
    return replace(proved[-1], path=folder)


def _check_arguments(
    transform: Transform, output: Output, limit: object, version: object, about: object
) -> None:
    if isinstance(getattr(transform, "transform_", None), Transform):
        raise PackError("transform= is a scikit-learn view of a transform; give its .transform_ attribute.")
    if not isinstance(transform, Transform):
        raise PackError(f"transform= is {type(transform).__name__}; give an inprocml.Transform.")
    if not transform.fitted:
        raise PackError("the transform is not fitted. Call transform.fit_transform(train) before pack.")
    if not isinstance(output, Classes | Regression):
        raise PackError(
            f"output= is {type(output).__name__}; say what the model's numbers mean: "
            "inprocml.Classes([...]) or inprocml.Regression()."
        )
    if not isinstance(version, str | None):
        raise PackError(f"version= is {type(version).__name__}; versions are named by text, such as '3'.")
    if not isinstance(about, About | None):
        raise PackError(f"about= is {type(about).__name__}; give inprocml.About(author=..., seed=..., ...).")
    if not isinstance(limit, int | float) or not limit >= 0:
        raise PackError("parity_limit must be 0 or greater.")


def _name(path: str | os.PathLike[str]) -> str:
    name = os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119  (resolve() would follow links)
    return "".join(c if c.isprintable() else "?" for c in name)[:256] or "model"


def _export(
    model: Any,
    sample: Sample,
    output: Output,
    runtime: str,
    module: str | None,
    allow_loops: bool,  # noqa: FBT001 - as pack was given it
) -> Exported:
    if runtime not in {"onnx", "torch"}:
        raise PackError(f"runtime={runtime!r} is unknown; use 'onnx' or 'torch'.")
    if (runtime == "torch") != (module is not None):
        raise PackError("runtime='torch' and module='registered name' go together; give both or neither.")
    if is_torch(model):
        if module is not None:
            return weights_of(model, module=module, tensors=sample.tensors, output=output)
        return export_torch(model, tensors=sample.tensors, output=output, ragged=sample.ragged)
    if module is not None:
        raise PackError(f"runtime='torch' packs a torch.nn.Module, not {type(model).__name__}.")
    views = [step for _, step in getattr(model, "steps", ()) if hasattr(step, "transform_")]
    if is_sklearn(model) and views:
        raise PackError(
            "the pipeline begins with a view of a transform, which the bundle holds by itself. Give its "
            "parts: transform=pipeline[0].transform_, model=pipeline[-1]."
        )
    if is_sklearn(model):
        if FEATURES not in sample.tensors:
            raise PackError("a scikit-learn model is fitted on features, and this transform makes none.")
        return export_sklearn(model, width=sample.tensors[FEATURES].shape[1], output=output)
    if is_onnx(model):
        return export_onnx(
            model, tensors=sample.tensors, output=output, ragged=sample.ragged, allow_loops=allow_loops
        )
    raise PackError(
        f"model= is {type(model).__name__}, which cannot be packed. Give a fitted scikit-learn classifier or "
        "regressor, a torch.nn.Module, or an ONNX file (its path or bytes); others can be exported to ONNX."
    )


def _open(exported: Exported, model: bytes, inputs: Mapping[str, str], output_name: str) -> Backend:
    """Open ``model``, the bytes that were exported or those that were read again."""
    threads = None
    if exported.runtime == "torch":
        import torch

        threads = torch.get_num_threads()  # packing leaves the training script's setting alone
    (input_name, *_) = inputs.values()
    try:
        return open_backend(
            exported.runtime,
            model,
            threads=threads,
            module=exported.module,
            input_name=input_name,
            output_name=output_name,
            allow_loops=exported.allow_loops,
        )
    except BackendMissing:
        raise
    except InprocmlError as error:
        raise PackError(f"the packed model cannot be opened: {error}") from error


def _run(
    backend: Backend, exported: Exported, tensors: Tensors, batch: int = parity_of.WHOLE
) -> NDArray[Any]:
    return parity_of.score(backend, tensors, inputs=exported.inputs, output=exported.output, batch=batch)


def _scored(
    backend: Backend, exported: Exported, transform: Transform, sample: Sample
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Score the whole table; return the answers, and its columns beside those of its tensors."""
    glimpses = Glimpses(transform.media)
    answers, noted = [], []
    for part in sample.parts():
        answers.append(_run(backend, exported, part))
        noted.append(glimpses.table(part))
    numbers = {name: np.concatenate([each[name] for each in noted]) for name in noted[0]}
    return np.concatenate(answers), glimpses.beside(sample.columns, numbers)


def _holdout(
    given: object,
    backend: Backend,
    exported: Exported,
    transform: Transform,
    sample: Sample,
    decoder: Output,
) -> Tally | None:
    if given is None:
        return None
    return count_holdout(
        given,
        lambda tensors: _run(backend, exported, tensors),
        transform=transform,
        output=decoder,
        classes=exported.classes,
        training=sample.digest,
    )


def _baseline(
    answers: NDArray[Any],
    checked: Mapping[str, Any],
    transform: Transform,
    decoder: Output,
    holdout: Tally | None,
) -> bytes:
    """Count the whole table, and what the model answers on it: less work than one epoch of training."""
    outputs = (
        {"probability": decoder.probabilities(answers)}
        if isinstance(decoder, Classes)
        else {"value": answers.reshape(-1)}
    )
    planes = planes_of(transform.schema, checked)
    columns = with_scalars(transform.schema, checked, planes)
    counted = build_baseline(transform.schema, columns, outputs, planes=planes)
    counted = with_sample(with_unrest(counted, columns, outputs), columns, outputs)
    counted = with_stretches(counted, columns, outputs)
    return replace(counted, holdout=None if holdout is None else holdout.document()).to_json().encode()


def _parity(
    backend: Backend,
    exported: Exported,
    sample: Sample,
    decoder: Output,
    limit: float,
    answers: NDArray[Any],
) -> Parity:
    tensors, rows = sample.tensors, sample.rows
    trained, reference, batches = exported.trained, exported.reference, parity_of.BATCHES
    if trained is None:  # an ONNX file: the only other opinion is the reference implementation's
        for size in batches:  # what a fixed batch refuses, it refuses here
            _run(backend, exported, take(tensors, slice(10)), size)
        tensors, rows = take(tensors, slice(_REFERENCE_ROWS)), rows[:_REFERENCE_ROWS]
        trained = _numpy_reference(exported, tensors)
        reference = "onnx.reference" if trained else exported.reference
    if trained is None:
        unit: Literal["probability", "relative"] = (
            "probability" if isinstance(decoder, Classes) else "relative"
        )
        return Parity(
            reference=reference, rows=0, batches=(), unit=unit, distance=None, limit=limit, flips=None
        )
    return parity_of.measure(
        answers[: len(rows)],
        lambda part, batch: _run(backend, exported, part, batch),
        trained,
        tensors,
        output=decoder,
        limit=limit,
        reference=reference,
        rows=rows,
        batches=batches,
    )


def _numpy_reference(exported: Exported, tensors: Tensors) -> parity_of.Scorer | None:
    """Return the reference's scores as a scorer, or None where it cannot run the graph."""
    try:
        backend = open_backend("numpy", exported.model, allow_loops=exported.allow_loops)
        given = {name: tensors[tensor] for tensor, name in exported.inputs.items()}
        answers = np.asarray(backend.run(given)[exported.output])
    except Exception:  # noqa: BLE001  (it lacks operators and packages; the bundle says "not measured")
        return None
    return lambda part: answers[: len(next(iter(part.values())))]
