"""A fitted transform as JSON and back. The file chooses among the kinds known here, and nothing else."""

from __future__ import annotations

from inprocml.errors import TransformError, Unsupported
from inprocml.schema import dump, parse
from inprocml.schema.sound import sound
from inprocml.schema.strict_json import LARGEST_TEXT, corrupt, crowded
from inprocml.transform.arguments import MOST_ENTRIES
from inprocml.transform.documents import MODELS, EntryModel
from inprocml.transform.documents_imported import IMPORTED_MODELS
from inprocml.transform.documents_media import MEDIA_MODELS
from inprocml.transform.naming import check_distinct, valid_name
from inprocml.transform.plan import Plan
from inprocml.transform.step import Entry

__all__ = ["read", "write"]

_WHAT = "the transform"
_KIND = "transform@1"
_MODELS = MODELS | IMPORTED_MODELS | MEDIA_MODELS


def write(plan: Plan) -> str:
    """Return canonical JSON; ``TransformError`` if it would be larger than a reader accepts."""
    text = dump({"kind": _KIND, "fields": [step.document() for step in plan.entries]})
    if len(text.encode()) > LARGEST_TEXT or crowded(text):
        raise TransformError(
            f"the fitted transform takes more than {LARGEST_TEXT} bytes. Use max_categories, or Hashed, "
            "or a tokenizer with a smaller vocabulary."
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
    if document.keys() != {"kind", "fields"} or not isinstance(fields, list) or not fields:
        raise corrupt(_WHAT, "it must have fields, and nothing else")
    if len(fields) > MOST_ENTRIES:
        raise corrupt(_WHAT, f"it has more than {MOST_ENTRIES} entries")
    steps = [_step(position, field) for position, field in enumerate(fields)]
    return sound(_WHAT, lambda: _planned(steps), where="its fields")


def _step(position: int, field: object) -> Entry:
    kind = field.get("kind") if isinstance(field, dict) else None
    if not isinstance(kind, str):
        raise corrupt(_WHAT, f"field {position} has no kind")
    if kind not in _MODELS:
        raise _unsupported(kind, sorted(_MODELS))
    model = _MODELS[kind]
    return sound(_WHAT, lambda: _built(model.model_validate(field)), where=f"field {position}")


def _planned(steps: list[Entry]) -> Plan:
    if len({step.name for step in steps}) != len(steps):
        raise ValueError("two entries have one name")
    check_distinct({step.name: step.spec for step in steps})
    return Plan(tuple(steps))


def _built(model: EntryModel) -> Entry:
    valid_name(model.name)
    step = model.step()
    for field in step.fields:
        valid_name(field.name)
    return step


def _unsupported(kind: str, known: list[str]) -> Unsupported:
    return Unsupported(
        f"the transform holds kind {kind[:64]!a}; this release knows {', '.join(known)}. "
        "Upgrade inprocml to at least the release that packed it."
    )
