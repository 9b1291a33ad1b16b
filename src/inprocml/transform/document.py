"""A fitted transform as JSON and back. The file chooses among the kinds known here, and nothing else."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from inprocml.errors import TransformError, Unsupported
from inprocml.schema import dump, parse
from inprocml.schema.sound import sound
from inprocml.schema.strict_json import LARGEST_TEXT, corrupt
from inprocml.transform.category import CategoryStep
from inprocml.transform.hashed import HashedStep
from inprocml.transform.naming import check_distinct, valid_name
from inprocml.transform.numeric import NumericStep
from inprocml.transform.plan import Plan
from inprocml.transform.specs import WIDEST, Category, Hashed, Numeric, Timestamp
from inprocml.transform.step import Step
from inprocml.transform.timestamp import TimestampStep

__all__ = ["read", "write"]

_WHAT = "the transform"
_KIND = "transform@1"
_Slot: TypeAlias = Literal["slot"] | None


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    name: str


class _Numeric(_Strict):
    kind: Literal["numeric@1"]
    missing: Literal["median", "mean"] | float | None
    scale: Literal["none", "standard", "minmax"]
    log: bool
    clip: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    fill: float | None
    offset: float
    divisor: float

    def step(self) -> Step:
        clip = None if self.clip is None else (self.clip[0], self.clip[1])
        spec = Numeric(missing=self.missing, scale=self.scale, log=self.log, clip=clip)
        return NumericStep(self.name, spec, self.fill, self.offset, self.divisor)


class _Category(_Strict):
    kind: Literal["category@1"]
    min_count: int
    max_categories: int | None
    missing: _Slot
    dtype: Literal["str", "int"]
    categories: Annotated[list[str] | list[int], Field(min_length=1, max_length=WIDEST)]

    def step(self) -> Step:
        spec = Category(min_count=self.min_count, max_categories=self.max_categories, missing=self.missing)
        return CategoryStep(self.name, spec, self.dtype, tuple(self.categories))  # type: ignore[arg-type]


class _Hashed(_Strict):
    kind: Literal["hashed@1"]
    buckets: int
    missing: _Slot

    def step(self) -> Step:
        return HashedStep(self.name, Hashed(buckets=self.buckets, missing=self.missing))


class _Timestamp(_Strict):
    kind: Literal["timestamp@1"]
    parts: list[str]
    timezone: str | None
    missing: _Slot

    def step(self) -> Step:
        spec = Timestamp(parts=tuple(self.parts), timezone=self.timezone, missing=self.missing)
        return TimestampStep(self.name, spec)


_MODELS: dict[str, type[_Numeric | _Category | _Hashed | _Timestamp]] = {
    "numeric@1": _Numeric,
    "category@1": _Category,
    "hashed@1": _Hashed,
    "timestamp@1": _Timestamp,
}


def write(plan: Plan) -> str:
    """Return canonical JSON; ``TransformError`` if it would be larger than a reader accepts."""
    text = dump({"kind": _KIND, "fields": [step.document() for step in plan.steps]})
    if len(text.encode()) > LARGEST_TEXT:
        raise TransformError(
            f"the fitted transform takes more than {LARGEST_TEXT} bytes. Use max_categories, or Hashed."
        )
    return text


def read(text: str | bytes) -> Plan:
    """Return the plan; ``Unsupported`` for kinds of another release, ``Corrupt`` for all else."""
    document = parse(text, what=_WHAT)
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise corrupt(_WHAT, "it is no object with a kind")
    if document["kind"] != _KIND:
        raise _unsupported(document["kind"], [_KIND])
    fields = document.get("fields")
    if document.keys() != {"kind", "fields"} or not isinstance(fields, list) or not 0 < len(fields) <= WIDEST:
        raise corrupt(_WHAT, "it must have fields, and nothing else")
    steps = [_step(position, field) for position, field in enumerate(fields)]
    return sound(_WHAT, lambda: _planned(steps), where="its fields")


def _step(position: int, field: object) -> Step:
    kind = field.get("kind") if isinstance(field, dict) else None
    if not isinstance(kind, str):
        raise corrupt(_WHAT, f"field {position} has no kind")
    if kind not in _MODELS:
        raise _unsupported(kind, list(_MODELS))
    model = _MODELS[kind]
    return sound(_WHAT, lambda: _built(model.model_validate(field)), where=f"field {position}")


def _planned(steps: list[Step]) -> Plan:
    check_distinct({step.field.name: step.spec for step in steps})
    return Plan(tuple(steps))


def _built(model: _Numeric | _Category | _Hashed | _Timestamp) -> Step:
    valid_name(model.name)
    return model.step()


def _unsupported(kind: str, known: list[str]) -> Unsupported:
    return Unsupported(
        f"the transform holds kind {kind[:64]!a}; this release knows {', '.join(known)}. "
        "Upgrade inprocml to at least the release that packed it."
    )
