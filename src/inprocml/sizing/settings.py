"""What can be set, and what callers saw: in a simulation or for real."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from inprocml.batching import check_limits

__all__ = ["Seen", "Settings", "Simulated", "percentile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Arguments of ``Runner`` under their own names; delay and objective in seconds. As text, of ``Model``.

    Raises ``ValueError`` for what they would refuse.
    """

    max_batch_size: int = 64
    max_queue_delay: float = 0.0
    max_queue_size: int = 1024
    slo: float | None = None

    def __post_init__(self) -> None:
        check_limits(**self.to_dict())

    def __str__(self) -> str:
        told = f"max_batch_size={self.max_batch_size}, max_queue_delay={self.max_queue_delay:.4g}"
        told += f", max_queue_size={self.max_queue_size}"
        return told if self.slo is None else f"{told}, slo_ms={self.slo * 1e3:.4g}"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as keyword arguments."""
        return {
            "max_batch_size": self.max_batch_size,
            "max_queue_delay": self.max_queue_delay,
            "max_queue_size": self.max_queue_size,
            "slo": self.slo,
        }


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What ``answered`` and ``refused`` callers saw in ``seconds``; ``latencies`` in seconds, ascending."""

    answered: int
    refused: int
    seconds: float
    mean_batch: float
    latencies: tuple[float, ...] = field(repr=False)

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def refusals(self) -> float:
        """Share of the requests that were refused."""
        asked = self.answered + self.refused
        return self.refused / asked if asked else 0.0

    @property
    def mean(self) -> float:
        """Mean latency in seconds."""
        return sum(self.latencies) / len(self.latencies) if self.latencies else 0.0

    def percentile(self, q: float) -> float:
        """Return the latency in seconds that ``q`` % of those who were answered stayed within."""
        return percentile(self.latencies, q)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON can hold them; seconds."""
        return {
            "answered": self.answered,
            "refused": self.refused,
            "rate": self.rate,
            "mean_batch": self.mean_batch,
            "mean": self.mean,
            "p50": self.percentile(50),
            "p90": self.percentile(90),
            "p99": self.percentile(99),
        }


@dataclass(frozen=True, kw_only=True)
class Simulated(Seen):
    """What a simulation saw.

    ``utilisation`` is the share of the time that the device computed, ``inline`` the share of the answers
    that callers computed themselves, ``mean_wait`` the seconds until a row's run began, ``in_system`` the
    requests that were on their way, on average over time.
    """

    arrivals: int
    utilisation: float
    inline: float
    mean_wait: float
    in_system: float


def percentile(ordered: Sequence[float], q: float) -> float:
    """Return the value that ``q`` % of ``ordered`` are at or below; 0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[max(0, min(len(ordered) - 1, math.ceil(q / 100 * len(ordered)) - 1))]
