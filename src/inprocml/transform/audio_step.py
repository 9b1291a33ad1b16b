"""Sound: the log-mel spectrogram as a float32 tensor of declared shape, and its length if declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.schema import Canonical, Field
from inprocml.schema.once import once
from inprocml.transform.media.audio import ClipOptions, read_clip
from inprocml.transform.media.mel import LogMel
from inprocml.transform.media.wav import read_wav
from inprocml.transform.media_rows import emit_tensors, file_tensors, place_each
from inprocml.transform.rowcode import RowCode
from inprocml.transform.specs_media import Audio
from inprocml.transform.step import Arrays, TensorSpec
from inprocml.values import Medium

__all__ = ["AudioStep", "audio_field", "fit_audio"]


def audio_field(name: str, spec: Audio) -> Field:
    """Return the field that an entry reads."""
    return Field(spec.field or name, "signal", required=spec.missing is None, longest=spec.max_bytes)


@dataclass(frozen=True)
class AudioStep:
    """``spectrogram`` holds the window and the filters that were made when it was fitted."""

    name: str
    spec: Audio
    spectrogram: LogMel

    @once
    def field(self) -> Field:
        """The field of the row that it reads."""
        return audio_field(self.name, self.spec)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return (self.field,)

    @once
    def clip(self) -> ClipOptions:
        """What a clip must be."""
        return self.spec.clip

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Which tensors."""
        named, *told = file_tensors(self.spec.tensors(self.name), self.spec.shape)
        if self.spec.ends:
            shape = (self.spec.mels, None)
            named = replace(named, shape=shape, pad=self.quiet, ends=self.spec.ends)
        return (named, *told)

    @property
    def medium(self) -> Medium:
        """What its tensor shows."""
        tensor, *told = self.spec.tensors(self.name)
        return Medium("sound", self.field.name, tensor, told=told[0] if told else None, seconds=self.seconds)

    def seconds(self, value: bytes | NDArray[np.float64]) -> float:
        """Return how long a canonical clip lasts, before it is cut; of a file only the header is read.

        May raise ``Refused``.
        """
        if isinstance(value, bytes):
            wav = read_wav(value)
            return wav.frames / wav.rate
        return len(value) / self.spec.sample_rate

    def one(self, values: Sequence[Canonical]) -> Arrays:
        """Return the tensors of canonical values, without an axis for rows; may raise ``Refused``."""
        found, length = self._heard(values[0])
        return self._named(self._cut(found, length), np.array(length, dtype=np.int64))

    def many(self, columns: Sequence[NDArray[Any]]) -> Arrays:
        """Return the tensors of canonical columns, rows first; may raise ``Refused`` with the row."""
        found = np.empty((len(columns[0]), *self.spec.shape), dtype=np.float32)
        found[:] = self.silence
        lengths = np.zeros(len(found), dtype=np.int64)

        def place(row: int, value: Canonical) -> None:
            found[row], lengths[row] = self._heard(value)

        place_each(columns[0], place)
        return self._named(self._cut(found, int(lengths.max(initial=0))), lengths)

    @once
    def silence(self) -> NDArray[np.float32]:
        """The spectrogram of no sound at all."""
        silence = self._sounding(np.zeros(self.clip.length))
        silence.flags.writeable = False
        return silence

    @once
    def quiet(self) -> float:
        """What every filter gives where there is no sound."""
        return float(self.silence[0, 0])

    def _cut(self, found: NDArray[np.float32], longest: int) -> NDArray[np.float32]:
        """Leave out the frames that no row of the call needs."""
        ends = self.spec.ends
        if not ends:
            return found
        return np.ascontiguousarray(found[..., : next(end for end in ends if end >= longest)])

    def _heard(self, value: Canonical) -> tuple[NDArray[np.float32], int]:
        if value is None:
            return self.silence.copy(), 0
        samples, count = read_clip(value, self.clip)
        # a clip shorter than a frame is within the first
        found, length = self._sounding(samples), max(1, self.spectrogram.options.frames(count))
        if self.spec.ends:  # a window reaches beyond its middle; how far must not depend on the row's company
            found[:, length:] = self.quiet
        return found, length

    def _sounding(self, samples: NDArray[np.float64]) -> NDArray[np.float32]:
        with np.errstate(all="ignore"):  # whatever the host set: what underflows is below the floor
            return self.spectrogram(samples)

    def _named(self, found: NDArray[np.float32], lengths: NDArray[np.int64]) -> Arrays:
        return dict(zip(self.spec.tensors(self.name), (found, lengths), strict=False))

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        emit_tensors(code, raws[0], self.field.judge, self.one)

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        declared = {field.name: getattr(self.spec, field.name) for field in fields(self.spec)}
        ends = declared.pop("pad_to")
        if ends is not None:  # else as it was written before there was such a thing
            declared["pad_to"] = list(ends)
        return {"kind": "audio@1", "name": self.name, **declared, "arrays": self.spectrogram.document()}


def fit_audio(name: str, spec: Audio) -> AudioStep:
    """Return the step; ``TransformError`` where a filter would see nothing."""
    try:
        return AudioStep(name, spec, LogMel.made(spec.spectrogram))
    except ValueError as error:
        raise TransformError(f"{name}: {error}") from error
