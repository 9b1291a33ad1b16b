"""What the user declares of text, pictures and sound: frozen values, checked as they are written down."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from math import floor, prod
from typing import Any, Literal

from inprocml.transform.arguments import a_bool, a_field, a_whole, finite, numbers, one_of, wholes
from inprocml.transform.media.audio import ClipOptions
from inprocml.transform.media.image import ImageOptions
from inprocml.transform.media.mel import MelOptions
from inprocml.transform.media.ngrams import NgramOptions
from inprocml.transform.media.text_tokens import TokenOptions

__all__ = ["LARGEST_TENSOR", "MOST_ENDS", "Audio", "Image", "Text"]

LARGEST_TENSOR = 2**24
"""Numbers that one row's picture or spectrogram may have: 64 MiB of float32."""

MOST_ENDS = 64
"""Lengths that rows may be padded to: each is a shape that a runtime prepares for."""

_MOST = {"max_pixels": 2**28, "max_bytes": 2**30}
_OF_TOKENS = ("max_length", "pad_to", "pad_token", "special", "lengths")
_OF_NGRAMS = ("by", "ngrams", "lowercase", "binary", "norm", "signed")


class TokenizerFile(bytes):
    """The content of a ``tokenizer.json``; megabytes that nobody wants to see printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<tokenizer.json of {len(self)} bytes>"


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A text becomes token ids (``tokenizer``), or counts of its n-grams (``buckets``): one of the two.

    ``tokenizer`` is the path of a Hugging Face ``tokenizer.json``, or its content as bytes. ``fit`` reads it,
    and the transform carries it from then on. The entry gives the int64 tensors ``<name>_ids`` and
    ``<name>_mask`` (1 for tokens, 0 for padding), each of shape ``(max_length,)``, and with ``lengths``
    ``<name>_lengths``, the number of tokens. Longer texts are cut on the right. ``special`` adds the tokens
    that the file says, ``pad_token`` names the one that pads (default: id 0). With ``pad_to``, lengths in
    ascending order of which the last is ``max_length``, the rows of one call are padded to the smallest that
    holds the longest of them: the tokens are the same whatever the call, only padding differs.

    ``buckets`` counts n-grams as scikit-learn's ``HashingVectorizer`` does, into as many features. ``by`` is
    "word", "char" or "char_wb", ``ngrams`` the (least, most) units together; ``binary`` counts presence only,
    ``norm="l2"`` divides by the Euclidean length, ``signed`` lets the hash choose the sign.

    Texts are read in Unicode normal form C; those of more than ``characters`` are refused. ``missing=None``
    makes the field required, "empty" reads missing as the empty text. ``field`` names the field to read where
    it is not called as the entry. Raises ``TypeError`` or ``ValueError`` for arguments that make no sense.
    """

    tokenizer: str | os.PathLike[str] | bytes | None = None
    max_length: int = 128
    pad_to: tuple[int, ...] | None = None
    pad_token: str | None = None
    special: bool = True
    lengths: bool = False
    buckets: int | None = None
    by: Literal["word", "char", "char_wb"] = "word"
    ngrams: tuple[int, int] = (1, 1)
    lowercase: bool = True
    binary: bool = False
    norm: Literal["l2"] | None = None
    signed: bool = False
    characters: int = 20_000
    missing: Literal["empty"] | None = None
    field: str | None = None

    def __post_init__(self) -> None:
        if (self.tokenizer is None) == (self.buckets is None):
            raise ValueError("Text takes either tokenizer, for token ids, or buckets, for counts of n-grams")
        for name in ("special", "lengths", "lowercase", "binary", "signed"):
            a_bool(name, getattr(self, name))
        for name in ("max_length", "characters"):
            a_whole(name, getattr(self, name))
        object.__setattr__(self, "ngrams", _pair("ngrams", self.ngrams, "(least, most)"))
        _an_empty(self.missing)
        a_field(self.field)
        if self.buckets is None:
            self._check_tokens()
        else:
            a_whole("buckets", self.buckets)
            self._check_left_out(_OF_TOKENS, "tokenizer")
            _ = self.ngram_options

    def _check_tokens(self) -> None:
        if isinstance(self.tokenizer, bytes):
            object.__setattr__(self, "tokenizer", TokenizerFile(self.tokenizer))
        elif not isinstance(self.tokenizer, (str, os.PathLike)):
            raise TypeError("tokenizer must be the path of a tokenizer.json, or its content as bytes")
        if self.pad_token is not None and not isinstance(self.pad_token, str):
            raise TypeError("pad_token must be the text of a token")
        self._check_left_out(_OF_NGRAMS, "buckets")
        if self.pad_to is not None:
            object.__setattr__(self, "pad_to", tuple(wholes("pad_to", self.pad_to)))
            _check_ends(self.pad_to)
        _ = self.token_options

    def _check_left_out(self, names: Iterable[str], other: str) -> None:
        defaults = {field.name: field.default for field in fields(self)}
        for name in names:
            if getattr(self, name) != defaults[name]:
                raise ValueError(f"{name} goes with {other}")

    @property
    def token_options(self) -> TokenOptions:
        """How text becomes ids."""
        return TokenOptions(
            max_length=self.max_length,
            pad_to=self.pad_to,
            pad_token=self.pad_token,
            special=self.special,
            characters=self.characters,
        )

    @property
    def ngram_options(self) -> NgramOptions:
        """Which n-grams are counted, and how."""
        assert self.buckets is not None
        return NgramOptions(
            buckets=self.buckets,
            by=self.by,
            ngrams=self.ngrams,
            lowercase=self.lowercase,
            binary=self.binary,
            norm=self.norm,
            signed=self.signed,
            characters=self.characters,
        )

    def tensors(self, name: str) -> tuple[str, ...]:
        """Return the names of the tensors that an entry called ``name`` makes; none for n-grams."""
        if self.buckets is not None:
            return ()
        return (f"{name}_ids", f"{name}_mask", *([f"{name}_lengths"] if self.lengths else []))


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """A picture file becomes the float32 tensor ``<name>`` of shape ``(channels, height, width)``.

    ``size`` is (height, width). ``fit="stretch"`` resizes to it whatever the proportions; "crop" resizes
    until the picture covers it, and takes the middle. ``kernel`` is Pillow's "bilinear", "bicubic",
    "lanczos", "nearest" or "box", antialiased. ``colours`` is "RGB" or "L", grey. ``upright`` obeys the EXIF
    orientation. Transparency is refused unless ``background`` names the colour beneath, (red, green, blue)
    from 0 to 255. Values are (x / 255 - ``mean``) / ``std``, one number per channel. ``formats`` are those
    accepted of JPEG, PNG, WEBP and BMP; files of more than ``max_bytes``, or that claim more than
    ``max_pixels``, are refused before they are decoded.

    ``missing=None`` makes the field required; "empty" gives zeros, and one more tensor ``<name>_mask``,
    int64 of shape ``()``: 1 for a picture, 0 where it is missing. ``field`` names the field to read where it
    is not called as the entry. Raises ``TypeError`` or ``ValueError`` for arguments that make no sense.
    """

    size: tuple[int, int]
    colours: Literal["RGB", "L"] = "RGB"
    fit: Literal["stretch", "crop"] = "stretch"
    kernel: Literal["bilinear", "bicubic", "lanczos", "nearest", "box"] = "bilinear"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    upright: bool = True
    background: tuple[int, int, int] | None = None
    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP")
    max_pixels: int = 50_000_000
    max_bytes: int = 20_000_000
    missing: Literal["empty"] | None = None
    field: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _pair("size", self.size, "(height, width)"))
        for name in ("mean", "std"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, numbers(name, getattr(self, name)))
        if self.background is not None:
            object.__setattr__(self, "background", wholes("background", self.background))
        if not isinstance(self.formats, (tuple, list)):
            raise TypeError("formats must be a tuple of names, such as ('JPEG', 'PNG')")
        object.__setattr__(self, "formats", tuple(self.formats))
        a_bool("upright", self.upright)
        for name in ("max_pixels", "max_bytes"):
            _a_limit(name, getattr(self, name))
        _an_empty(self.missing)
        a_field(self.field)
        _check_size(self.shape)

    @property
    def options(self) -> ImageOptions:
        """What a picture must be and what it becomes."""
        shared = {field.name: getattr(self, field.name) for field in fields(ImageOptions)}
        return ImageOptions(**shared)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return (self.options.channels, *self.size)

    def tensors(self, name: str) -> tuple[str, ...]:
        """Return the names of the tensors that an entry called ``name`` makes."""
        return (name,) if self.missing is None else (name, f"{name}_mask")


