"""What a person wants to know of a model's rollouts in one process, and of what was decided."""

from __future__ import annotations

from dataclasses import dataclass

from inprocml.serving.course import Decision
from inprocml.serving.evidence import Evidence

__all__ = ["Candidate", "Decided", "Standing"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version on trial: its ``share`` of the requests for ``seconds``, and what was seen since then."""

    version: str
    share: float
    seconds: float
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided about ``version``, and when (seconds since the epoch)."""

    version: str
    when: float
    decision: Decision


@dataclass(frozen=True, slots=True)
class Standing:
    """The serving version, the candidates beside it, and the last decisions, oldest first.

    ``absent`` says of candidates that were declared and are not there why they are not.
    """

    serving: str
    candidates: tuple[Candidate, ...]
    decisions: tuple[Decided, ...]
    absent: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"serving {self.serving}"]
        for one in self.candidates:
            seen = one.evidence
            lines.append(
                f"candidate {one.version}: share {one.share:g} for {one.seconds:.0f} s, "
                f"{seen.candidate.rows} rows, {seen.candidate.errors} failed, "
                f"p95 {seen.candidate.percentile(0.95) * 1e3:.3g} ms "
                f"(serving {seen.serving.percentile(0.95) * 1e3:.3g} ms), "
                f"{seen.disagreed} of {seen.compared} shadowed rows answered otherwise"
            )
        lines += [f"candidate {told}" for told in self.absent]
        lines += [f"{one.version} {one.decision.action}: {one.decision.reason}" for one in self.decisions]
        return "\n".join(lines)
