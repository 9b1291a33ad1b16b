"""How a host lets a candidate version in: what share of requests, how it grows, and what ends it.

Frozen and judged where it is written; ``course`` decides by it, ``trial`` acts on that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Rollout", "as_rollouts", "check_share"]


@dataclass(frozen=True, slots=True)
class Rollout:
    """A candidate beside the serving version: canary, A/B test, shadow, blue-green or ramp.

    The candidate is ``version``, or whatever ``alias`` means. It answers ``share`` of the requests: whoever
    gives the same ``key`` to ``predict`` gets the same version in every process, and keeps it while the share
    grows. 0 only loads it, ready for ``Model.shift``. ``ramp`` names growing shares instead: each is held for
    ``hold`` seconds and ``rows`` answers, and after the last the candidate becomes the serving version.

    ``shadow`` is the share of the serving version's rows that the candidate answers too, off the request path
    and within ``deadline`` seconds; its answers are compared and thrown away.

    The candidate is rolled back as soon as it is beyond a limit: ``errors`` is how much greater its share of
    failed rows may be than the serving version's, ``latency`` how many times as long its 95th percentile may
    take, ``disagreement`` the share of shadowed rows that it may answer otherwise (``None``: any); numbers
    disagree when they are further apart than ``tolerance`` of the greater. Latency is judged from 100 rows
    on, and a ramp waits for them; ``math.inf`` lets it be.

    Raises ``TypeError`` or ``ValueError`` that names the argument.
    """

    version: str | None = None
    share: float = 0.0
    alias: str | None = None
    ramp: tuple[float, ...] = ()
    hold: float = 600.0
    rows: int = 500
    shadow: float = 0.0
    deadline: float = 1.0
    errors: float = 0.01
    latency: float = 2.0
    disagreement: float | None = None
    tolerance: float = 0.1

    def __post_init__(self) -> None:
        if (self.version is None) == (self.alias is None):
            raise ValueError("a rollout is of a version or of an alias: give one of them")
        for name in ("version", "alias"):
            told = getattr(self, name)
            if told is not None and (not isinstance(told, str) or not told):
                raise TypeError(f"rollout {name} must be text, such as '5', not {told!r}")
        for name in ("share", "shadow", "errors", "tolerance"):
            _within(name, getattr(self, name), 0.0, 1.0)
        if self.disagreement is not None:
            _within("disagreement", self.disagreement, 0.0, 1.0)
        _within("latency", self.latency, 1.0, math.inf)
        _within("hold", self.hold, 0.0, math.inf)
        _within("deadline", self.deadline, 0.0, 3600.0)
        if type(self.rows) is not int or self.rows < 1:
            raise ValueError("rollout rows must be a whole number, at least 1")
        self._check_ramp()

    def _check_ramp(self) -> None:
        object.__setattr__(self, "ramp", tuple(self.ramp))
        for share in self.ramp:
            _within("ramp", share, 0.0, 1.0)
        if any(later <= earlier for earlier, later in zip(self.ramp, self.ramp[1:], strict=False)):
            raise ValueError("rollout ramp must grow from step to step, such as (0.01, 0.1, 0.5, 1.0)")
        if self.ramp and self.share:
            raise ValueError("a rollout has a share or a ramp of shares, not both")
        if self.disagreement is not None and not self.shadow:
            raise ValueError("a limit on disagreement needs shadow=, the share of rows that both answer")

    @property
    def named(self) -> str:
        """What to call the candidate before it is looked up."""
        return self.version or f"alias {self.alias}"

    @property
    def first_share(self) -> float:
        """The share it begins with."""
        return self.ramp[0] if self.ramp else self.share


def check_share(share: object) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless ``share`` is a number from 0 to 1."""
    _within("share", share, 0.0, 1.0)


def _within(name: str, value: object, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"rollout {name} must be a number, not {type(value).__name__}")
    if not least <= value <= most or math.isnan(value):
        raise ValueError(f"rollout {name} must be from {least:g} to {most:g}, not {value!r}")


def as_rollouts(given: object) -> tuple[Rollout, ...]:
    """Return what ``Model(rollout=)`` was given as rollouts: one, several, or a mapping of version to share.

    Raises ``TypeError`` or ``ValueError`` for anything else, for a version named twice, and for shares that
    are more than 1 together.
    """
    if given is None:
        return ()
    if isinstance(given, Rollout):
        listed: tuple[Rollout, ...] = (given,)
    elif isinstance(given, Mapping):
        listed = tuple(Rollout(version, share) for version, share in given.items())
    elif isinstance(given, list | tuple) and all(isinstance(one, Rollout) for one in given):
        listed = tuple(given)
    else:
        raise TypeError(
            f"rollout must be a Rollout, several, or {{version: share}}, not {type(given).__name__}"
        )
    names = [(one.version, one.alias) for one in listed]
    if len(set(names)) < len(names):
        raise ValueError("rollout names a candidate twice")
    most = sum(max((one.share, *one.ramp)) for one in listed)
    if most > 1 + 1e-9 and len(listed) > 1:
        raise ValueError(f"the shares of all candidates may come to {most:g}; they must not exceed 1")
    return listed
