"""What this machine and process will do to serving, in words: ``inprocml doctor``, or from inside an app."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from textwrap import fill
from typing import Any

import numpy as np

from inprocml.batching import Runner
from inprocml.drawing import aligned
from inprocml.sizing.host import Finding, look, patched
from inprocml.sizing.interpreter import BUSY, Beside, measure_busy_threads
from inprocml.sizing.settings import Settings
from inprocml.sizing.subject import Subject, asking
from inprocml.values import Tensors

__all__ = ["Diagnosis", "diagnose"]

SHORTER = 0.0005  # seconds: a switch interval to compare with
_WIDE = 100  # letters of a line
_SLOWER = 3.0  # times a quiet round trip, from which on busy threads are worth a word
_NUMBERS = 100_000  # that the stand-in model works on: some tenths of a millisecond


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found and measured; ``str`` is the report for a terminal.

    ``beside`` are round trips of ``model`` beside busy threads; empty where that was not measured.
    """

    model: str
    findings: tuple[Finding, ...]
    beside: tuple[Beside, ...]
    words: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing that was found is broken."""
        return all(finding.verdict != "bad" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it; seconds."""
        return {
            "sound": self.sound,
            "model": self.model,
            "findings": [asdict(finding) for finding in self.findings],
            "busy_threads": [asdict(one) for one in self.beside],
            "words": list(self.words),
        }

    def __str__(self) -> str:
        rows = [(one.what, "" if one.verdict == "ok" else one.verdict, one.found) for one in self.findings]
        parts = [_table(rows)]
        parts += [f"{one.what}: {one.advice}" for one in self.findings if one.advice]
        if self.beside:
            head = ("busy threads", "switch interval ms", "p50 ms", "p90 ms", "round trips")
            times = [
                (str(b.busy), f"{b.interval * 1e3:g}", _ms(b.p50), _ms(b.p90), str(b.calls))
                for b in self.beside
            ]
            parts.append(
                f"\nround trips of {self.model} beside threads of pure Python\n{aligned([head, *times])}"
            )
        return "\n".join([*parts, *(fill(line, _WIDE, subsequent_indent="  ") for line in self.words)])


def diagnose(
    subject: Subject | None = None,
    *,
    seconds: float = 0.5,
    busy: Sequence[int] = BUSY,
    intervals: Sequence[float] | None = None,
) -> Diagnosis:
    """Look at machine and process, and measure ``subject`` (default: a small stand-in) beside busy threads.

    ``seconds`` for each number of ``busy`` threads at each switch interval; ``seconds=0`` measures nothing.
    ``intervals``: as in ``measure_busy_threads``; by default the process's own, which is left alone. An app
    that answers requests meanwhile slows down: the busy threads are real.
    """
    findings = look()
    by = patched()
    if not seconds or by is not None:
        words = (
            ()
            if by is None
            else (f"Busy threads were not measured: under {by} they would stop the process.",)
        )
        return Diagnosis("", findings, (), words)
    model: Subject = subject or _Small()
    runner = model.runner(Settings())
    try:
        beside = measure_busy_threads(asking(model, runner), busy=busy, intervals=intervals, seconds=seconds)
    finally:
        runner.close(10.0)
    return Diagnosis(model.name, findings, beside, tuple(_words(beside, findings)))


def _words(beside: Sequence[Beside], findings: Sequence[Finding]) -> Iterator[str]:
    """Say what the round trips mean, and what can be done."""
    first = beside[0].interval if beside else 0.0
    usual = {one.busy: one for one in beside if one.interval == first}
    quiet, most = usual.get(0), usual.get(max(usual, default=0))
    if quiet is None or most is None or not quiet.calls or not most.calls or most is quiet:
        return
    factor = max(most.p50 / quiet.p50, most.p90 / quiet.p90) if quiet.p50 else 0.0
    if factor < _SLOWER:
        yield f"{most.busy} busy threads hardly matter here: {factor:.1f} times the round trip."
    else:
        yield (
            f"{most.busy} threads of pure Python take a round trip from {_ms(quiet.p50)} ms (p90 "
            f"{_ms(quiet.p90)}) to {_ms(most.p50)} ms (p90 {_ms(most.p90)}): each time it gives up the "
            f"interpreter, it may wait {first * 1e3:g} ms, the switch interval, for each of them."
        )
        yield from _remedies(most, beside)
    if any(one.what == "load" and one.verdict != "ok" for one in findings):
        yield "The machine was busy meanwhile: repeat this on a quiet one before acting on small differences."


def _remedies(most: Beside, beside: Sequence[Beside]) -> Iterator[str]:
    shorter = [one for one in beside if one.busy == most.busy and one.interval < most.interval and one.calls]
    yield "Remedy: move such work into another process (a task queue, a worker, multiprocessing)."
    for one in shorter:
        yield (
            f"Or sys.setswitchinterval({one.interval:g}) at start: here {_ms(one.p50)} ms (p90 "
            f"{_ms(one.p90)}) instead of {_ms(most.p50)} ({_ms(most.p90)}). It holds for the whole "
            "process and slows busy threads a little, so inprocml never sets it; the application may."
        )


class _Exponentials:
    """Like a model, it gives up the interpreter while it computes; on one thread, as BLAS does not."""

    name, device = "numpy", "cpu"

    def __init__(self) -> None:
        self._numbers = np.linspace(0, 1, _NUMBERS, dtype=np.float32)

    def run(self, inputs: Tensors) -> Tensors:
        return {"output": inputs["features"] + np.exp(self._numbers).mean()}

    def close(self) -> None:
        """Nothing is held."""


class _Small:
    """A stand-in for a bundle."""

    name = "a small stand-in model"

    def __init__(self) -> None:
        self.backend = _Exponentials()

    def batch(self, rows: int) -> Tensors:
        return {"features": np.ones((rows, 1), np.float32)}

    def encode(self, number: int) -> Tensors:
        return {"features": np.full((1, 1), number % 7, np.float32)}

    def decode(self, outputs: Tensors) -> object:
        return float(outputs["output"][0, 0])

    def runner(self, settings: Settings) -> Runner:
        return Runner(self.backend, name="doctor", **settings.to_dict())


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(2)]
    return "\n".join(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}".rstrip() for row in rows)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}"
