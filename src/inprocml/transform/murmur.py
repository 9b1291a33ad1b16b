"""MurmurHash3, 32 bits, x86 variant (Austin Appleby, public domain), of a string's UTF-8 bytes, seed 0.

The same function as ``sklearn.utils.murmurhash3_32(string, seed=0)``; pure integers, so the same everywhere.
"""

from __future__ import annotations

import struct
from functools import lru_cache

__all__ = ["bucket", "murmurhash3"]

_MASK = 0xFFFFFFFF
_C1, _C2 = 0xCC9E2D51, 0x1B873593
_SHORT = 64  # characters; longer strings are not kept, so that the cache stays within a few MB


def bucket(text: str, buckets: int) -> int:
    """Return the bucket that scikit-learn's ``FeatureHasher`` with ``alternate_sign=False`` gives."""
    return abs(_kept(text) if len(text) <= _SHORT else murmurhash3(text)) % buckets


def murmurhash3(text: str) -> int:
    """Return the signed 32-bit hash of the UTF-8 bytes."""
    encoded = text.encode()
    whole = len(encoded) // 4
    h = 0
    for k in struct.unpack_from(f"<{whole}I", encoded):
        h ^= _scramble(k)
        h = ((h << 13) | (h >> 19)) & _MASK
        h = (h * 5 + 0xE6546B64) & _MASK
    tail = encoded[whole * 4 :]
    if tail:
        h ^= _scramble(int.from_bytes(tail, "little"))
    h ^= len(encoded)
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & _MASK
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & _MASK
    h ^= h >> 16
    return h - 2**32 if h >= 2**31 else h


def _scramble(k: int) -> int:
    k = (k * _C1) & _MASK
    k = ((k << 15) | (k >> 17)) & _MASK
    return (k * _C2) & _MASK


_kept = lru_cache(maxsize=16_384)(murmurhash3)
