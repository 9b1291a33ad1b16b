"""What a host may want otherwise of monitoring."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from inprocml.monitoring.hooks.line import Hook, Hooks
from inprocml.monitoring.quality.settings import Settings
from inprocml.protocols import PredictionStore

if TYPE_CHECKING:
    from inprocml.monitoring.capture import Capture

__all__ = ["Monitoring"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """How a model's rows are watched; ``Model(monitoring=False)`` watches none.

    ``budget`` is how many false alerts per model and 90 days are put up with: more of them, and drift is
    found sooner. In ``folder`` the processes of this host add up what they count, and go on with it when they
    are started again; by default the workers of one server do so among themselves, and begin anew with it.
    ``most_rows`` rows a second are counted in a process; of more, a part by chance.
    ``on_drift`` is called with each ``DriftEvent``, one callable or several, such as a ``Webhook``: in the
    one process of this host that decides, on a thread of its own. ``hooks`` says what became of the events.
    ``capture`` keeps a part of the rows for retraining; None: no row is kept.

    A label comes within ``labels_within`` seconds or never; ``usual_labels`` is the share of predictions that
    get one, learnt where it is not given. ``slices``: a field's name -> values that get figures of their own,
    at most 4 fields of 16 values. In ``store`` predictions wait for their labels where all processes find
    them; else each remembers its own, the last 100,000.

    Of the fields in ``private`` no value is named in files of counts, reports and events: categories have
    numbers there, the most frequent one of training first.

    Raises ``TypeError`` or ``ValueError`` that names the argument.
    """

    budget: float = 0.5
    folder: str | os.PathLike[str] | None = None
    most_rows: int = 2_000
    on_drift: Hook | Sequence[Hook] = ()
    capture: Capture | None = None
    hooks: Hooks = field(init=False, repr=False, compare=False)
    labels_within: float = 7 * 86_400.0
    usual_labels: float | None = None
    slices: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    store: PredictionStore | None = None
    private: Collection[str] = ()

    def __post_init__(self) -> None:
        _check_above("budget", self.budget, math.inf)
        if type(self.most_rows) is not int or self.most_rows < 1:
            raise ValueError(f"most_rows is {self.most_rows!r} and must be a whole number, at least 1")
        if not isinstance(self.store, PredictionStore | None):
            raise TypeError(f"store must be a PredictionStore, not {type(self.store).__name__}")
        _check_above("labels_within", self.labels_within, math.inf)
        if self.usual_labels is not None:
            _check_above("usual_labels", self.usual_labels, 1.0)
        _check_slices(self.slices)
        self.judged("regression", ())  # what else does not fit together is said here
        if not isinstance(self.folder, str | os.PathLike | None):
            raise TypeError(f"folder must be a path, not {type(self.folder).__name__}")
        if self.folder is not None and not os.fspath(self.folder):
            raise ValueError("folder is empty: name one, or leave it out")
        if self.folder is not None:
            object.__setattr__(self, "folder", Path(self.folder).expanduser().absolute())
        _check_capture(self.capture)
        object.__setattr__(self, "private", _names(self.private, self.slices))
        given: Any = (self.on_drift,) if callable(self.on_drift) else self.on_drift
        if not isinstance(given, Sequence) or not all(callable(hook) for hook in given):
            raise TypeError("on_drift must be a callable that takes a DriftEvent, or several of them")
        hooks = tuple(given)
        object.__setattr__(self, "on_drift", hooks)
        object.__setattr__(self, "hooks", Hooks(hooks))

    def judged(self, kind: Literal["classes", "regression"], classes: tuple[Any, ...]) -> Settings:
        """Return how the quality of such a model is counted and judged."""
        return Settings(
            kind=kind,
            classes=classes,
            slices={name: tuple(values) for name, values in self.slices.items()},
            labels_within=self.labels_within,
            usual=self.usual_labels,
            budget=float(self.budget),
        )


def _names(private: object, slices: Mapping[str, object]) -> tuple[str, ...]:
    if isinstance(private, str) or not isinstance(private, Collection):
        raise TypeError("private must be several names of fields, as in private=('email',)")
    if not all(isinstance(name, str) for name in private):
        raise TypeError("private must be several names of fields, as in private=('email',)")
    if both := sorted({*private} & {*slices}):
        raise ValueError(f"{both[0]!r} is in private and in slices, whose values are told; leave one out")
    return tuple(private)


def _check_slices(slices: object) -> None:
    given = list(slices.values()) if isinstance(slices, Mapping) else [""]
    if any(isinstance(values, str | bytes) or not isinstance(values, Collection) for values in given):
        raise TypeError("slices must be several values of each field, as in slices={'country': ('de', 'fr')}")


def _check_capture(capture: object) -> None:
    if capture is None:
        return
    from inprocml.monitoring.capture import Capture, Recorder  # noqa: F401 - a version may load on a thread

    if not isinstance(capture, Capture):
        raise TypeError(f"capture must be an inprocml.monitoring.Capture, not {type(capture).__name__}")


def _check_above(name: str, value: object, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not 0 < float(value) < math.inf or float(value) > most:
        bound = "" if most == math.inf else f", at most {most:g}"
        raise ValueError(f"{name} is {value!r} and must be a finite number above 0{bound}")
