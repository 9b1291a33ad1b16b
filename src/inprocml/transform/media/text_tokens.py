"""Text to token ids, by the Hugging Face ``tokenizers`` library and the bundle's own ``tokenizer.json``.

One text at a time: ``encode_batch`` would start a thread pool, which no child of a fork has and about which
the library then prints. Truncation is set once, here; padding is done here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import BackendMissing
from inprocml.schema import Refused
from inprocml.transform.media.tokenizer_file import audited_tokenizer
from inprocml.transform.media.written import Longer, check_length, written

__all__ = ["TokenOptions", "Tokens"]

_LONGEST = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenOptions:
    """How text becomes ids; ``ValueError`` for what makes no sense.

    At most ``max_length`` tokens a text, cut on the right, those the file adds (``special``) included.
    Without ``pad_to`` every row is padded to ``max_length``. With them, lengths in ascending order of which
    the last is ``max_length``, the rows of one call are padded to the smallest that holds the longest: values
    are the same whatever the call, only padding on the right differs. Padding is ``pad_token``, by default id
    0, with mask 0. A text of more than ``characters`` is refused, or cut where ``longer="cut"``, before any
    work.
    """

    max_length: int
    pad_to: tuple[int, ...] | None = None
    pad_token: str | None = None
    special: bool = True
    characters: int = 100_000
    longer: Longer = "refuse"

    def __post_init__(self) -> None:
        if not 1 <= self.max_length <= _LONGEST:
            raise ValueError(f"max_length must be from 1 to {_LONGEST}")
        if self.pad_to is not None:
            ends = (0, *self.pad_to)
            if ends[-1] != self.max_length or any(first >= second for first, second in pairwise(ends)):
                raise ValueError("pad_to must be positive, ascending, and end in max_length")
        check_length(self.characters, self.longer)


class Tokens:
    """A tokenizer with its options: immutable once made, and safe to share between threads and over a fork.

    ``content`` are the bytes of a ``tokenizer.json``. ``ValueError`` says what is wrong with them, or with
    options that do not suit them; ``BackendMissing`` without the library.
    """

    def __init__(self, content: bytes, options: TokenOptions) -> None:
        self.options = options
        self._tokenizer = _loaded(audited_tokenizer(content))
        added = self._tokenizer.num_special_tokens_to_add(False) if options.special else 0
        if added >= options.max_length:
            raise ValueError(f"max_length must be above {added}: the tokenizer adds so many tokens to a text")
        self._tokenizer.enable_truncation(options.max_length)
        self._pad = 0 if options.pad_token is None else self._tokenizer.token_to_id(options.pad_token)
        if self._pad is None:
            raise ValueError("pad_token must be a token that the tokenizer knows")

    @property
    def pad(self) -> int:
        """The id that stands for padding."""
        return int(self._pad)

    @property
    def unknown(self) -> int | None:
        """The id of what the vocabulary lacks; ``None`` where there is none, as where any byte is a token."""
        model = self._tokenizer.model
        if not hasattr(model, "unk_token"):  # Unigram says it in its file alone
            found = json.loads(self._tokenizer.to_str())["model"].get("unk_id")
            return found if type(found) is int else None
        found = None if model.unk_token is None else self._tokenizer.token_to_id(model.unk_token)
        return None if found is None else int(found)

    def one(self, value: object) -> list[int]:
        """Return the ids of one text, not padded; raises ``Refused``."""
        text = written(value, self.options.characters, self.options.longer)
        found = _asked(self._tokenizer.encode, text, add_special_tokens=self.options.special)
        if found is None:  # such as a word the model has no token for, and no unknown token
            raise Refused("must be a text that the tokenizer has tokens for")
        ids: list[int] = found.ids
        return ids

    def many(self, values: Iterable[object]) -> dict[str, NDArray[np.int64]]:
        """Return "ids" and "mask", int64 of shape ``(rows, length)``, and "lengths", int64 ``(rows,)``.

        The mask is 1 for tokens and 0 for padding. Raises ``Refused`` for the first text that is refused.
        """
        rows = [self.one(value) for value in values]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        width = self.width(max(map(len, rows), default=0))
        ids = np.full((len(rows), width), self._pad, dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1
        return {"ids": ids, "mask": mask, "lengths": lengths}

    def width(self, longest: int) -> int:
        """Return the length that rows of which the longest has so many tokens are padded to."""
        ends = self.options.pad_to or (self.options.max_length,)
        return next(end for end in ends if end >= longest)


def _loaded(text: str) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise BackendMissing("text needs the tokenizers library: pip install 'inprocml[text]'") from None
    tokenizer = _asked(Tokenizer.from_str, text)
    if tokenizer is None:
        raise ValueError("tokenizer.json is not one that the installed tokenizers library can read")
    return tokenizer


def _asked(call: Callable[..., Any], *arguments: object, **options: object) -> Any:
    """Return what the library answers, ``None`` where it raises: its messages may quote the text."""
    try:
        return call(*arguments, **options)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException:  # noqa: BLE001 - a panic in the library's Rust is no Exception
        return None
