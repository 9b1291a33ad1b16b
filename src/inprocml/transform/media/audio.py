"""A clip of sound, from a stranger's bytes or a list of samples, to a fixed number of samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Refused
from inprocml.transform.media.content import content_of
from inprocml.transform.media.wav import Wav, read_wav

__all__ = ["ClipOptions", "read_clip"]

_HIGHEST_RATE = 768_000
_MOST_SAMPLES = 2**26
_NUMBERS = {float, int, np.float64, np.float32, np.float16}
_RANGE = "must hold samples from -1 to 1, each a finite number"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipOptions:
    """What a clip must be; ``ValueError`` for what makes no sense.

    A WAV file must have ``sample_rate`` hertz; nothing is resampled. A clip has at most ``seconds``: a
    longer one is refused, or cut where ``longer="cut"``; a shorter one is followed by zeros. With
    ``channels="mono"`` a file of several channels is refused, with "mean" they are averaged. ``max_bytes``
    bounds a file, and a base64 text by what it decodes to.
    """

    sample_rate: int
    seconds: float
    channels: Literal["mono", "mean"] = "mono"
    longer: Literal["refuse", "cut"] = "refuse"
    max_bytes: int = 20_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.sample_rate <= _HIGHEST_RATE:
            raise ValueError(f"sample_rate must be from 1 to {_HIGHEST_RATE} hertz")
        if not 0 < self.seconds <= _MOST_SAMPLES or not 1 <= self.length <= _MOST_SAMPLES:
            raise ValueError(f"seconds must give from 1 to {_MOST_SAMPLES} samples")
        if self.channels not in {"mono", "mean"}:
            raise ValueError("channels must be mono or mean")
        if self.longer not in {"refuse", "cut"}:
            raise ValueError("longer must be refuse or cut")
        if self.max_bytes < 1:
            raise ValueError("max_bytes must be positive")

    @property
    def length(self) -> int:
        """The number of samples that every clip is brought to."""
        return math.floor(self.seconds * self.sample_rate)


def read_clip(value: object, options: ClipOptions) -> tuple[NDArray[np.float64], int]:
    """Return the samples, float64 of shape ``(options.length,)``, and how many of them the clip had.

    ``value`` is a WAV file as bytes or base64 text, or one channel of samples from -1 to 1 at the declared
    rate: a list or tuple of numbers, or a one-dimensional array of floats. Raises ``Refused``.
    """
    with np.errstate(all="ignore"):  # some NaN raise a flag when they are only converted
        if isinstance(value, (list, tuple, np.ndarray)):
            there = _judged(_listed(value, options))
        else:
            there = _from_wav(read_wav(content_of(value, options.max_bytes)), options)
    samples = np.zeros(options.length)
    samples[: len(there)] = there
    return samples, len(there)


def _from_wav(wav: Wav, options: ClipOptions) -> NDArray[np.float64]:
    if wav.rate != options.sample_rate:
        raise Refused(f"must have {options.sample_rate} samples per second: resample it before")
    if wav.channels > 1 and options.channels == "mono":
        raise Refused("must have one channel")
    samples = _judged(wav.samples(_kept(wav.frames, options)))
    total = samples[:, 0]
    if wav.channels == 1:
        return total
    for channel in range(1, wav.channels):  # one after the other: a fixed order
        total = total + samples[:, channel]
    return total / float(wav.channels)


def _listed(
    value: list[object] | tuple[object, ...] | NDArray[np.generic], options: ClipOptions
) -> NDArray[np.float64]:
    if isinstance(value, np.ndarray):
        if value.ndim != 1 or value.dtype.kind != "f" or value.itemsize > 8:
            raise Refused("must be a one-dimensional array of floats: divide 16-bit integers by 32768")
        return value[: _kept(len(value), options)].astype(np.float64)
    kept = value[: _kept(len(value), options)]
    if not set(map(type, kept)) <= _NUMBERS:
        raise Refused("must be a list of numbers")
    try:
        return np.array(kept, dtype=np.float64)
    except OverflowError:
        raise Refused(_RANGE) from None


def _kept(count: int, options: ClipOptions) -> int:
    """Return how many samples to read; nothing beyond them is decoded."""
    if count == 0:
        raise Refused("must hold at least one sample")
    if count > options.length and options.longer == "refuse":
        raise Refused(f"must have at most {options.length} samples ({options.seconds} seconds)")
    return min(count, options.length)


def _judged(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (np.abs(samples) <= 1.0).all():  # NaN is not
        raise Refused(_RANGE)
    return samples
