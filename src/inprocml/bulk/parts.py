"""A file of answers on its way: what is done lies in parts beside it, so that a run can be gone on with.

``out.parquet`` grows as ``.out.parquet.parts/``: ``run.json`` notes what is answered by what, and each part
holds whole rows and appears whole. A process may be killed at any moment: what has no name yet is done again.
At the end the parts are put together under another name, which is then changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from inprocml.bulk.arrow import arrow, parquet
from inprocml.durable import sweep, sync_folder, temporary_in, write_new
from inprocml.errors import BulkError, CannotResume, Corrupt
from inprocml.protocols import Clock
from inprocml.schema.strict_json import dump, parse

__all__ = ["Note", "Parts", "finished"]

Note: TypeAlias = Mapping[str, Any]
"""What a run is: its input, its options, the version that answers. JSON, and compared as a whole."""

PART_ROWS = 65_536
PART_SECONDS = 10.0  # what a killed run has to do again, at most
PART_BYTES = 2**26  # rows of a thousand labels are large
GROUP_ROWS = 131_072  # of the finished file
_NAME = b"inprocml"
_LARGEST_NOTE = 2**22  # bytes


def finished(path: Path) -> tuple[Note, int] | None:
    """Return the note and the number of rows of a file of answers; ``None`` where ``path`` is none."""
    pa, pq = arrow(), parquet()
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.metadata.metadata or {}
            return _note(metadata[_NAME], path), file.metadata.num_rows
    except (pa.ArrowException, OSError, KeyError, Corrupt):
        return None


def _note(text: bytes, where: Path) -> Note:
    note = parse(text[:_LARGEST_NOTE], what=str(where))
    if not isinstance(note, dict):
        raise Corrupt(f"{where} holds no note of a run; delete it")
    return note


class Parts:
    """The parts of the file that is to be ``path``; ``rows`` are safe already, in the ``schema`` of Arrow.

    What the disk refuses raises ``BulkError``; the parts that are there stay.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._folder = path.parent / f".{path.name}.parts"
        self._waiting: list[Any] = []
        self._began = clock()
        self.rows = 0
        self.schema: Any = None

    def note(self) -> Note | None:
        """Return what the run that was begun noted, ``None`` where none was."""
        try:
            return _note((self._folder / "run.json").read_bytes(), self._folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, Corrupt) as error:
            raise self._torn("its run.json cannot be read") from error

    def begin(self, note: Note) -> None:
        """Make the folder with the note in it, both at once: of two that begin, one learns of the other."""
        with self._told():
            sweep(self._path.parent)
            made = temporary_in(self._path.parent)
            made.mkdir()
            write_new(made / "run.json", [dump(note).encode()])
            sync_folder(made)
            if self.note() is None:
                self.discard()
            try:
                os.rename(made, self._folder)  # noqa: PTH104 - fails where there is one with anything in it
            except OSError as error:
                shutil.rmtree(made, ignore_errors=True)
                if self.note() is None:
                    raise
                raise self._taken(self._folder) from error
            sync_folder(self._path.parent)

    def resume(self) -> None:
        """Count what is safe; raises ``CannotResume`` where parts are missing."""
        for path in sorted(self._folder.glob("*.parquet")):
            if path.name != _part(self.rows):
                raise self._torn(f"it lacks {_part(self.rows)}")
            with self._opened(path) as file:
                self.rows += file.metadata.num_rows
                self.schema = file.schema_arrow

    def add(self, table: Any) -> None:
        """Take the next answers; they are safe once there are enough of them for a part."""
        if not self._waiting:
            self._began = self._clock()
        self._waiting.append(table)
        rows = sum(table.num_rows for table in self._waiting)
        size = sum(table.nbytes for table in self._waiting)
        if rows >= PART_ROWS or size >= PART_BYTES or self._clock() - self._began > PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Make a part of what waits."""
        if not self._waiting:
            return
        pa, pq = arrow(), parquet()
        table = pa.concat_tables(self._waiting)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="none", use_dictionary=False)  # it is read once, and soon
        with self._told():
            self._appear(self._folder / _part(self.rows), [memoryview(sink.getvalue()).cast("B")])
        self._waiting.clear()
        self.rows += table.num_rows
        self.schema = table.schema

    def finish(self, note: Note, empty: Any) -> int:
        """Put the parts together, or the table ``empty`` if there are none; return the number of refusals."""
        self.flush()
        refused = (
            0
            if "issues" not in empty.column_names
            else sum(table.num_rows - table.column("issues").null_count for table in self._tables())
        )
        temporary = temporary_in(self._folder)
        schema = (self.schema or empty.schema).with_metadata({_NAME: dump({**note, "refused": refused})})
        with self._told():
            _write(temporary, schema, self._tables())
            self._place(temporary, self._path)
            sync_folder(self._path.parent)
            self.discard()
        return refused

    def discard(self) -> None:
        """Remove the folder; its name goes first, so that half of it is never taken for a run."""
        doomed = temporary_in(self._path.parent)
        try:
            os.rename(self._folder, doomed)  # noqa: PTH104 - as in durable: one call of os a step
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)

    def _tables(self) -> Iterator[Any]:
        at = 0
        while at < self.rows:
            with self._opened(self._folder / _part(at)) as file:
                table = file.read(use_threads=False)
            yield table
            at += table.num_rows

    @contextlib.contextmanager
    def _opened(self, path: Path) -> Iterator[Any]:
        try:
            with parquet().ParquetFile(path) as file:
                yield file
        except (arrow().ArrowException, OSError) as error:
            raise self._torn(f"{path.name} cannot be read") from error

    def _appear(self, path: Path, pieces: list[Any]) -> None:
        temporary = temporary_in(self._folder)
        try:
            write_new(temporary, pieces)
            self._place(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        sync_folder(self._folder)

    def _place(self, temporary: Path, path: Path) -> None:
        """Give a whole file its name, unless somebody else has made one of that name."""
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise self._taken(path) from None
        except OSError:  # no hard links here
            if os.path.lexists(path):
                raise self._taken(path) from None
            os.rename(temporary, path)  # noqa: PTH104

    def _taken(self, path: Path) -> BulkError:
        return BulkError(
            f"{path} was made by somebody else meanwhile: let one process at a time write {self._path.name}"
        )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BulkError(
                f"{self._path} cannot be written ({error.strerror}). What is answered so far is kept: make "
                "room, or give this process the right to write there, and call again with the same arguments."
            ) from error

    def _torn(self, what: str) -> CannotResume:
        return CannotResume(
            f"{self._folder}: a run was begun here, but {what}. Delete this folder to begin anew."
        )


def _part(first: int) -> str:
    return f"{first:015d}.parquet"


class _File:
    """A new file as pyarrow writes to it: every step a call of ``os``."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o666)
        self.closed = False

    def write(self, content: Any) -> int:
        left = memoryview(content).cast("B")
        while left:
            left = left[os.write(self._descriptor, left) :]
        return memoryview(content).nbytes

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.fsync(self._descriptor)
            os.close(self._descriptor)


def _write(path: Path, schema: Any, tables: Iterator[Any]) -> None:
    """Write a Parquet file in row groups of one size, of two parts' bytes at most, and force it to disk."""
    pa, pq = arrow(), parquet()
    file = _File(path)
    repeated = [name for name in schema.names if name in {"value", "version", "issues"}]
    with contextlib.closing(file), pq.ParquetWriter(file, schema, use_dictionary=repeated) as writer:
        waiting: list[Any] = []
        most = GROUP_ROWS
        for table in tables:
            most = min(most, max(1, 2 * PART_BYTES * table.num_rows // max(table.nbytes, 1)))
            waiting.append(table.replace_schema_metadata(schema.metadata))
            while (rows := sum(part.num_rows for part in waiting)) >= most:
                whole = pa.concat_tables(waiting)
                writer.write_table(whole.slice(0, most), row_group_size=most)
                waiting = [whole.slice(most)] if rows > most else []
        if waiting:
            writer.write_table(pa.concat_tables(waiting), row_group_size=most)
