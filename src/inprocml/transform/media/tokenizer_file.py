"""A ``tokenizer.json`` from a bundle, audited before the library that runs it sees it.

The library runs what the file says: regular expressions that backtrack, replacements that grow, merges that
are dropped at random. So the document is parsed here, what could make a text's cost unbounded or its tokens
random is refused, settings of another program (truncation, padding) and the unused decoder are taken out, and
only what is left is written down again for the library.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

__all__ = ["audited_tokenizer"]

_LARGEST = 64 * 2**20
_SECTIONS = ("version", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model")
_MOST_GROWTH = 32
_LONGEST_WORD = 200  # WordPiece tries every substring of a word
_LONGEST_REPLACEMENT = 128  # bytes for one character in a precompiled map; NFKC needs 33

# Regular expressions in wide use, each of which looks at every character a bounded number of times.
_CONTRACTED = r"'s|'t|'re|'ve|'m|'ll|'d"
_MARKS = r"| ?[^\s\p{L}\p{N}]+"
_LINES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
_CAPITALS, _SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = r"[^\r\n\p{L}\p{N}]?" + _CAPITALS
_GPT2 = _CONTRACTED + r"| ?\p{L}+| ?\p{N}+" + _MARKS + r"|\s+(?!\S)|\s+"
_CL100K = f"(?i:{_CONTRACTED})" + _WORD + r"\p{N}{1,3}" + _MARKS + r"[\r\n]*" + _LINES  # also Llama 3
_QWEN2 = _CL100K.replace("{1,3}", "")
_O200K = f"{_CASED}*{_SMALL}+(?i:{_CONTRACTED})?|{_CASED}+{_SMALL}*(?i:{_CONTRACTED})?"
_O200K += r"|\p{N}{1,3}" + _MARKS + r"[\r\n/]*" + _LINES
_CLIP = r"<\|startoftext\|>|<\|endoftext\|>|" + _CONTRACTED + r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_KNOWN = frozenset({_GPT2, _CL100K, _QWEN2, _O200K, _CLIP})
# One character or class, repeated or not: nothing to go back to.
_PLAIN = re.compile(
    r"\(?(?:\\[sSdDwWnrt]|\\[pP]\{\w+\}|[\w ]|\\[.?*+|()]"
    r"|\[\^?(?:\\[sSdDwWnrt\]\\-]|\\[pP]\{\w+\}|[^\[\]\\&])+\])"
    r"(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})?\)?"
)


def audited_tokenizer(content: bytes) -> str:
    """Return the document as the library may read it; ``ValueError`` with what is wrong with the file."""
    if len(content) > _LARGEST:
        raise _wrong(f"must have at most {_LARGEST} bytes")
    try:
        document = json.loads(content)
    except RecursionError:
        raise _wrong("is nested too deeply") from None
    except ValueError:
        raise _wrong("is not JSON in UTF-8") from None
    if not isinstance(document, dict) or not isinstance(document.get("model"), dict):
        raise _wrong("holds no model: save it with the tokenizers library")
    kept = {name: document[name] for name in _SECTIONS if name in document}
    _check_model(kept["model"])
    growth = 1.0
    for part in _objects([kept.get("normalizer"), kept.get("pre_tokenizer"), kept.get("post_processor")]):
        _check_pattern(part)
        growth *= _growth(part)
    if growth > _MOST_GROWTH:
        raise _wrong(f"lets a text grow more than {_MOST_GROWTH} times by replacing")
    return json.dumps(kept)


def _wrong(why: str) -> ValueError:
    return ValueError(f"tokenizer.json {why}")


def _check_model(model: dict[str, Any]) -> None:
    if model.get("dropout"):
        raise _wrong("drops merges at random: save it with dropout null")
    if model.get("alpha") is not None or model.get("nbest_size") is not None:
        raise _wrong("samples its tokens at random: save it without alpha and nbest_size")
    longest = model.get("max_input_chars_per_word", 0)
    if not isinstance(longest, int) or longest > _LONGEST_WORD:
        raise _wrong(f"must have max_input_chars_per_word of at most {_LONGEST_WORD}")


def _objects(value: object) -> Iterator[dict[str, Any]]:
    """Yield every object within, at any depth: how deep a document may be, its parser has decided."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield here
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)


def _check_pattern(part: dict[str, Any]) -> None:
    if "Regex" in part:
        pattern = part["Regex"]
        if not isinstance(pattern, str) or (pattern not in _KNOWN and not _PLAIN.fullmatch(pattern)):
            raise _wrong(
                "holds a regular expression that is not known to take linear time: use one of "
                "GPT-2, cl100k, o200k, Llama 3, Qwen 2 or CLIP, or a single repeated character class"
            )
    if "precompiled_charsmap" in part:
        _check_map(part["precompiled_charsmap"])


def _check_map(text: object) -> None:
    """Judge a map of SentencePiece: the size of a trie, the trie, replacements each ended by a zero."""
    if not isinstance(text, str):
        raise _wrong("has a precompiled map that is no text")
    blob = b64decode(text)
    replacements = blob[4 + int.from_bytes(blob[:4], "little") :]
    if max(map(len, replacements.split(b"\0"))) > _LONGEST_REPLACEMENT:
        raise _wrong(f"must replace a character by at most {_LONGEST_REPLACEMENT} bytes")


def _growth(part: dict[str, Any]) -> float:
    """Return how many times longer this part can make a text."""
    if isinstance(part.get("prepend"), str):  # once a text, but added tokens may cut a text to pieces
        return 1.0 + len(part["prepend"])
    pattern, new = part.get("pattern"), part.get("content")
    if not isinstance(pattern, dict) or not isinstance(new, str):
        return 1.0
    if "Regex" in pattern:  # which may match nothing, anywhere
        return 1.0 + len(new)
    old = pattern.get("String")
    if not isinstance(old, str) or not old:
        raise _wrong("replaces an empty string")
    return max(1.0, len(new) / len(old))
