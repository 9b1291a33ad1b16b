"""WAV files: integers of 8 to 32 bits or floats, read by a bounded walk over the RIFF chunks.

What is read: "RIFF"/"WAVE", then chunks; the first ``fmt `` and the first ``data`` after it. Every size that
the file claims must lie within the file. Format: Microsoft's "Multiple channel audio data and WAVE files"
(2007) for WAVE_FORMAT_EXTENSIBLE. Other codecs, RF64 and big-endian RIFX are refused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Refused

__all__ = ["Wav", "read_wav"]

_MOST_CHUNKS = 256
_MOST_CHANNELS = 64
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_CUT_SHORT = "must be a whole WAV file: it ends before what it says it holds"


@dataclass(frozen=True, slots=True)
class Wav:
    """What a WAV file says of itself, and its sample bytes; ``bits`` per sample, ``floats`` or integers."""

    rate: int
    channels: int
    bits: int
    floats: bool
    content: memoryview

    @property
    def frames(self) -> int:
        """The number of samples per channel."""
        return len(self.content) // (self.channels * self.bits // 8)

    def samples(self, frames: int) -> NDArray[np.float64]:
        """Return the first ``frames`` samples as float64, shape ``(frames, channels)``.

        Integers become [-1, 1) by division by a power of two, which is exact.
        """
        content = self.content[: frames * self.channels * self.bits // 8]
        return self._numbers(content).reshape(-1, self.channels)

    def _numbers(self, content: memoryview) -> NDArray[np.float64]:
        if self.floats:
            return np.frombuffer(content, dtype=f"<f{self.bits // 8}").astype(np.float64)
        if self.bits == 8:
            return (np.frombuffer(content, dtype=np.uint8).astype(np.float64) - 128.0) / 128.0
        if self.bits == 24:
            widened = np.zeros((len(content) // 3, 4), dtype=np.uint8)
            widened[:, 1:] = np.frombuffer(content, dtype=np.uint8).reshape(-1, 3)
            return widened.view("<i4")[:, 0].astype(np.float64) / 2.0**31
        return np.frombuffer(content, dtype=f"<i{self.bits // 8}").astype(np.float64) / 2.0 ** (self.bits - 1)


def read_wav(content: bytes) -> Wav:
    """Return the file's format and sample bytes, without decoding a sample; raises ``Refused``."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise Refused("must be a WAV file (RIFF/WAVE)")
    end = _u32(content, 4) + 8
    if end > len(content) + 1:  # a writer may leave out the last padding byte
        raise Refused(_CUT_SHORT)
    layout: tuple[int, int, int, bool] | None = None
    start = 12
    for _ in range(_MOST_CHUNKS):
        name, size = content[start : start + 4], _u32(content, start + 4)
        start += 8
        if size > min(end, len(content)) - start:
            raise Refused(_CUT_SHORT)
        if name == b"data":
            return _wav(layout, memoryview(content)[start : start + size])
        if name == b"fmt ":
            if layout is not None:
                raise Refused("must be a WAV file with one fmt chunk")
            layout = _layout(content[start : start + size])
        start += size + size % 2
    raise Refused(f"must be a WAV file with its samples within the first {_MOST_CHUNKS} chunks")


def _u32(content: bytes, start: int) -> int:
    if start + 4 > len(content):
        raise Refused(_CUT_SHORT)
    return int.from_bytes(content[start : start + 4], "little")


def _layout(chunk: bytes) -> tuple[int, int, int, bool]:
    """Return rate, channels, bits and whether samples are floats."""
    if len(chunk) < 16:
        raise Refused("must be a WAV file with a whole fmt chunk")
    code, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if code == _EXTENSIBLE:
        if (
            len(chunk) < 40
            or chunk[26:40] != _SUBFORMAT_TAIL
            or int.from_bytes(chunk[18:20], "little") > bits
        ):
            raise Refused("must be a WAV file with a sound fmt chunk")
        code = int.from_bytes(chunk[24:26], "little")
    if (code, bits) not in {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)}:
        raise Refused("must be a WAV file of PCM with 8, 16, 24 or 32 bits, or floats of 32 or 64 bits")
    if not 1 <= channels <= _MOST_CHANNELS:
        raise Refused(f"must be a WAV file with 1 to {_MOST_CHANNELS} channels")
    if block != channels * bits // 8:
        raise Refused("must be a WAV file with a sound fmt chunk")
    return rate, channels, bits, code == _FLOAT


def _wav(layout: tuple[int, int, int, bool] | None, content: memoryview) -> Wav:
    if layout is None:
        raise Refused("must be a WAV file with its fmt chunk before its samples")
    rate, channels, bits, floats = layout
    if not content or len(content) % (channels * bits // 8):
        raise Refused("must be a WAV file with a whole number of samples, at least one")
    return Wav(rate, channels, bits, floats, content)
