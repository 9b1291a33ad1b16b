"""Building what a document says, and one error for all the ways in which it can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from inprocml.schema.refusal import Refused
from inprocml.schema.strict_json import corrupt

__all__ = ["Strict", "first_issue", "no_crowd", "sound"]

T = TypeVar("T")


def sound(what: str, build: Callable[[], T], *, where: str = "", now: str | None = None) -> T:
    """Return what ``build`` makes of the document ``what``; whatever its values provoke becomes ``Corrupt``.

    ``where`` names the part of the document that is being built; ``now`` says what to do.
    """
    try:
        return build()
    except ValidationError as found:
        why = first_issue(found)
    except Refused as found:
        why = found.reason
    except (ValueError, TypeError, ArithmeticError) as found:
        why = str(found)
    why = f"{where}: {why}" if where else why
    raise corrupt(what, why) if now is None else corrupt(what, why, now=now)


def no_crowd(document: object, members: int) -> object:
    """Return the document; ``ValueError`` if it is an object of more than ``members`` members.

    A strict model would report each that it does not know: a million of them in a gigabyte.
    """
    if isinstance(document, dict) and len(document) > members:
        raise ValueError(f"an object has {len(document)} members where at most {members} are known")
    return document


class Strict(BaseModel):
    """A document of which nothing is unknown, coerced, or infinite."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_crowd(cls, document: object) -> object:
        return no_crowd(document, len(cls.model_fields))


def first_issue(error: ValidationError) -> str:
    """Return the place and the reason of the first fault, cut to a length fit to print; never the value."""
    issue = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:40] for part in issue["loc"]) or "document"
    return f"{place}: {issue['msg'][:160]}"
