"""Text: token ids as tensors of their own, or hashed n-grams as columns of the features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.schema import Canonical, Field
from inprocml.schema.once import once
from inprocml.transform.media.ngrams import ngram_block
from inprocml.transform.media.text_tokens import Tokens
from inprocml.transform.media.tokenizer_file import audited_tokenizer
from inprocml.transform.media_rows import emit_tensors, place_each
from inprocml.transform.rowcode import RowCode
from inprocml.transform.specs_media import Text
from inprocml.transform.step import Arrays, TensorSpec, emit_block
from inprocml.values import Medium

__all__ = ["LARGEST_TOKENIZER", "NgramStep", "TokenStep", "fit_text", "text_field"]

LARGEST_TOKENIZER = 12 * 2**20
"""Bytes of a tokenizer file, without white space, that a transform carries: a bundle holds it whole."""


def text_field(name: str, spec: Text) -> Field:
    """Return the field that an entry reads."""
    return Field(spec.field or name, "text", required=spec.missing is None, longest=spec.characters)


@dataclass(frozen=True)
class TokenStep:
    """Ids, mask and lengths; ``content`` is the tokenizer file, audited, as JSON without white space."""

    name: str
    spec: Text
    content: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.content.encode()) > LARGEST_TOKENIZER:
            raise ValueError(
                f"tokenizer.json must have at most {LARGEST_TOKENIZER} bytes without white space: "
                "use one with a smaller vocabulary"
            )
        _ = self.tokens  # the file is judged here, and not in the first request

    @once
    def tokens(self) -> Tokens:
        """The tokenizer."""
        return Tokens(self.content.encode(), self.spec.token_options)

    @once
    def field(self) -> Field:
        """The field of the row that it reads."""
        return text_field(self.name, self.spec)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return (self.field,)

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Which tensors."""
        length = self.spec.max_length if self.spec.pad_to is None else None
        ends = self.spec.pad_to or ()
        shapes: list[tuple[tuple[int | None, ...], int]] = [
            ((length,), self.tokens.pad),
            ((length,), 0),
            ((), 0),
        ]
        names = self.spec.tensors(self.name)
        return tuple(
            TensorSpec(name, shape, "int64", pad, ends=ends if shape else ())
            for name, (shape, pad) in zip(names, shapes, strict=False)
        )

    @property
    def medium(self) -> Medium:
        """What its tensors show."""
        ids, mask, *_ = self.spec.tensors(self.name)
        return Medium("tokens", self.field.name, ids, told=mask, unknown=self.tokens.unknown)

    def one(self, values: Sequence[Canonical]) -> Arrays:
        """Return the tensors of canonical values, without an axis for rows; may raise ``Refused``."""
        return {name: tensor.reshape(tensor.shape[1:]) for name, tensor in self._filled(values).items()}

    def many(self, columns: Sequence[NDArray[Any]]) -> Arrays:
        """Return the tensors of canonical columns, rows first; may raise ``Refused`` with the row."""
        return self._filled(columns[0].tolist())

    def _filled(self, values: Sequence[Canonical]) -> Arrays:
        found: list[list[int]] = [[] for _ in values]

        def place(row: int, value: Canonical) -> None:
            found[row] = self.tokens.one(value)

        place_each(["" if value is None else value for value in values], place)
        lengths = np.array([len(row) for row in found], dtype=np.int64)
        shape = (len(values), self.tokens.width(int(lengths.max(initial=0))))
        ids, mask = np.full(shape, self.tokens.pad, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for place_, row in enumerate(found):
            ids[place_, : len(row)] = row
            mask[place_, : len(row)] = 1
        return dict(zip(self.spec.tensors(self.name), (ids, mask, lengths), strict=False))

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        emit_tensors(code, raws[0], self.field.judge, self.one)

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "text@1",
            "name": self.name,
            "field": spec.field,
            "tokenizer": self.content,
            "max_length": spec.max_length,
            "pad_to": None if spec.pad_to is None else list(spec.pad_to),
            "pad_token": spec.pad_token,
            "special": spec.special,
            "lengths": spec.lengths,
            "characters": spec.characters,
            "missing": spec.missing,
        }


@dataclass(frozen=True)
class NgramStep:
    """``spec.buckets`` features; nothing is learnt."""

    name: str
    spec: Text
    unseen = None  # a bucket has no way to tell

    @once
    def field(self) -> Field:
        """The field of the row that it reads."""
        return text_field(self.name, self.spec)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return (self.field,)

    @property
    def width(self) -> int:
        """The number of features."""
        return self.spec.ngram_options.buckets

    def names(self) -> list[str]:
        """Return the name of each feature."""
        return [f"{self.name}#{number}" for number in range(self.width)]

    @once
    def options(self) -> Any:
        """Which n-grams are counted, and how."""
        return self.spec.ngram_options

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32; may raise ``Refused``."""
        return ngram_block(values[0] or "", self.options).tobytes()

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns; ``out`` is zeros of shape ``(rows, width)``; may raise ``Refused``."""

        def place(row: int, value: Canonical) -> None:
            out[row] = ngram_block(value, self.options)

        place_each(columns[0].tolist(), place)

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        emit_block(code, raws, self, [self.field.judge])

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "ngrams@1",
            "name": self.name,
            "field": spec.field,
            "buckets": spec.buckets,
            "by": spec.by,
            "ngrams": list(spec.ngrams),
            "lowercase": spec.lowercase,
            "binary": spec.binary,
            "norm": spec.norm,
            "signed": spec.signed,
            "characters": spec.characters,
            "missing": spec.missing,
        }


def fit_text(name: str, spec: Text) -> TokenStep | NgramStep:
    """Return the step; ``TransformError`` where the tokenizer file cannot be read, or will not do."""
    if spec.tokenizer is None:
        return NgramStep(name, spec)
    try:
        content = spec.tokenizer if isinstance(spec.tokenizer, bytes) else Path(spec.tokenizer).read_bytes()
    except OSError as error:
        raise TransformError(
            f"{name}: the tokenizer cannot be read ({type(error).__name__}). Give a tokenizer.json's path."
        ) from error
    try:
        return TokenStep(name, spec, _compact(content))
    except ValueError as error:
        raise TransformError(f"{name}: {error}. Save the tokenizer anew, or declare it otherwise.") from error


def _compact(content: bytes) -> str:
    """Return what the audit leaves of the file, without white space and without escapes."""
    document = json.loads(audited_tokenizer(content))
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("tokenizer.json holds half of a surrogate pair") from None
    return text
