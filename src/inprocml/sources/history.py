"""Who moved which alias, when and why: one small file per move, and what all aliases mean after it.

A store's folder ``_history`` holds ``00000001.json``, ``00000002.json``, ... Each entry is written whole,
under a number nobody has taken, and never changed; each names the digest of the one before it, so that a
history that was edited shows. Each also says what every alias means after it: whoever wants to know that
reads one file, the last. ``docs/reference/bundle-format.md`` is the written format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from inprocml.errors import Corrupt, UnknownVersion, Unsupported
from inprocml.schema import parse
from inprocml.schema.canonical import canonical, sha256
from inprocml.schema.sound import first_issue

__all__ = [
    "ENTRY_CAP",
    "HISTORY",
    "HISTORY_FORMAT",
    "HISTORY_VERSION",
    "Entry",
    "Target",
    "Trial",
    "entry_name",
    "meanings",
    "newest_entry",
    "newest_serial",
    "parse_entry",
    "read_chain",
    "unknown_alias",
]

HISTORY: Final = "_history"  # no version is called so: their names begin with a letter or digit
HISTORY_FORMAT: Final = "inprocml-history"
HISTORY_VERSION: Final = 1
ENTRY_CAP: Final = 1 << 20  # bytes
_FILE: Final = re.compile(r"([0-9]{8})\.json", re.ASCII)
_MOST: Final = 99_999_999
_RESTORE: Final = "Restore the file, or delete it if it is the last and move the alias again."

Digest: TypeAlias = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Target(_Strict):
    """What an alias means: a version, and the digest of its bundle."""

    version: Name
    digest: Digest


class Trial(Target):
    """A candidate and the share of requests it is to answer; 0 where it was rolled back."""

    share: Share


class Entry(_Strict):
    """One move; ``aliases`` and ``trials`` are the state after it.

    ``action`` is ``move`` (an alias to a version), ``rollback`` (to what it meant before a move), ``remove``
    (an alias) or ``trial`` (the share of a candidate for ``alias``, whose trial is over when its version
    becomes the alias's).
    """

    format: Literal["inprocml-history"] = HISTORY_FORMAT
    format_version: Annotated[int, Field(ge=1, le=HISTORY_VERSION)] = HISTORY_VERSION
    serial: Annotated[int, Field(ge=1, le=_MOST)]
    previous: Digest | None
    when: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]
    who: Annotated[str, Field(min_length=1, max_length=256)]
    why: Annotated[str, Field(max_length=4096)]
    action: Literal["move", "rollback", "remove", "trial"]
    alias: Name
    aliases: Annotated[dict[Name, Target], Field(max_length=1000)]
    trials: Annotated[dict[Name, Trial], Field(max_length=1000)]

    @field_validator("when")
    @classmethod
    def _on_the_calendar(cls, when: str) -> str:
        datetime.fromisoformat(when)
        return when

    @model_validator(mode="after")
    def _does_what_it_says(self) -> Self:
        if (self.target is None) != (self.action == "remove"):
            raise ValueError("its state is not what its action makes")
        return self

    @property
    def moment(self) -> datetime:
        """``when``, with its zone (UTC)."""
        return datetime.fromisoformat(self.when)

    @property
    def target(self) -> Target | None:
        """What ``alias`` means, or what its trial tries, after this entry; None when it was removed."""
        return self.trials.get(self.alias) if self.action == "trial" else self.aliases.get(self.alias)

    def to_json(self) -> bytes:
        """Return the canonical bytes of the entry's file."""
        return canonical(self.model_dump(mode="json"))


def entry_name(serial: int) -> str:
    """Return the name of the file that holds entry ``serial``."""
    return f"{serial:08d}.json"


def newest_serial(names: Iterable[str]) -> int:
    """Return the highest serial among a history's file names, 0 for none; other names are passed over."""
    return max((int(found[1]) for name in names if (found := _FILE.fullmatch(name))), default=0)


def newest_entry(names: Iterable[str], read: Callable[[str], bytes], *, where: str) -> Entry | None:
    """Return the last entry of a history whose folder lists ``names``, ``None`` for an empty one.

    ``read`` returns a file's bytes, no more than ``ENTRY_CAP`` and one. Raises as ``parse_entry``.
    """
    serial = newest_serial(names)
    if not serial:
        return None
    name = entry_name(serial)
    return parse_entry(read(name), serial=serial, where=f"{where}/{name}")[0]


def parse_entry(content: bytes, *, serial: int, where: str) -> tuple[Entry, str]:
    """Return entry ``serial`` and the digest of its bytes; ``where`` names its file.

    Raises ``Corrupt`` for what is no entry or another one, ``Unsupported`` for one of a newer format.
    """
    if len(content) > ENTRY_CAP:
        raise Corrupt(f"{where}: more than the {ENTRY_CAP} bytes an entry may have. {_RESTORE}")
    try:
        document = parse(content, what=where)
    except Corrupt as error:  # its remedy is for bundles, which are packed somewhere; a history is not
        raise Corrupt(f"{where}: it is cut short, or no plain JSON in UTF-8. {_RESTORE}") from error
    told = document.get("format_version") if isinstance(document, dict) else None
    if type(told) is int and told > HISTORY_VERSION:
        raise Unsupported(
            f"{where}: history format {told}. Upgrade inprocml (pip install --upgrade inprocml)."
        )
    try:
        entry = Entry.model_validate_json(content)
    except ValidationError as error:
        raise Corrupt(f"{where}: {first_issue(error)}. {_RESTORE}") from error
    if entry.serial != serial or entry.to_json() != content:
        raise Corrupt(f"{where}: it is entry {entry.serial}, or not in canonical form. {_RESTORE}")
    return entry, f"sha256:{sha256(content)}"


def read_chain(names: Iterable[str], read: Callable[[str], bytes], *, where: str) -> tuple[Entry, ...]:
    """Return every entry of a history, oldest first, each held against the one before it.

    Raises as ``parse_entry``; ``Corrupt``, naming the entry, for one that is missing, that does not name
    the digest of the one before, or that changes more than its own alias.
    """
    entries: list[Entry] = []
    previous: str | None = None
    for serial in range(1, newest_serial(names) + 1):
        name = entry_name(serial)
        try:
            content = read(name)
        except FileNotFoundError:
            raise Corrupt(f"{where}/{name}: missing, though later entries are there. Restore it.") from None
        entry, digest = parse_entry(content, serial=serial, where=f"{where}/{name}")
        if entry.previous != previous:
            raise Corrupt(
                f"{where}/{name}: it does not follow from the entry before it, so one of the two was edited. "
                "Restore both from a backup."
            )
        if entries and not _continues(entries[-1], entry):
            raise Corrupt(
                f"{where}/{name}: it changes more than it says, or lies before its time. {_RESTORE}"
            )
        entries.append(entry)
        previous = digest
    return tuple(entries)


def _continues(before: Entry, after: Entry) -> bool:
    if after.when < before.when:
        return False
    others = [
        {alias: meant for alias, meant in state.items() if alias != after.alias}
        for state in (before.aliases, after.aliases, before.trials, after.trials)
    ]
    return others[0] == others[1] and others[2] == others[3]


def meanings(entries: Sequence[Entry], alias: str) -> tuple[Target | None, ...]:
    """Return what roll-backs of ``alias`` lead through, ending in what it means now; None for nothing.

    A roll-back undoes one move and is itself no move to be undone, so the next goes further back. To
    remove an alias is a move, after which it means nothing; what was removed is no way back, the version
    before it is. The first is None, for no alias means anything from the start.
    """
    meant: list[Target | None] = [None]
    for entry in entries:
        if entry.alias != alias or entry.action == "trial":
            continue
        if entry.action == "rollback":
            meant = [*_back(meant), entry.target]
        elif entry.target != meant[-1]:
            meant.append(entry.target)
    return tuple(meant)


def _back(meant: list[Target | None]) -> list[Target | None]:
    """Return what lies before the meaning that a roll-back leads to."""
    before = meant[:-1]
    while len(before) > 1 and before[-1] is None:
        before.pop()
    return before[:-1] or [None]


def unknown_alias(where: str, alias: str, known: Iterable[str]) -> UnknownVersion:
    """Return the error for an alias that the source does not have."""
    shown = ", ".join(sorted(known)[:10]) or "none yet"
    return UnknownVersion(
        f"{where} has no alias {alias[:64]!r}; it has: {shown}. Set it with Store.promote(..., alias=...)."
    )
