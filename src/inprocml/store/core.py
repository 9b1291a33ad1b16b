"""``Store``: the versions in a folder, looked up by name, digest, alias, metric or moment, and moved."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime

from inprocml.bundle import Bundle, Policy
from inprocml.errors import BundleError, UnknownVersion
from inprocml.sources import MANIFEST, Directory, valid_version
from inprocml.sources.history import Entry, Target, Trial, meanings, unknown_alias
from inprocml.sources.layout import ARCHIVE, on_disk, unknown_version
from inprocml.sources.moves import read_moves
from inprocml.store.compare import VersionDifference, compared
from inprocml.store.listing import StoredVersion, described, missing, ordered
from inprocml.store.moment import moment
from inprocml.store.moves import Move, myself, write_move
from inprocml.store.recipe import recipe
from inprocml.values import Version

__all__ = ["Store"]

_DIGEST = "sha256:"
_SHORTEST = len(_DIGEST) + 4
_URL = "a Store is a folder on disk; a URL is followed with inprocml.Model(url). Give the path of a folder."


class Store:
    """The versions in the folder ``path``, where ``pack`` adds them, and the aliases that point at them.

    Where a method takes a version, give its name, an alias, its digest or the beginning of one
    (``"sha256:ab12"``, four digits or more), or a ``StoredVersion``. An alias means a version *and* its
    digest: other bytes under the same name are refused. The history of moves is only ever added to.
    ``policy`` says whose signatures count and whether one is required, here and before an alias is moved.
    Making a ``Store`` reads nothing, and raises ``ValueError`` for a URL (never repeating it) and
    ``TypeError`` for what is no path; ``clock`` gives seconds since 1970. A store may be used from any
    number of threads and processes at once. All methods raise ``BundleError`` for a folder that cannot be
    read, ``Corrupt`` or ``Unsupported`` for a history that cannot be.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        policy: Policy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = on_disk(path, of="a store's folder", url=ValueError(_URL)).expanduser().absolute()
        self._source = Directory(self.path)
        self._policy = policy
        self._clock = clock

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    # --- which there are ---------------------------------------------------------------------------

    def versions(self, *, order_by: str | None = None, ascending: bool = False) -> tuple[StoredVersion, ...]:
        """Return all versions, the newest first; only their manifests are read.

        ``order_by`` is ``"created"``, ``"size"`` or a metric: the greatest first, the smallest with
        ``ascending``, and those without the value last. So ``versions(order_by="auc")[0]`` is the best and
        ``[2]`` the third best. A broken version is listed with its reason, last wherever there is an order.
        Raises ``UnknownVersion`` for a metric that no version has.
        """
        aliases = self._source.aliases()
        found = [described(version, aliases) for version in self._listed()]
        return ordered(found[::-1], order_by, ascending=ascending)

    def alias(self, alias: str) -> StoredVersion:
        """Return the version that ``alias`` means now; ``broken`` says when the store has it no more.

        Raises ``UnknownVersion`` that lists the aliases there are.
        """
        aliases = self._source.aliases()
        if alias not in aliases:
            raise unknown_alias(str(self.path), alias, aliases)
        return self._meant(Target(version=aliases[alias].name, digest=aliases[alias].digest), aliases)

    def at(self, when: str | date | datetime, *, alias: str = "production") -> StoredVersion:
        """Return the version that ``alias`` meant at ``when``; ``broken`` says when the store has it no more.

        A date is the end of that day in UTC, and a moment without a zone is UTC: see ``history`` for a day
        with several moves. Raises ``UnknownVersion`` when the alias meant nothing then.
        """
        asked = moment(when)
        moves = read_moves(self.path)
        before = [entry for entry in moves if entry.moment <= asked]
        target = before[-1].aliases.get(alias) if before else None
        if target is None:
            moved = [entry for entry in moves if entry.alias == alias and entry.action != "trial"]
            first = f"it was first set at {moved[0].when}" if moved else "it was never set"
            raise UnknownVersion(
                f"{self.path}: alias {alias[:64]!r} meant nothing at {asked:%Y-%m-%dT%H:%M:%SZ}; {first}. "
                "See Store.history()."
            )
        return self._meant(target, self._source.aliases())

    def history(self, alias: str | None = None) -> tuple[Entry, ...]:
        """Return who moved what, when and why, oldest first: of one alias, or of all.

        Every entry is checked against the one before it; ``Corrupt`` names the one where the chain breaks.
        Raises ``UnknownVersion`` for an alias that was never set.
        """
        moves = read_moves(self.path)
        known = {entry.alias for entry in moves}
        if alias is not None and alias not in known:
            raise unknown_alias(str(self.path), alias, known)
        return tuple(entry for entry in moves if alias in {None, entry.alias})

    # --- what they hold ----------------------------------------------------------------------------

    def open(self, version: str | StoredVersion) -> Bundle:
        """Verify a version and load it; raises ``UnknownVersion``, and what ``Bundle.open`` raises."""
        return self._opened(self._find(version))

    def diff(self, old: str | StoredVersion, new: str | StoredVersion) -> VersionDifference:
        """Compare two versions: rows and features, output, metrics, packages, size; opens both."""
        before, after = self._find(old), self._find(new)
        return compared((before, self._opened(before)), (after, self._opened(after)))

    def recipe(self, version: str | StoredVersion) -> str:
        """Return the shell commands that bring back the code and the packages a version was made with."""
        return recipe(self.open(version).manifest)

    # --- moving aliases ----------------------------------------------------------------------------

    def promote(
        self,
        version: str | StoredVersion,
        *,
        alias: str = "production",
        why: str = "",
        who: str | None = None,
    ) -> Entry | None:
        """Let ``alias`` mean ``version``, which is verified first; return the history's new entry.

        ``who`` defaults to user@host. None when the alias means just that already. Raises what ``open``
        raises, ``ValueError`` for an alias that cannot be one and for texts that are too long (``why`` has
        at most 4,096 characters, ``who`` 256), and ``BundleError`` for a disk that refuses or has no hard
        links.
        """
        self._check_alias(alias)
        bundle = self.open(version)
        target = Target(version=bundle.version, digest=bundle.digest)

        def compose(last: Entry | None) -> Move | None:
            same = last is not None and last.aliases.get(alias) == target
            return None if same else Move("move", alias, target)

        return self._write(compose, why, who)

    def rollback(self, *, alias: str = "production", why: str = "", who: str | None = None) -> Entry:
        """Let ``alias`` mean what it meant before the move that made what it means now.

        Another roll-back goes further back, and a removed alias comes back. The version is verified first.
        Raises ``UnknownVersion`` when there is nothing to go back to, or the store has that version no
        more (promote another, then); otherwise as ``promote``.
        """

        def compose(last: Entry | None) -> Move:
            entries = read_moves(self.path)[: last.serial if last else 0]
            if not any(entry.alias == alias for entry in entries):
                raise unknown_alias(str(self.path), alias, last.aliases if last else ())
            target = next((target for target in reversed(meanings(entries, alias)[:-1]) if target), None)
            if target is None:
                raise UnknownVersion(
                    f"{self.path}: alias {alias[:64]!r} meant nothing before. Promote the version that it is "
                    "to mean, or remove the alias."
                )
            self._opened(self._meant(target, {}))
            return Move("rollback", alias, target)

        return self._written(compose, why, who)

    def remove(self, alias: str, *, why: str = "", who: str | None = None) -> Entry:
        """Let ``alias`` mean nothing from now on; its history stays. Raises ``UnknownVersion``."""

        def compose(last: Entry | None) -> Move:
            known = last.aliases if last else {}
            if alias not in known:
                raise unknown_alias(str(self.path), alias, known)
            return Move("remove", alias, None)

        return self._written(compose, why, who)

    def trial(
        self,
        version: str | StoredVersion,
        share: float,
        *,
        alias: str = "production",
        why: str = "",
        who: str | None = None,
    ) -> Entry:
        """Record that ``version`` is to answer ``share`` (0 to 1) of the requests to ``alias``.

        0 records that it was taken back. The trial is over when the alias is moved to the version, or
        removed. Raises as ``promote``, ``UnknownVersion`` for an alias that means nothing, and ``ValueError``
        for a share above 0 of the version that the alias means already: all its requests are that version's.
        """
        self._check_alias(alias)
        bundle = self.open(version)
        if not 0 <= share <= 1:
            raise ValueError(f"share is {share}; give the part of the requests, from 0 to 1")
        target = Trial(version=bundle.version, digest=bundle.digest, share=float(share))

        def compose(last: Entry | None) -> Move:
            known = last.aliases if last else {}
            if alias not in known:
                raise unknown_alias(str(self.path), alias, known)
            meant = known[alias]
            if share and (meant.version, meant.digest) == (target.version, target.digest):
                raise ValueError(
                    f"{alias} means version {meant.version} already: its share is whatever trials "
                    "leave. Give another version, or promote another first."
                )
            return Move("trial", alias, target)

        return self._written(compose, why, who)

    # --- inside ------------------------------------------------------------------------------------

    def _write(
        self, compose: Callable[[Entry | None], Move | None], why: str, who: str | None
    ) -> Entry | None:
        who = myself() if who is None else who
        return write_move(self.path, compose, who=who, why=why, clock=self._clock)

    def _written(self, compose: Callable[[Entry | None], Move], why: str, who: str | None) -> Entry:
        entry = self._write(compose, why, who)
        assert entry is not None  # compose always moves
        return entry

    def _listed(self) -> list[Version]:
        if self.path.is_file() and self.path.suffix != ARCHIVE:
            raise BundleError(
                f"{self.path} is a file, not a store of versions. Give the folder that inprocml.pack adds to."
            )
        if (self.path / MANIFEST).exists() or self.path.is_file():
            raise BundleError(
                f"{self.path} is one bundle, not a store of versions. Give the folder above it, "
                f"{str(self.path.parent)!r}, or open it with inprocml.Bundle.open."
            )
        return list(self._source.versions())

    def _check_alias(self, alias: str) -> None:
        if not valid_version(alias) or alias.isdigit():
            raise ValueError(
                f"{alias[:64]!r} cannot be an alias: use a letter or digit, then up to 63 of A-Z a-z "
                "0-9 . _ -, and not digits alone, which name versions"
            )
        if any(version.name == alias for version in self._listed()):
            raise ValueError(f"{alias!r} names a version of {self.path}; choose another alias")

    def _meant(self, target: Target, aliases: Mapping[str, Version]) -> StoredVersion:
        here = next((version for version in self._listed() if version.name == target.version), None)
        found = described(here, aliases) if here else None
        if found is not None and not found.broken and found.digest == target.digest:
            return found
        return missing(target, here.path if here else self.path / target.version, found)

    def _find(self, version: str | StoredVersion) -> StoredVersion:
        """Return the version that is meant; the digest that it must have is in it."""
        aliases = self._source.aliases()
        if isinstance(version, StoredVersion):
            return self._meant(Target(version=version.name, digest=version.digest), aliases)
        if not isinstance(version, str):
            raise TypeError(f"version must be text or a StoredVersion, not {type(version).__name__}")
        if version.startswith(_DIGEST):
            return self._of_digest(version, aliases)
        named = {known.name: known for known in self._listed()}.get(version)
        if named and version in aliases:
            raise UnknownVersion(f"{self.path}: {version!r} is a version and an alias. Give the digest.")
        if version in aliases:
            return self.alias(version)
        if named is None:
            known = [here.name for here in self._listed()]
            raise unknown_version(str(self.path), version, known, aliases)
        return described(named, aliases)

    def _of_digest(self, prefix: str, aliases: Mapping[str, Version]) -> StoredVersion:
        if len(prefix) < _SHORTEST:
            raise UnknownVersion(f"{prefix!r} is too short: give four digits or more after {_DIGEST}")
        every = [described(version, aliases) for version in self._listed()]
        found = [version for version in every if version.digest.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise UnknownVersion(f"{self.path} has no version whose digest begins with {prefix[:80]!r}.")
        names = ", ".join(version.name for version in found[:10])
        raise UnknownVersion(
            f"{self.path}: {prefix[:80]!r} begins the digest of several: {names}. Give more."
        )

    def _opened(self, version: StoredVersion) -> Bundle:
        if version.broken and version.digest:  # an alias's, and not there or not these bytes
            raise UnknownVersion(version.broken)
        digest = version.digest or None  # a broken one's is not known: to open it says what is broken
        return Bundle.open(version.path, version=version.name, digest=digest, policy=self._policy)
