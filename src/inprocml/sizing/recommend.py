"""Which settings meet an objective, found by simulation, and why in words.

Sizes up to the best batch are tried, then delays at the size that was chosen; whoever gains nothing by a
setting keeps the default. A larger batch is taken where it costs the objective nothing: it is what is left
when the load grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from inprocml.sizing.measure import Measured
from inprocml.sizing.settings import Seen, Settings, Simulated
from inprocml.sizing.simulate import simulate

__all__ = ["Advice", "Objective", "capacity", "holds", "recommend", "told_rate"]

_NEAR = 1.05  # times the best latency, which counts as no worse
_REFUSALS = 0.001  # share of the requests that may be refused for an objective to be met
_REQUESTS = 3000
_STEPS = 7  # halvings of the range in which a limit lies
_PRECISE = 32  # a number of callers is found to so many parts of it
_DELAYS = (0.5, 2.0)  # times the duration of one row
_HALF = 0.5
_REFUSES_NOBODY = (
    "slo_ms refuses nobody here, not even at twice what it can do: "
    "requests wait for Python, not in the queue."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is wanted: ``percentile`` % of the requests within ``slo`` seconds, at a load.

    The load is ``rate`` requests a second by chance, or ``callers`` who ask again at once; neither: half of
    what the model can do. Raises ``ValueError`` for what is no objective.
    """

    slo: float | None = None
    percentile: float = 99.0
    rate: float | None = None
    callers: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.percentile < 100:
            raise ValueError(f"percentile is {self.percentile!r} and must be between 0 and 100, such as 99")
        for name, value in (("slo", self.slo), ("rate", self.rate), ("callers", self.callers)):
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r} and must be above 0 and finite")
        if self.rate is not None and self.callers is not None:
            raise ValueError("a load is a rate or a number of callers: give one of them")

    @property
    def load(self) -> dict[str, Any]:
        """The load as arguments of ``simulate``."""
        return {"rate": self.rate} if self.callers is None else {"callers": self.callers}

    def __str__(self) -> str:
        load = f"{self.callers} callers" if self.rate is None else f"{told_rate(self.rate)} requests/s"
        within = "as quick as can be" if self.slo is None else f"within {_ms(self.slo)}"
        return f"p{self.percentile:g} {within} at {load}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The settings to use, what they give by simulation, and why.

    ``met`` says whether the objective holds; ``limit`` is the load up to which it does, in the objective's
    own unit (requests a second, or callers); ``needed`` says what would meet it where nothing here does.
    """

    objective: Objective
    settings: Settings
    expected: Simulated
    met: bool
    limit: float
    why: tuple[str, ...]
    needed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the advice as JSON can hold it; seconds."""
        return {
            "objective": {
                "slo": self.objective.slo,
                "percentile": self.objective.percentile,
                **self.objective.load,
            },
            "settings": self.settings.to_dict(),
            "expected": self.expected.to_dict(),
            "met": self.met,
            "limit": self.limit,
            "why": list(self.why),
            "needed": list(self.needed),
        }


def capacity(measured: Measured, settings: Settings) -> float:
    """Return the requests a second that a closed loop of many callers would get."""
    callers = min(2 * settings.max_batch_size, settings.max_queue_size)
    return _simulated(measured, settings, callers=callers).rate


def recommend(measured: Measured, objective: Objective | None = None, *, most: int | None = None) -> Advice:
    """Search batch sizes up to ``most``, delays and queue lengths for ``objective``."""
    objective = objective or Objective()
    top = measured.timing.best(most)
    if objective.rate is None and objective.callers is None:
        objective = replace(objective, rate=_HALF * capacity(measured, Settings(max_batch_size=top)))
    return _Search(measured, objective, top, most).advice()


def holds(seen: Seen, objective: Objective) -> bool:
    """Whether ``seen`` meets ``objective``, with next to nobody refused."""
    quick = objective.slo is None or seen.percentile(objective.percentile) <= objective.slo
    return quick and seen.answered > 0 and seen.refusals <= _REFUSALS


