"""Log-mel spectrograms: periodic Hann window, power spectrum, Slaney's mel filters, logarithm.

The same numbers as ``librosa.feature.melspectrogram`` with its defaults (``htk=False, norm="slaney"``, zeros
beyond the ends where ``center``), up to rounding. Window and filters are made once, with portable arithmetic,
and then stored: what was trained with is what is served with, whatever a later release would make.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from inprocml.transform.elementary import exp_float, log_array, log_float
from inprocml.transform.media.arrays import restored, stored
from inprocml.transform.media.fourier import power_spectrum
from inprocml.transform.turns import cosine

__all__ = ["LogMel", "MelOptions"]

_DECIBELS = 4.342944819032518  # 10 / ln 10
_AT_ONCE = 32_768  # numbers per step of the transform: what stays in a processor's cache
_LARGEST_FFT = 16_384


@dataclass(frozen=True, kw_only=True, slots=True)
class MelOptions:
    """How a log-mel spectrogram is made; ``ValueError`` for what makes no sense.

    A frame has ``n_fft`` samples, a power of two, and the next begins ``hop`` samples later. The Hann window
    is ``window`` samples long (default: the frame), with zeros on both sides. ``center`` puts the middle of
    frame t at sample ``t * hop``. ``mels`` filters lie between ``low`` and ``high`` hertz (default: half the
    sample rate). The power, at least ``floor``, is given as "natural" logarithm, in "decibel", or ("none")
    as it is.
    """

    sample_rate: int
    n_fft: int = 512
    hop: int = 160
    window: int | None = None
    mels: int = 80
    low: float = 0.0
    high: float | None = None
    center: bool = True
    log: Literal["natural", "decibel", "none"] = "natural"
    floor: float = 1e-10

    def __post_init__(self) -> None:
        if not 16 <= self.n_fft <= _LARGEST_FFT or self.n_fft & (self.n_fft - 1):
            raise ValueError(f"n_fft must be a power of two from 16 to {_LARGEST_FFT}")
        if not 1 <= self.hop <= self.n_fft:
            raise ValueError("hop must be from 1 to n_fft: what lies between frames would be lost")
        if self.window is not None and not 2 <= self.window <= self.n_fft:
            raise ValueError("window must be from 2 to n_fft samples")
        if not 1 <= self.mels <= self.n_fft // 2:
            raise ValueError("mels must be from 1 to n_fft / 2")
        if self.sample_rate < 1 or not 0 <= self.low < self.highest <= self.sample_rate / 2:
            raise ValueError("low and high must be 0 <= low < high <= half the sample rate")
        if self.log not in {"natural", "decibel", "none"}:
            raise ValueError("log must be one of natural, decibel, none")
        if not 1e-300 <= self.floor <= 1e9:
            raise ValueError("floor must be from 1e-300 to 1e9: the logarithm of 0 is no number")

    @property
    def highest(self) -> float:
        """The upper end of the last filter, in hertz."""
        return self.sample_rate / 2 if self.high is None else self.high

    def frames(self, samples: int) -> int:
        """Return how many frames so many samples give."""
        if self.center:
            return 1 + samples // self.hop
        return max(0, 1 + (samples - self.n_fft) // self.hop)


@dataclass(frozen=True, eq=False)
class LogMel:
    """Window and filters, fitted to ``options``.

    ``window``: float64 ``(n_fft,)``. Filter m weighs the bins ``first[m]`` and following with ``taps[m]``,
    float64 ``(mels, width)``: the part of the filter bank that is not zero.
    """

    options: MelOptions
    window: NDArray[np.float64]
    first: tuple[int, ...]
    taps: NDArray[np.float64]

    @classmethod
    def made(cls, options: MelOptions) -> Self:
        """Make window and filters; ``ValueError`` where a filter would see no bin."""
        first, taps = _filters(options)
        return cls(options, _hann(options.n_fft, options.window or options.n_fft), first, taps)

    @classmethod
    def read(cls, options: MelOptions, document: object) -> Self:
        """Return what ``document()`` was called on; ``ValueError`` for anything else."""
        if not isinstance(document, dict) or document.keys() != {"window", "first", "taps"}:
            raise ValueError("a spectrogram has window, first and taps, and nothing else")
        window = restored(document["window"], (options.n_fft,), largest=1e3)
        taps = restored(document["taps"], (options.mels, None), largest=1e6)
        first, bins = document["first"], options.n_fft // 2 + 1
        if not isinstance(first, list) or len(first) != options.mels:
            raise ValueError("a spectrogram must have one first bin for each filter")
        if any(type(place) is not int or not 0 <= place <= bins - taps.shape[1] for place in first):
            raise ValueError("a filter must lie within the spectrum")
        return cls(options, window, tuple(first), taps)

    def document(self) -> dict[str, Any]:
        """Return what rebuilds the arrays, as JSON holds it."""
        return {"window": stored(self.window), "first": list(self.first), "taps": stored(self.taps)}

    def __call__(self, samples: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the spectrogram of one clip: float64 ``(samples,)`` to float32 ``(mels, frames)``."""
        options = self.options
        if options.center:
            samples = np.pad(samples, options.n_fft // 2)
        frames = np.lib.stride_tricks.sliding_window_view(samples, options.n_fft)[:: options.hop]
        out = np.empty((options.mels, len(frames)), dtype=np.float32)
        step = max(1, _AT_ONCE // options.n_fft)
        for start in range(0, len(frames), step):
            part = slice(start, start + step)
            windowed = np.multiply(frames[part].T, self.window[:, None], order="C")
            out[:, part] = self._scaled(self._filtered(power_spectrum(windowed)))
        return out

    def _filtered(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weigh and add up bins, from the lowest of each filter on: a fixed order, no matrix product."""
        places = np.array(self.first)
        total: NDArray[np.float64] = self.taps[:, 0, None] * power[places]
        for tap in range(1, self.taps.shape[1]):
            total += self.taps[:, tap, None] * power[places + tap]
        return total

    def _scaled(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        power = np.maximum(power, self.options.floor)
        if self.options.log == "none":
            return power
        logarithm = log_array(power)
        return logarithm * _DECIBELS if self.options.log == "decibel" else logarithm


def _hann(n_fft: int, length: int) -> NDArray[np.float64]:
    """Return the periodic Hann window, in the middle of ``n_fft`` samples."""
    window = np.zeros(n_fft)
    start = (n_fft - length) // 2
    window[start : start + length] = [0.5 - 0.5 * cosine(k, length) for k in range(length)]
    window.flags.writeable = False
    return window


def _filters(options: MelOptions) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return the first bin and the weights of each filter, by the formula of Slaney's Auditory Toolbox."""
    low, high = _mel(options.low), _mel(options.highest)
    parts = options.mels + 1
    edges = [_hertz(low + (high - low) * part / parts) for part in range(parts + 1)]
    bins = [k * options.sample_rate / options.n_fft for k in range(options.n_fft // 2 + 1)]
    filters = []
    for left, middle, right in zip(edges, edges[1:], edges[2:], strict=False):
        weights = [max(0.0, min((f - left) / (middle - left), (right - f) / (right - middle))) for f in bins]
        filters.append([weight * (2.0 / (right - left)) for weight in weights])
    seen = [[k for k, weight in enumerate(weights) if weight > 0] for weights in filters]
    if not all(seen):
        raise ValueError("a filter would see no bin: use fewer mels, or a larger n_fft")
    width = max(places[-1] - places[0] + 1 for places in seen)
    first = tuple(min(places[0], len(bins) - width) for places in seen)
    taps = np.array([weights[at : at + width] for at, weights in zip(first, filters, strict=True)])
    taps.flags.writeable = False
    return first, taps


_STEP = log_float(6.4) / 27.0  # above 1000 Hz, 27 mels multiply the frequency by 6.4


def _mel(hertz: float) -> float:
    return hertz / (200.0 / 3.0) if hertz < 1000.0 else 15.0 + log_float(hertz / 1000.0) / _STEP


def _hertz(mel: float) -> float:
    return mel * (200.0 / 3.0) if mel < 15.0 else 1000.0 * exp_float(_STEP * (mel - 15.0))
