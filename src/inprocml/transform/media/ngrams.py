"""Hashed n-grams of words or characters: what scikit-learn's ``HashingVectorizer`` gives, bit for bit.

Nothing is learnt and nothing is needed but a hash. The text is brought to NFC first; of text in NFC the
result equals that of ``HashingVectorizer(n_features=buckets, analyzer=by, ngram_range=ngrams,
lowercase=lowercase, binary=binary, norm=norm, alternate_sign=signed)``, in float64 and so after the cast.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Refused
from inprocml.transform.media.written import Longer, check_length, written
from inprocml.transform.murmur import bucket, murmurhash3

__all__ = ["NgramOptions", "ngram_block", "ngram_values"]

# Both are linear: no text makes them look at a character more than a few times.
_WORD = re.compile(r"(?u)\b\w\w+\b")
_SPACES = re.compile(r"\s\s+")
_LONGEST_NGRAM = 16
_MOST_MARKS = 64  # Unicode's stream-safe format knows 30
_MOST_BUCKETS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class NgramOptions:
    """Which n-grams are counted, and how; ``ValueError`` for what makes no sense.

    ``by="word"`` takes words of two and more letters, digits or underscores, "char" all characters (white
    space as one space), "char_wb" characters within words padded by a space. ``ngrams`` is (least, most)
    units together. ``binary`` counts presence only; ``norm="l2"`` divides by the Euclidean length; ``signed``
    lets the hash choose the sign. A text of more than ``characters`` is refused, or cut where
    ``longer="cut"``.
    """

    buckets: int
    by: Literal["word", "char", "char_wb"] = "word"
    ngrams: tuple[int, int] = (1, 1)
    lowercase: bool = True
    binary: bool = False
    norm: Literal["l2"] | None = None
    signed: bool = False
    characters: int = 20_000
    longer: Longer = "refuse"

    def __post_init__(self) -> None:
        if not 1 <= self.buckets <= _MOST_BUCKETS:
            raise ValueError(f"buckets must be from 1 to {_MOST_BUCKETS}")
        if self.by not in {"word", "char", "char_wb"}:
            raise ValueError("by must be one of word, char, char_wb")
        least, most = self.ngrams
        if not 1 <= least <= most <= _LONGEST_NGRAM:
            raise ValueError(f"ngrams must be (least, most), from 1 to {_LONGEST_NGRAM}")
        if self.norm not in {None, "l2"}:
            raise ValueError("norm must be None or l2")
        if self.binary and self.signed:
            raise ValueError("binary and signed exclude each other: presence has no sign")
        check_length(self.characters, self.longer)


def ngram_block(value: object, options: NgramOptions) -> NDArray[np.float32]:
    """Return the features of one text, float32 of shape ``(buckets,)``; raises ``Refused``."""
    block = np.zeros(options.buckets, dtype=np.float32)
    found = ngram_values(value, options)
    block[list(found)] = list(found.values())
    return block


def ngram_values(value: object, options: NgramOptions) -> dict[int, float]:
    """Return bucket -> float64 value of the buckets that the text's n-grams fall into; raises ``Refused``."""
    text = _canonical(written(value, options.characters, options.longer))
    if options.lowercase:
        text = text.lower()
    totals: dict[int, int] = {}
    for ngram, count in Counter(_ngrams(text, options)).items():
        place = bucket(ngram, options.buckets)
        sign = -1 if options.signed and murmurhash3(ngram) < 0 else 1
        totals[place] = 1 if options.binary else totals.get(place, 0) + sign * count
    # integers: their sum of squares is exact in any order
    length = math.sqrt(sum(total * total for total in totals.values())) if options.norm == "l2" else 1.0
    return {place: total / (length or 1.0) for place, total in totals.items()}


def _canonical(text: str) -> str:
    """Return the text in NFC. Sorting combining marks takes time quadratic in their number: bound it."""
    if text.isascii():
        return text
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _MOST_MARKS:
            raise Refused(f"must have at most {_MOST_MARKS} combining marks on one letter")
    return unicodedata.normalize("NFC", text)


def _ngrams(text: str, options: NgramOptions) -> Iterator[str]:
    least, most = options.ngrams
    if options.by == "word":
        return _of_words(_WORD.findall(text), least, most)
    text = _SPACES.sub(" ", text)
    if options.by == "char":
        return (text[at : at + n] for n in range(least, most + 1) for at in range(len(text) - n + 1))
    return (ngram for word in text.split() for ngram in _within(f" {word} ", least, most))


def _of_words(words: list[str], least: int, most: int) -> Iterator[str]:
    for n in range(least, most + 1):
        yield from (" ".join(words[at : at + n]) for at in range(len(words) - n + 1))


def _within(padded: str, least: int, most: int) -> Iterator[str]:
    """Yield the n-grams of one padded word; a word that is shorter than n counts once, whole."""
    for n in range(least, most + 1):
        yield from (padded[at : at + n] for at in range(max(1, len(padded) - n + 1)))
        if len(padded) <= n:
            return
