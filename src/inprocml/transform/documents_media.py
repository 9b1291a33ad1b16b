"""What text, pictures and sound say of themselves in JSON; checked again by the declaration and the step."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from inprocml.transform.audio_step import AudioStep
from inprocml.transform.documents import EntryModel
from inprocml.transform.image_step import ImageStep
from inprocml.transform.media.mel import LogMel
from inprocml.transform.specs_media import MOST_ENDS, Audio, Image, Text
from inprocml.transform.step import Entry
from inprocml.transform.text_step import NgramStep, TokenStep

__all__ = ["MEDIA_MODELS"]

Few: TypeAlias = Annotated[list[float], Field(max_length=3)]
Whole: TypeAlias = Annotated[list[int], Field(min_length=2, max_length=3)]


class _Media(EntryModel):
    field: str | None
    missing: Literal["empty"] | None

    def declared(self) -> dict[str, Any]:
        """Return the arguments of the declaration."""
        members = {name: getattr(self, name) for name in type(self).model_fields}
        for name in ("kind", "name", "arrays"):
            members.pop(name, None)
        return members


class _Text(_Media):
    kind: Literal["text@1"]
    tokenizer: str
    max_length: int
    pad_to: Annotated[list[int], Field(max_length=MOST_ENDS)] | None
    pad_token: str | None
    special: bool
    lengths: bool
    characters: int

    def step(self) -> Entry:
        spec = Text(**self.declared() | {"tokenizer": self.tokenizer.encode()})
        return TokenStep(self.name, spec, self.tokenizer)


class _Ngrams(_Media):
    kind: Literal["ngrams@1"]
    buckets: int
    by: Literal["word", "char", "char_wb"]
    ngrams: Whole
    lowercase: bool
    binary: bool
    norm: Literal["l2"] | None
    signed: bool
    characters: int

    def step(self) -> Entry:
        return NgramStep(self.name, Text(**self.declared()))


class _Image(_Media):
    kind: Literal["image@1"]
    size: Whole
    colours: Literal["RGB", "L"]
    fit: Literal["stretch", "crop"]
    kernel: Literal["bilinear", "bicubic", "lanczos", "nearest", "box"]
    mean: Few | None
    std: Few | None
    upright: bool
    background: Whole | None
    formats: Annotated[list[Literal["JPEG", "PNG", "WEBP", "BMP"]], Field(min_length=1, max_length=4)]
    max_pixels: int
    max_bytes: int

    def step(self) -> Entry:
        return ImageStep(self.name, Image(**self.declared()))


class _Audio(_Media):
    kind: Literal["audio@1"]
    sample_rate: int
    seconds: float
    channels: Literal["mono", "mean"]
    longer: Literal["refuse", "cut"]
    max_bytes: int
    n_fft: int
    hop: int
    window: int | None
    mels: int
    low: float
    high: float | None
    center: bool
    log: Literal["natural", "decibel", "none"]
    floor: float
    lengths: bool
    pad_to: Annotated[list[float], Field(max_length=MOST_ENDS)] | None = None
    arrays: dict[str, Any]

    def step(self) -> Entry:
        spec = Audio(**self.declared())
        return AudioStep(self.name, spec, LogMel.read(spec.spectrogram, self.arrays))


MEDIA_MODELS: dict[str, type[EntryModel]] = {
    "audio@1": _Audio,
    "image@1": _Image,
    "ngrams@1": _Ngrams,
    "text@1": _Text,
}
