"""``predict_many``: many rows, from memory, an iterator or files, in order and in bounded memory."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar, overload

from inprocml.batching import Drained
from inprocml.bulk import Block, is_held, open_input
from inprocml.model.options import deadline_of
from inprocml.model.passage import Host, Passage
from inprocml.model.writing import write
from inprocml.serving import Progress
from inprocml.values import Prediction, Refusal, Table, Written

__all__ = ["ManyRows", "Stream"]

A = TypeVar("A")

Files: TypeAlias = str | os.PathLike[str] | Sequence[os.PathLike[str]]
Answer: TypeAlias = Prediction | Refusal


class Stream(Iterator[A], Generic[A]):
    """Answers in order, computed as they are taken: at most two blocks of rows are read ahead.

    What it holds (a version, an open file, the generator it reads from) is freed at its end, after an error,
    by ``close``, and when it is dropped.
    """

    def __init__(self, passage: Passage, source: Any, *, keep: bool) -> None:
        self._passage = passage
        try:
            self._rows = open_input(source, None, passage.servable.transform.schema, passage.clock)
        except BaseException:
            passage.end()
            raise
        self._answers: Any = _answers(passage, self._rows.blocks(passage.size), keep=keep)

    @property
    def version(self) -> str:
        """The version that gives all answers, whatever the model serves meanwhile."""
        return self._passage.servable.version

    @property
    def total(self) -> int | None:
        """How many rows there are in all, where that is known before they are read."""
        return self._rows.total

    def __next__(self) -> A:
        self._passage.check_process()
        try:
            answer: A = next(self._answers)
        except BaseException:
            self.close()
            raise
        return answer

    def close(self) -> None:
        """Stop, and free what it holds; a generator that it reads from is closed. May be called twice."""
        self._answers.close()
        self._rows.close()
        self._passage.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._passage.end(sweep=False)  # on whatever thread, with whatever lock held: it may free nothing


def _answers(passage: Passage, blocks: Iterator[Block], *, keep: bool) -> Iterator[Answer]:
    servable = passage.servable
    for sifted, outputs in passage.answered(blocks, keep=keep):
        predictions = itertools.chain.from_iterable(map(servable.predictions, outputs))
        if not sifted.refused:
            yield from predictions
            continue
        for place in range(sifted.block.rows):
            issues = sifted.refused.get(place)
            row = sifted.block.first + place
            yield next(predictions) if issues is None else Refusal(issues, row, servable.version)


class ManyRows:
    """The part of ``Model`` that answers many rows in one call."""

    @overload
    def predict_many(
        self: Host,
        source: Files | Iterable[Any] | Table,
        *,
        to: str | os.PathLike[str],
        key: str | None = None,
        errors: Literal["raise", "keep"] = "raise",
        timeout: float | None = None,
    ) -> Written: ...

    @overload
    def predict_many(  # type: ignore[overload-overlap]  # a path as text has a length, as tables do
        self: Host,
        source: Files | Iterator[Any],
        *,
        errors: Literal["raise"] = "raise",
        timeout: float | None = None,
    ) -> Stream[Prediction]: ...

    @overload
    def predict_many(  # type: ignore[overload-overlap]  # a path as text has a length, as tables do
        self: Host, source: Files | Iterator[Any], *, errors: Literal["keep"], timeout: float | None = None
    ) -> Stream[Answer]: ...

    @overload
    def predict_many(
        self: Host, source: Sized, *, errors: Literal["raise"] = "raise", timeout: float | None = None
    ) -> list[Prediction]: ...

    @overload
    def predict_many(
        self: Host, source: Sized, *, errors: Literal["keep"], timeout: float | None = None
    ) -> list[Answer]: ...

    def predict_many(
        self: Host,
        source: Any,
        *,
        to: str | os.PathLike[str] | None = None,
        key: str | None = None,
        errors: Literal["raise", "keep"] = "raise",
        timeout: float | None = None,
    ) -> Any:
        """Answer many rows, in order, by one version: the one that serves when this is called.

        A table in memory (DataFrame, mapping of columns, list of rows) gives a list of predictions, once
        all rows are encoded and none is refused. An iterator of rows or of tables, or files of rows
        (``.parquet``, ``.csv``, ``.jsonl``; a path, a folder, a list of paths) gives a ``Stream``, which
        reads on as its answers are taken. With ``to`` the answers of either go into that Parquet file, beside
        the row's number or the column ``key``, and ``Written`` comes back; a call that was interrupted goes
        on when it is made again.

        ``errors="keep"`` puts a ``Refusal`` in the place of a row that is refused. ``timeout`` in seconds
        covers the whole call. Batches take turns with other callers and wait for room in a full queue.
        Raises as ``predict`` (``InvalidRow.row`` is the position in all that was given), ``BulkError`` for
        files that cannot be read or written, ``CannotResume``, and ``BackendMissing`` without pyarrow.
        """
        if errors not in {"raise", "keep"}:
            raise ValueError(f"errors must be 'raise' or 'keep', not {errors!r}")
        if key is not None and to is None:
            raise ValueError("key= names a column for the file of answers: give to= as well, or leave it out")
        deadline = deadline_of(self._clock, timeout)
        if to is not None:
            return write(self, source, Path(to), key=key, errors=errors, deadline=deadline)
        held = is_held(source)
        if held and errors == "raise":
            return _table(self, source, deadline)
        stream: Stream[Answer] = Stream(Passage(self, deadline), source, keep=errors == "keep")
        return list(stream) if held else stream


def _table(host: Host, table: Table, deadline: float | None) -> list[Prediction]:
    """Answer a table in memory: nothing is computed before every row is checked."""
    process = host._process()  # noqa: SLF001 - the host is the facade, of which this is a part
    while True:
        servable = host._servable(process, deadline)  # noqa: SLF001
        answers: list[Prediction] = []
        progress = Progress(host._clock)  # noqa: SLF001
        try:
            for part in servable.predict_table(table, deadline):
                answers += part
                progress.show(len(answers))
        except Drained:
            process.slot.give_up()
            continue  # a swap waited for this table in vain: the new version answers all of it
        except Exception as error:
            servable.telemetry.refused(error)
            raise
        finally:
            progress.end()
        return answers