@dataclass(frozen=True, kw_only=True, slots=True)
class Audio:
    """A clip of sound becomes its log-mel spectrogram: the float32 tensor ``<name>``, ``(mels, frames)``.

    A clip is a WAV file, or one channel of samples from -1 to 1 as a list or an array. A file must have
    ``sample_rate`` hertz: nothing is resampled. A clip of more than ``seconds`` is refused, or cut where
    ``longer="cut"``; a shorter one is followed by silence. ``channels="mean"`` averages a file's channels,
    "mono" refuses all but one. Files of more than ``max_bytes``, and lists of more numbers, are refused.

    A frame has ``n_fft`` samples, a power of two, under a Hann window of ``window`` samples (default: the
    frame); the next begins ``hop`` samples later, and ``center`` puts the first one's middle at the first
    sample. ``mels`` filters (Slaney's) lie between ``low`` and ``high`` hertz (default: half the sample
    rate). The power, at least ``floor``, is given as "natural" logarithm, in "decibel", or as it is ("none").

    ``lengths`` adds the tensor ``<name>_lengths``, int64 of shape ``()``: how many frames the clip itself
    fills. With ``pad_to``, seconds in ascending order of which the last is ``seconds``, the clips of one call
    are padded to the smallest that holds the longest of them, and frames beyond ``<name>_lengths``, always
    given then, are silent: values are the same whatever the call, only padding differs. ``missing=None``
    makes the field required; "empty" gives silence, and always ``<name>_lengths``, which is 0 then. ``field``
    names the field to read where it is not called as the entry. Raises ``TypeError`` or ``ValueError`` for
    arguments that make no sense.
    """

    sample_rate: int
    seconds: float
    channels: Literal["mono", "mean"] = "mono"
    longer: Literal["refuse", "cut"] = "refuse"
    max_bytes: int = 20_000_000
    n_fft: int = 512
    hop: int = 160
    window: int | None = None
    mels: int = 80
    low: float = 0.0
    high: float | None = None
    center: bool = True
    log: Literal["natural", "decibel", "none"] = "natural"
    floor: float = 1e-10
    lengths: bool = False
    pad_to: tuple[float, ...] | None = None
    missing: Literal["empty"] | None = None
    field: str | None = None

    def __post_init__(self) -> None:
        _a_limit("max_bytes", self.max_bytes)
        for name in ("sample_rate", "n_fft", "hop", "mels", "window"):
            if name != "window" or self.window is not None:
                a_whole(name, getattr(self, name))
        for name in ("seconds", "low", "high", "floor"):
            if name != "high" or self.high is not None:
                object.__setattr__(self, name, finite(name, getattr(self, name)))
        a_bool("center", self.center)
        a_bool("lengths", self.lengths)
        _an_empty(self.missing)
        a_field(self.field)
        _check_size((1, self.clip.length))
        _check_size(self.shape)
        if self.shape[1] < 1:
            raise ValueError("seconds must give at least one frame: make it longer, or n_fft smaller")
        if self.pad_to is not None:
            object.__setattr__(self, "pad_to", numbers("pad_to", self.pad_to))
            _check_ends(self.pad_to)
            ends = (0, *self.ends)
            rising = all(one < other for one, other in pairwise(ends)) and min(self.pad_to, default=0) > 0
            if not rising or self.pad_to[-1] != self.seconds:
                raise ValueError(
                    "pad_to must be positive, ascending, each of more frames, and end in seconds"
                )

    @property
    def clip(self) -> ClipOptions:
        """What a clip must be."""
        shared: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(ClipOptions)}
        return ClipOptions(**shared)

    @property
    def spectrogram(self) -> MelOptions:
        """How a spectrogram is made of it."""
        shared: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(MelOptions)}
        return MelOptions(**shared)

    @property
    def shape(self) -> tuple[int, int]:
        """Filters, frames."""
        return (self.mels, self.spectrogram.frames(self.clip.length))

    @property
    def ends(self) -> tuple[int, ...]:
        """The numbers of frames that spectrograms are padded to; none where all have the same."""
        samples = [floor(seconds * self.sample_rate) for seconds in self.pad_to or ()]
        return tuple(map(self.spectrogram.frames, samples))

    @property
    def tells_length(self) -> bool:
        """Whether there is a tensor of lengths."""
        return self.lengths or self.missing is not None or self.pad_to is not None

    def tensors(self, name: str) -> tuple[str, ...]:
        """Return the names of the tensors that an entry called ``name`` makes."""
        return (name, f"{name}_lengths") if self.tells_length else (name,)


def _pair(name: str, value: object, what: str) -> tuple[int, ...]:
    pair = wholes(name, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be {what}")
    return pair


def _a_limit(name: str, value: object) -> None:
    if not 1 <= a_whole(name, value) <= _MOST[name]:
        raise ValueError(f"{name} must be from 1 to {_MOST[name]}")


def _check_ends(ends: Sequence[float]) -> None:
    if len(ends) > MOST_ENDS:
        raise ValueError(f"pad_to may have at most {MOST_ENDS} lengths")


def _an_empty(missing: object) -> None:
    if missing is not None:
        one_of("missing", missing, ("empty",))


def _check_size(shape: tuple[int, ...]) -> None:
    if prod(shape) > LARGEST_TENSOR:
        raise ValueError(f"one row would have more than {LARGEST_TENSOR} numbers: choose a smaller size")
