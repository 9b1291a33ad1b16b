"""The one object: fitted in training, packed into the bundle, applied to every request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.schema import Schema
from inprocml.schema.table import Opened
from inprocml.transform import document
from inprocml.transform.arguments import MOST_ENTRIES
from inprocml.transform.fitting import fit_plan
from inprocml.transform.kinds import SPECS, Spec, fields_read
from inprocml.transform.naming import check_distinct, valid_name
from inprocml.transform.plan import Plan
from inprocml.transform.seen import Sample, sample
from inprocml.transform.step import TensorSpec
from inprocml.values import FEATURES, Medium, Row, Table

if TYPE_CHECKING:
    from inprocml.transform.difference import Difference
    from inprocml.transform.row_model import RowModel

__all__ = ["Transform"]


class Transform:
    """Turns rows into features, the same bytes for one row, a list of rows, columns, and a DataFrame.

    ``fields`` maps each field's name to a kind, ``Numeric`` or ``Category`` for instance; features come in
    that order, at most 10,000 entries. A kind with ``field=`` reads that field instead. ``TypeError`` or
    ``ValueError`` for anything else. Once fitted it may be used from any thread. Use before ``fit`` raises
    ``TransformError``; rows that break the schema raise ``InvalidRow``.
    """

    def __init__(self, fields: Mapping[str, Spec]) -> None:
        if not isinstance(fields, Mapping):
            raise TypeError(f"fields must be a mapping of names to kinds, not {type(fields).__name__}")
        if not fields:
            raise ValueError("fields must name at least one field")
        if len(fields) > MOST_ENTRIES:
            raise ValueError(
                f"a transform may have at most {MOST_ENTRIES} entries. Use Vector for many numbers."
            )
        for name, spec in fields.items():
            valid_name(name)
            if type(spec) not in SPECS:
                kinds = ", ".join(f"{kind.__name__}(...)" for kind in SPECS)
                raise TypeError(f"{name}: must be one of {kinds}, not {type(spec).__name__}")
            for field in fields_read(name, spec):
                valid_name(field)
        check_distinct(fields)
        self._fields: Mapping[str, Spec] = MappingProxyType(dict(fields))
        self._plan: Plan | None = None
        self._sample: Sample | None = None  # for the eye in a notebook, and nothing else

    @property
    def fields(self) -> Mapping[str, Spec]:
        """What was declared, read-only."""
        return self._fields

    @property
    def fitted(self) -> bool:
        """Whether ``fit`` has been called, or the transform was read from JSON."""
        return self._plan is not None

    @property
    def schema(self) -> Schema:
        """Which rows are acceptable."""
        return self._fitted().schema

    @property
    def width(self) -> int:
        """The number of feature columns."""
        return self._fitted().width

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The tensors it makes: name, shape of one row, dtype; ``features`` first if there are any."""
        return self._fitted().tensors

    @property
    def media(self) -> tuple[Medium, ...]:
        """What its tensors show of pictures, sound and texts: one for each entry that reads such."""
        return tuple(step.medium for step in self._fitted().others if hasattr(step, "medium"))

    @property
    def digest(self) -> str:
        """``sha256:`` and the hex digest of ``to_json()`` in UTF-8: equal digests, equal features."""
        return "sha256:" + sha256(self.to_json().encode()).hexdigest()

    @property
    def unseen_columns(self) -> dict[str, int]:
        """For each category field, the feature column that is 1 when its value is unseen or rare."""
        plan = self._fitted()
        pairs = zip(plan.steps, plan.starts, strict=True)
        return {step.name: start + step.unseen for step, start in pairs if step.unseen is not None}

    @property
    def unseen(self) -> dict[str, tuple[str, int | None, float]]:
        """For each category entry, where an unseen or rare value shows: tensor, column of it, and value.

        The column is ``None`` in a tensor of its own.
        """
        plan = self._fitted()
        found: dict[str, tuple[str, int | None, float]] = {}
        for step, start in zip(plan.steps, plan.starts, strict=True):
            if step.unseen is not None:
                found[step.name] = (FEATURES, start + step.unseen, 1.0)
            elif hasattr(step, "unseen_value"):
                found[step.name] = (FEATURES, start, float(step.unseen_value))
        for other in plan.others:
            if hasattr(other, "unseen_value"):
                found[other.name] = (other.name, None, float(other.unseen_value))
        return found

    def fit(self, table: Table) -> Self:
        """Learn from training rows, in any order; a fitted transform learns anew.

        Raises ``InvalidRow`` with every bad field, or ``TransformError`` where nothing can be learnt.
        """
        self._fit(table)
        return self

    def fit_transform(self, table: Table) -> Any:
        """``fit`` and ``transform`` in one reading of the table."""
        plan, opened = self._fit(table)
        return plan.opened(opened)

    def transform(self, table: Table) -> Any:
        """Return features, float32 ``(rows, width)``, of a DataFrame, a dict of columns or a list of rows.

        A transform with tensors beside ``features`` returns a dict of them all, rows first: see ``tensors``.
        """
        return self._fitted().table(table)

    def batches(self, table: Table, *, rows: int) -> Iterator[Any]:
        """Yield what ``transform`` gives for ``rows`` rows at a time, so that pictures need not all fit.

        Every field is checked before the first part comes; a file that cannot be decoded raises
        ``InvalidRow`` when its part is reached.
        """
        if rows < 1:
            raise ValueError("rows must be at least 1")
        return self._fitted().batches(table, rows)

    def transform_one(self, row: Row) -> Any:
        """Return one row's features, fresh float32 of shape ``(width,)``: the bytes ``transform`` gives."""
        plan = self._plan
        if plan is None:
            plan = self._fitted()
        return plan.row(row)

    def columns(self, table: Table) -> dict[str, NDArray[Any]]:
        """Return the checked column of every field, one element per row.

        Numbers and flags float64, NaN for missing; points in time ``datetime64[us]`` on the wall clock of
        the declared zone, NaT for missing; others objects, ``None`` for missing. Raises ``InvalidRow``.
        """
        schema = self._fitted().schema
        return schema.wall(schema.check_table(table))

    def render(self, table: Table, indices: Iterable[int]) -> list[dict[str, Any]]:
        """Return the rows at ``indices`` as JSON-able dictionaries that give the same features.

        Files become base64, samples of sound a list of numbers.
        """
        schema = self._fitted().schema
        return schema.render(schema.check_table(table), indices)

    def get_feature_names_out(self) -> NDArray[np.object_]:
        """Return the name of every feature column, shape ``(width,)``, objects of type ``str``."""
        return np.array([name for step in self._fitted().steps for name in step.names()], dtype=object)

    def to_json(self) -> str:
        """Return the fitted transform as canonical JSON: equal transforms, equal text."""
        return document.write(self._fitted())

    @classmethod
    def from_json(cls, text: str | bytes) -> Transform:
        """Return the transform that ``to_json`` wrote; safe on hostile text.

        Raises ``Unsupported`` for a kind that this release does not know, ``Corrupt`` for all else.
        """
        if not isinstance(text, (str, bytes)):
            raise TypeError(f"from_json takes the text that to_json gave, not {type(text).__name__}")
        return cls._of(document.read(text))

    @classmethod
    def from_sklearn(cls, fitted: Any, table: Any, *, rtol: float | None = None) -> Transform:
        """Return the fitted transform that gives the features of a fitted scikit-learn transformer.

        ``fitted``: a ``ColumnTransformer``, a ``Pipeline`` without its model, a ``FeatureUnion`` or one step.
        ``table``: a DataFrame of at least one row with the columns that it was fitted on. There, features
        must be those of ``fitted.transform(table)``, rounded to float32, column by column: to the bit, but
        for logarithms and exponentials, which may be 1e-6 of the feature's largest value away. ``rtol`` is
        allowed instead, for all. Raises ``TransformError`` that lists every step and column without a
        counterpart, and ``ParityError`` that names the feature and the row furthest away.
        """
        from inprocml.transform.views import sklearn_converted

        return sklearn_converted(fitted, table, rtol)

    @classmethod
    def _of(cls, plan: Plan) -> Transform:
        transform = cls({entry.name: entry.spec for entry in plan.entries})
        transform._plan = plan
        return transform

    def diff(self, other: Transform) -> Difference:
        """Return what changes if ``other`` takes this one's place: for senders of rows, and for the model.

        ``TransformError`` unless both are fitted.
        """
        from inprocml.transform.difference import difference

        if not isinstance(other, Transform):
            raise TypeError(f"diff compares with another Transform, not {type(other).__name__}")
        return difference(self, other)

    @property
    def Row(self) -> type[RowModel]:  # noqa: N802 - it is a class
        """A pydantic model that accepts the rows this transform accepts; its JSON Schema fits OpenAPI 3.1."""
        from inprocml.transform.row_model import row_model

        return row_model(self)

    def as_sklearn(self) -> Any:
        """Return a scikit-learn transformer with this declaration, fitted if this is; the two share nothing.

        ``TransformError`` if scikit-learn is not installed.
        """
        from inprocml.transform.views import sklearn_view

        return sklearn_view(self)

    def __str__(self) -> str:
        from inprocml.transform import display

        return display.text(self)

    def _repr_html_(self) -> str:
        from inprocml.transform import display

        return display.html(self, {} if self._sample is None else display.drawn(self._sample))

    def to_onnx(self) -> bytes:
        """Return an ONNX model that gives the same features in another runtime, byte for byte.

        See ``inprocml.packing.transform_to_onnx`` for its inputs and outputs. Raises ``TransformError`` where
        entries cannot be expressed, or the ``onnx`` package is missing.
        """
        from inprocml.transform.views import onnx_model

        return onnx_model(self)

    def __repr__(self) -> str:
        listed = ", ".join(f"{name!r}: {spec!r}" for name, spec in self._fields.items())
        return f"Transform({{{listed}}})"

    def __reduce__(self) -> tuple[object, ...]:
        # so that a copy, or a process pool of the host, gets plain JSON and rebuilds the rest
        if self._plan is None:
            return (type(self), (dict(self._fields),))
        return (type(self).from_json, (self.to_json(),))

    def _fit(self, table: Table) -> tuple[Plan, Opened]:
        plan, opened, columns = fit_plan(self._fields, table)
        self._plan, self._sample = plan, sample(plan.schema, columns)
        return plan, opened

    def _fitted(self) -> Plan:
        if self._plan is None:
            raise TransformError("the transform is not fitted. Call fit(table), or read one with from_json.")
        return self._plan
