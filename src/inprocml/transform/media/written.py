"""A text as a stranger sends it: exact ``str``, valid Unicode, of bounded length."""

from __future__ import annotations

from typing import Literal

from inprocml.schema import Refused

__all__ = ["Longer", "check_length", "written"]

Longer = Literal["refuse", "cut"]


def check_length(characters: int, longer: str) -> None:
    """Raise ``ValueError`` for a limit that makes no sense."""
    if not 1 <= characters <= 10_000_000:
        raise ValueError("characters must be from 1 to 10000000")
    if longer not in {"refuse", "cut"}:
        raise ValueError("longer must be refuse or cut")


def written(value: object, characters: int, longer: Longer) -> str:
    """Return the text, at most ``characters`` code points of it; raises ``Refused``."""
    if not isinstance(value, str):
        raise Refused(f"must be a string, not {type(value).__name__}")
    if len(value) > characters:
        if longer == "refuse":
            raise Refused(f"must have at most {characters} characters")
        value = value[:characters]
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused("must be valid Unicode: it holds half of a surrogate pair") from None
    return text