def _simulated(measured: Measured, settings: Settings, **load: Any) -> Simulated:
    return simulate(measured.timing, settings, overhead=measured.overhead, requests=_REQUESTS, **load)


class _Search:
    """One objective, and what was tried for it."""

    def __init__(self, measured: Measured, objective: Objective, top: int, most: int | None) -> None:
        self._measured, self._objective = measured, objective
        self._top = top
        self._sizes = [size for size in measured.timing.sizes if size <= top]
        self._beyond = max(size for size in measured.timing.sizes if most is None or size <= max(most, top))

    def advice(self) -> Advice:
        objective = self._objective
        tried = {size: self._try(Settings(max_batch_size=size)) for size in self._sizes}
        fast = min(self._latency(seen) for seen in tried.values())
        size = max(size for size, seen in tried.items() if self._latency(seen) <= _NEAR * fast)
        settings, expected = Settings(max_batch_size=size), tried[size]
        why = [*self._about_size(size, tried)]
        settings, expected, told = self._with_delay(settings, expected)
        why.append(told)
        limit = self._limit(settings)
        if objective.slo is not None:
            settings, expected, told = self._with_objective(settings, expected, limit)
            why += [told] if told else []
        met = self._holds(expected)
        needed = () if met else tuple(self._needed(expected, limit))
        why += self._about_load(expected)
        return Advice(
            objective=objective,
            settings=settings,
            expected=expected,
            met=met,
            limit=limit,
            why=tuple(why),
            needed=needed,
        )

    def _try(self, settings: Settings, **load: Any) -> Simulated:
        return _simulated(self._measured, settings, **(load or self._objective.load))

    def _latency(self, seen: Simulated) -> float:
        """What to make small; where callers are refused, nothing is quick."""
        if not seen.answered or seen.refusals > _REFUSALS:
            return math.inf
        return seen.percentile(self._objective.percentile)

    def _holds(self, seen: Simulated) -> bool:
        return holds(seen, self._objective)

    # -- one setting after the other

    def _with_delay(self, settings: Settings, seen: Simulated) -> tuple[Settings, Simulated, str]:
        one = self._measured.timing.at(1)
        delayed = [replace(settings, max_queue_delay=share * one) for share in _DELAYS]
        tried = [(self._try(other), other) for other in delayed]
        best, other = min(tried, key=lambda pair: self._latency(pair[0]))
        was, now = self._latency(seen), self._latency(best)
        wanted = self._objective.slo is None or (self._holds(best) and not self._holds(seen))
        if wanted and now * _NEAR < was:
            told = f"A delay of {_ms(other.max_queue_delay)} takes {self._p} from {_ms(self._seen(seen))} to "
            return other, best, f"{told}{_ms(self._seen(best))}: fuller batches pay here."
        why = "not needed; " if now < was else ""
        told = f"No max_queue_delay: {why}with {_ms(other.max_queue_delay)}, {self._p} would be "
        return settings, seen, f"{told}{_ms(self._seen(best))} instead of {_ms(self._seen(seen))}."

    def _with_objective(
        self, settings: Settings, seen: Simulated, limit: float
    ) -> tuple[Settings, Simulated, str]:
        """Let the queue know the objective, where that refuses nobody at this load."""
        guarded = replace(settings, slo=self._objective.slo)
        with_slo = self._try(guarded)
        if not self._holds(with_slo):
            return settings, seen, ""
        heavy = {name: type(value)(2 * max(value, limit)) for name, value in self._objective.load.items()}
        open_end, kept = self._try(settings, **heavy), self._try(guarded, **heavy)
        if kept.refusals <= open_end.refusals:
            return guarded, with_slo, _REFUSES_NOBODY
        told = (
            f"With slo_ms the queue refuses at once who would wait longer: at twice what it can do "
            f"{self._p} is {_ms(self._seen(kept))} and {kept.refusals:.0%} are refused; without it, "
            f"{_ms(self._seen(open_end))} and {open_end.refusals:.0%}."
        )
        return guarded, with_slo, told

    def _limit(self, settings: Settings) -> float:
        """Return the load up to which the objective holds; without one, what can be done at all."""
        if self._objective.callers is not None:
            return self._most_callers(settings)
        most = capacity(self._measured, settings)
        if self._objective.slo is None:
            return most
        return _bisected(lambda rate: self._holds(self._try(settings, rate=rate)), most)

    def _most_callers(self, settings: Settings) -> float:
        if self._objective.slo is None:
            return float(settings.max_queue_size)
        if not self._holds(self._try(settings, callers=1)):
            return 0.0
        low, high = 1, 4 * max(self._objective.callers or 1, settings.max_batch_size)
        while high - low > max(1, low // _PRECISE):
            middle = (low + high) // 2
            held = self._holds(self._try(settings, callers=middle))
            low, high = (middle, high) if held else (low, middle)
        return float(low)

    # -- in words

    @property
    def _p(self) -> str:
        return f"p{self._objective.percentile:g}"

    def _seen(self, seen: Simulated) -> float:
        return seen.percentile(self._objective.percentile)

    def _about_size(self, size: int, tried: dict[int, Simulated]) -> Iterator[str]:
        timing = self._measured.timing
        if self._beyond > self._top:
            gain = timing.rate(self._beyond) / timing.rate(self._top) - 1
            longer = timing.at(self._beyond) - timing.at(self._top)
            yield (
                f"Batches beyond {self._top} rows gain {max(gain, 0):.0%} (of {self._beyond}) and take "
                f"{_ms(max(longer, 0))} longer."
            )
        if size < self._top:
            yield (
                f"At this load batches of up to {self._top} rows take {self._p} to "
                f"{_ms(self._seen(tried[self._top]))}; up to {size} rows, {_ms(self._seen(tried[size]))}."
            )
        smaller = max((other for other in tried if other < size), default=0)
        if smaller:
            gain = timing.rate(size) / timing.rate(smaller) - 1
            yield f"Batches of {size} give {gain:.0%} more rows a second than those of {smaller}."

    def _about_load(self, seen: Simulated) -> Iterator[str]:
        yield (
            f"At this load the model computes {seen.utilisation:.0%} of the time, in batches of "
            f"{seen.mean_batch:.3g} rows on average; {seen.inline:.0%} of the callers compute themselves."
        )
        python, model = self._measured.overhead.waiting, 1 / self._measured.timing.rate(self._top)
        if python > model:
            yield (
                f"Python ({python * 1e6:.3g} us a request) is the limit here, not the model "
                f"({model * 1e6:.3g} us a row): processes help, a faster model does not."
            )

    def _needed(self, seen: Simulated, limit: float) -> Iterator[str]:
        alone = self._try(Settings(), callers=1)
        slo = self._objective.slo
        if slo is not None and not self._holds(alone):
            took, over = self._seen(alone), self._measured.overhead
            python = over.before + over.call + over.after
            if python >= slo:
                yield f"Python alone takes {_ms(python)} of a request: nothing meets it. Allow more time."
                return
            yield (
                f"One request alone takes {_ms(took)} ({self._p}): no setting helps. The model must be "
                f"{took / slo:.2g} times as fast: smaller, with more threads, or on a GPU (--device cuda)."
            )
            return
        wanted = self._objective.rate or float(self._objective.callers or 1)
        unit = "requests/s" if self._objective.callers is None else "callers"
        if limit <= 0:
            yield f"No load keeps it: {self._p} is {_ms(self._seen(seen))} at this one. Allow more time."
            return
        processes = math.ceil(wanted / limit)
        yield (
            f"One process keeps it up to {told_rate(limit)} {unit}. For {told_rate(wanted)} take {processes} "
            f"processes with cores of their own, {processes} instances on as many devices, or a model or "
            f"GPU that is {wanted / limit:.2g} times as fast."
        )


def _bisected(holds: Callable[[float], bool], most: float) -> float:
    """Return the greatest load, up to ``most``, that holds; 0 if hardly any does."""
    if holds(most):
        return most
    low, high = 0.0, most
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def told_rate(rate: float) -> str:
    """Return a rate in words: whole from 100 on, three figures below."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
