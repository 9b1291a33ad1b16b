"""Pictures: one float32 tensor of declared shape, and one that tells missing if declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Canonical, Field
from inprocml.schema.once import once
from inprocml.transform.media.image import ImageOptions, pillow, read_image
from inprocml.transform.media_rows import emit_tensors, file_tensors, place_each
from inprocml.transform.rowcode import RowCode
from inprocml.transform.specs_media import Image
from inprocml.transform.step import Arrays, TensorSpec
from inprocml.values import Medium

__all__ = ["ImageStep", "image_field"]


def image_field(name: str, spec: Image) -> Field:
    """Return the field that an entry reads."""
    return Field(spec.field or name, "content", required=spec.missing is None, longest=spec.max_bytes)


@dataclass(frozen=True)
class ImageStep:
    """Nothing is learnt; ``BackendMissing`` without Pillow, when it is made and not in the first request."""

    name: str
    spec: Image

    def __post_init__(self) -> None:
        pillow()

    @once
    def field(self) -> Field:
        """The field of the row that it reads."""
        return image_field(self.name, self.spec)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return (self.field,)

    @once
    def options(self) -> ImageOptions:
        """What a picture must be and what it becomes."""
        return self.spec.options

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Which tensors."""
        return file_tensors(self.spec.tensors(self.name), self.spec.shape)

    @property
    def medium(self) -> Medium:
        """What its tensor shows."""
        return Medium("picture", self.field.name, self.name)

    def one(self, values: Sequence[Canonical]) -> Arrays:
        """Return the tensors of canonical values, without an axis for rows; may raise ``Refused``."""
        there = values[0] is not None
        picture = read_image(values[0], self.options) if there else np.zeros(self.spec.shape, np.float32)
        return self._named(picture, np.array(there, dtype=np.int64))

    def many(self, columns: Sequence[NDArray[Any]]) -> Arrays:
        """Return the tensors of canonical columns, rows first; may raise ``Refused`` with the row."""
        pictures = np.zeros((len(columns[0]), *self.spec.shape), dtype=np.float32)
        there = np.zeros(len(pictures), dtype=np.int64)

        def place(row: int, value: Canonical) -> None:
            pictures[row] = read_image(value, self.options)
            there[row] = 1

        place_each(columns[0], place)
        return self._named(pictures, there)

    def _named(self, pictures: NDArray[np.float32], there: NDArray[np.int64]) -> Arrays:
        return dict(zip(self.spec.tensors(self.name), (pictures, there), strict=False))

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        emit_tensors(code, raws[0], self.field.judge, self.one)

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        declared = {field.name: getattr(self.spec, field.name) for field in fields(self.spec)}
        listed = {name: list(value) if type(value) is tuple else value for name, value in declared.items()}
        return {"kind": "image@1", "name": self.name, **listed}
