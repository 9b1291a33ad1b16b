"""``predict_many(..., to=path)``: answers into a file, gone on with where an earlier call was interrupted."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from inprocml.bulk import Answers, Block, Input, Note, Parts, after, digest_of, finished, open_input
from inprocml.errors import BackendFailed, BulkError, BundleError, CannotResume, UnknownVersion
from inprocml.model.passage import Host, Passage
from inprocml.serving import Progress, Servable
from inprocml.sources import valid_version
from inprocml.values import Columns, Tensors, Written

__all__ = ["write"]

FORMAT = 1
_OTHERS = {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt"}
"""Names that promise what is not written: nothing could read such a file by its name."""


def write(
    host: Host, source: Any, path: Path, *, key: str | None, errors: str, deadline: float | None
) -> Written:
    """Answer all rows of ``source`` into the Parquet file ``path``; raises as ``Model.predict_many``."""
    if path.suffix.lower() in _OTHERS:
        raise ValueError(f"to={path.name!r}: answers are written as Parquet; name it .parquet")
    clock = host._clock  # noqa: SLF001 - the host is the facade, of which this is a part
    parts = Parts(path, clock)
    done = os.path.lexists(path)
    begun = None if done else parts.note()
    with _passage(host, begun, path, deadline) as passage:
        rows = open_input(source, key, passage.servable.transform.schema, clock)
        with contextlib.closing(rows):
            options = {"key": key, "errors": errors}
            note: dict[str, Any] = {
                "format": FORMAT,
                "options": options,
                "input": rows.document,
                "model": _of(passage.servable),
            }
            if done:
                return _was_done(path, parts, note, rows)
            began = clock()
            run = _Run(passage, rows, parts, note, path)
            total, before = run.go(begun)
            refused = run.finish()
    return Written(path, total, refused, note["model"]["version"], total - before, clock() - began)


def _of(servable: Servable) -> dict[str, str]:
    return {"version": servable.version, "digest": servable.digest}


@contextlib.contextmanager
def _passage(host: Host, begun: Note | None, path: Path, deadline: float | None) -> Iterator[Passage]:
    """Lease the serving version; or the one that began, loaded for this alone: one answers a whole file."""
    with contextlib.ExitStack() as stack:
        passage = Passage(host, deadline)
        stack.callback(passage.end)
        wanted = None if begun is None else begun.get("model")
        if begun is not None and wanted != _of(passage.servable):
            passage.end()
            pinned = _pinned(host, wanted, path)
            stack.callback(pinned.close)
            passage = Passage(pinned, deadline)
            stack.callback(passage.end)
            if wanted != _of(passage.servable):
                raise _gone(wanted, path)
        yield passage


def _pinned(host: Host, wanted: Any, path: Path) -> Host:
    version = wanted.get("version") if isinstance(wanted, dict) else None
    if not isinstance(version, str) or not valid_version(version):
        raise _gone(wanted, path)
    pinned = host._pin(version)  # noqa: SLF001
    try:
        pinned._servable(pinned._process())  # noqa: SLF001
    except (BundleError, UnknownVersion) as error:
        pinned.close()
        raise _gone(wanted, path) from error
    return pinned


def _gone(wanted: Any, path: Path) -> CannotResume:
    version = wanted.get("version") if isinstance(wanted, dict) else None
    return CannotResume(
        f"{path} was begun with version {version}, which cannot be loaded from the store any more, and one "
        f"version answers a whole file. Put it back; or delete .{path.name}.parts beside it and begin anew."
    )


def _was_done(path: Path, parts: Parts, note: Note, rows: Input) -> Written:
    """Return what an earlier call did, if it was this very call; nothing is ever written over."""
    found = finished(path)
    left = parts.note() is not None  # it was killed between its last two steps
    if found is None or not (rows.exact or left):
        raise BulkError(f"{path} is there already; move it away, or give another name")
    kept, total = found
    _check(kept, note, path)
    if kept.get("model") != note["model"]:
        by = kept.get("model")
        version = by.get("version") if isinstance(by, dict) else None
        raise BulkError(
            f"{path} is there already, from version {version}; the model serves version "
            f"{note['model']['version']} now. Move the file away, or give another name."
        )
    refused = kept.get("refused")
    if not isinstance(refused, int):
        raise BulkError(f"{path} is there already and does not say how it was made; move it away")
    parts.discard()
    return Written(path, total, refused, note["model"]["version"], 0, 0.0)


def _check(found: Note, note: Note, path: Path) -> None:
    """Raise ``CannotResume`` unless both notes are of one input and one set of options."""
    for member, told in (
        ("format", "another release of inprocml"),
        ("options", "other arguments (key=, errors=)"),
        ("input", "another input: a name, a size, a time of change, the rows or the columns differ"),
    ):
        if found.get(member) != note[member]:
            raise CannotResume(
                f"{path} was begun with {told}. Call with what it was begun with; or delete it and "
                f".{path.name}.parts beside it, and begin anew."
            )


class _Run:
    """One call that writes: what is read, by what it is answered, where it goes."""

    def __init__(self, passage: Passage, rows: Input, parts: Parts, note: dict[str, Any], path: Path) -> None:
        self._passage, self._rows, self._parts, self._note, self._path = passage, rows, parts, note, path
        self._servable = passage.servable
        self._keep = note["options"]["errors"] == "keep"
        labels = getattr(self._servable.output, "labels", None)
        self._answers = Answers(labels, self._servable.version, note["options"]["key"], keep=self._keep)

    def go(self, begun: Note | None) -> tuple[int, int]:
        """Answer what is not answered yet; return the number of all rows, and of those answered before."""
        parts = self._parts
        blocks = self._blocks(begun)
        total = before = parts.rows
        progress = Progress(self._passage.clock, total=self._rows.total, done=before)
        try:
            for sifted, outputs in self._passage.answered(blocks, keep=self._keep):
                block = self._servable.new_id()  # unique, and with a number behind it so is each row's
                ids = [f"{block}-{place:x}" for place in range(sifted.good)]
                parts.add(self._answers.table(sifted, self._columns(outputs, total), ids))
                total += sifted.block.rows
                progress.show(total)
            self._rows.check()
        except BaseException:
            with contextlib.suppress(BulkError):
                parts.flush()  # what is answered is answered
            raise
        finally:
            progress.end()
        return total, before

    def finish(self) -> int:
        """Let the file appear; return the number of refusals in it."""
        return self._parts.finish(self._note, self._answers.empty())

    def _blocks(self, begun: Note | None) -> Iterator[Block]:
        """Begin, or go on; rows that cannot be told from others are known by what the first is encoded to."""
        parts, rows, size = self._parts, self._rows, self._passage.size
        head: list[Block] = []
        if not rows.exact:
            blocks = rows.blocks(size)
            head = list(itertools.islice(blocks, 1))
            transform = self._servable.transform.transform
            first = digest_of(head[0], transform) if head else None
            self._note["input"] = {**rows.document, "first": first}
        if begun is None:
            parts.begin(self._note)
        else:
            _check(begun, self._note, self._path)
            parts.resume()
            self._answers.adopt(parts.schema)
        return (
            rows.blocks(size, parts.rows) if rows.exact else after(itertools.chain(head, blocks), parts.rows)
        )

    def _columns(self, outputs: list[Tensors], first: int) -> Columns | None:
        if not outputs:
            return None
        output = self._servable.output
        name: Any = output.tensor
        try:
            return output.columns({name: np.concatenate([tensors[name] for tensors in outputs])})
        except BackendFailed as error:
            raise BackendFailed(f"among the rows from {first} on: {error}") from error
