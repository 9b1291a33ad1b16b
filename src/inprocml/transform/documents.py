"""What each kind of entry says of itself in JSON; strict, closed, and checked again by what it builds."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from inprocml.schema.sound import Strict
from inprocml.transform.arguments import WIDEST
from inprocml.transform.binned import BinnedStep
from inprocml.transform.category import category_step
from inprocml.transform.custom import CustomStep
from inprocml.transform.derived import DerivedStep
from inprocml.transform.flag import FlagStep
from inprocml.transform.hashed import HashedStep
from inprocml.transform.numeric import NumericStep
from inprocml.transform.specs import Category, Flag, Hashed, Numeric, Timestamp, Vector
from inprocml.transform.specs_derived import Custom, Derived
from inprocml.transform.step import Entry
from inprocml.transform.timestamp import TimestampStep
from inprocml.transform.vector import VectorStep

__all__ = ["MODELS", "EntryModel"]

Slot: TypeAlias = Literal["slot"] | None
Pair: TypeAlias = Annotated[list[float], Field(min_length=2, max_length=2)]
Missing: TypeAlias = Literal["median", "mean", "flag"] | float | None
Numbers: TypeAlias = Annotated[list[float], Field(max_length=WIDEST), Field(fail_fast=True)]
Categories: TypeAlias = (
    Annotated[list[str], Field(fail_fast=True)] | Annotated[list[int], Field(fail_fast=True)]
)


class EntryModel(Strict):
    """One entry."""

    name: str

    def step(self) -> Entry:
        """Return the fitted entry; ``ValueError`` for what cannot be one."""
        raise NotImplementedError


class _Numeric(EntryModel):
    kind: Literal["numeric@1"]
    field: str | None
    missing: Missing
    scale: Literal["none", "standard", "minmax", "robust"]
    log: bool
    power: Literal["sqrt", "square", "yeo-johnson"] | None
    clip: Pair | None
    fill: float | None
    offset: float
    divisor: float
    exponent: float

    def step(self) -> Entry:
        spec = Numeric(
            missing=self.missing,
            scale=self.scale,
            log=self.log,
            power=self.power,
            clip=_pair(self.clip),
            field=self.field,
        )
        return NumericStep(self.name, spec, self.fill, self.offset, self.divisor, self.exponent)


class _Binned(EntryModel):
    kind: Literal["binned@1"]
    field: str | None
    missing: Missing
    log: bool
    clip: Pair | None
    bins: int | None
    encoding: Literal["onehot", "ordinal"]
    fill: float | None
    edges: Numbers

    def step(self) -> Entry:
        spec = Numeric(
            missing=self.missing,
            log=self.log,
            clip=_pair(self.clip),
            bins=tuple(self.edges) if self.bins is None else self.bins,
            encoding=self.encoding,
            field=self.field,
        )
        return BinnedStep(self.name, spec, tuple(self.edges), self.fill)


class _Category(EntryModel):
    kind: Literal["category@1"]
    field: str | None
    min_count: int
    max_categories: int | None
    missing: Slot
    encoding: Literal["onehot", "ordinal", "index"]
    strip: bool
    casefold: bool
    dtype: Literal["str", "int"]
    categories: Annotated[Categories, Field(min_length=1, max_length=WIDEST)]

    def step(self) -> Entry:
        spec = Category(
            min_count=self.min_count,
            max_categories=self.max_categories,
            missing=self.missing,
            encoding=self.encoding,
            strip=self.strip,
            casefold=self.casefold,
            field=self.field,
        )
        return category_step(self.name, spec, self.dtype, tuple(self.categories))


class _Hashed(EntryModel):
    kind: Literal["hashed@1"]
    field: str | None
    buckets: int
    missing: Slot

    def step(self) -> Entry:
        return HashedStep(self.name, Hashed(buckets=self.buckets, missing=self.missing, field=self.field))


class _Flag(EntryModel):
    kind: Literal["flag@1"]
    field: str | None
    missing: Slot

    def step(self) -> Entry:
        return FlagStep(self.name, Flag(missing=self.missing, field=self.field))


class _Vector(EntryModel):
    kind: Literal["vector@1"]
    field: str | None
    size: int
    scale: Literal["none", "standard"]
    missing: Slot
    offsets: Numbers
    divisors: Numbers

    def step(self) -> Entry:
        spec = Vector(size=self.size, scale=self.scale, missing=self.missing, field=self.field)
        return VectorStep(self.name, spec, tuple(self.offsets), tuple(self.divisors))


class _Timestamp(EntryModel):
    kind: Literal["timestamp@1"]
    field: str | None
    parts: Annotated[list[Annotated[list[str], Field(min_length=2, max_length=2)]], Field(max_length=6)]
    timezone: str | None
    since: str | None
    missing: Slot

    def step(self) -> Entry:
        pairs = [(part, encoding) for part, encoding in self.parts]
        plain = all(encoding == "onehot" for _, encoding in pairs)
        parts: Any = tuple(part for part, _ in pairs) if plain else dict(pairs)
        if len(parts) != len(pairs):
            raise ValueError("parts must name none twice")
        spec = Timestamp(
            parts=parts, timezone=self.timezone, since=self.since, missing=self.missing, field=self.field
        )
        return TimestampStep(self.name, spec)


class _Derived(EntryModel):
    kind: Literal["derived@1"]
    operation: Literal["ratio", "difference", "product", "days_between", "is_missing"]
    first: str
    second: str | None
    timezone: str | None
    then: Annotated[_Numeric | _Binned, Field(discriminator="kind")]

    def step(self) -> Entry:
        inner: Any = self.then.step()
        if inner.name != self.name:
            raise ValueError("what encodes a derived number is called as its entry")
        spec = Derived(self.operation, self.first, self.second, then=inner.spec, timezone=self.timezone)
        return DerivedStep(self.name, spec, inner)


class _Custom(EntryModel):
    kind: Literal["custom@1"]
    function: str
    reads: Annotated[
        list[Annotated[list[str], Field(min_length=2, max_length=2)]],
        Field(min_length=1, max_length=1000),
    ]
    width: int
    optional: bool
    source: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    def step(self) -> Entry:
        reads = {pair[0]: pair[1] for pair in self.reads}
        if len(reads) != len(self.reads):
            raise ValueError("reads must name no field twice")
        spec = Custom(self.function, reads, width=self.width, optional=self.optional)
        return CustomStep(self.name, spec, self.source)


def _pair(pair: list[float] | None) -> tuple[float, float] | None:
    return None if pair is None else (pair[0], pair[1])


MODELS: dict[str, type[EntryModel]] = {
    "binned@1": _Binned,
    "category@1": _Category,
    "custom@1": _Custom,
    "derived@1": _Derived,
    "flag@1": _Flag,
    "hashed@1": _Hashed,
    "numeric@1": _Numeric,
    "timestamp@1": _Timestamp,
    "vector@1": _Vector,
}
