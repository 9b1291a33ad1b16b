"""What a model gives on this machine, measured, simulated, advised; and what the process does to it.

``bench`` does all of it for one bundle; ``simulate`` drives the real queue in virtual time; ``diagnose`` says
what machine and process do to serving.
"""

from __future__ import annotations

from inprocml.sizing.bench import Bench, Point, bench
from inprocml.sizing.doctor import Diagnosis, diagnose
from inprocml.sizing.host import Finding
from inprocml.sizing.interpreter import Beside, OwnThreads, own_threads
from inprocml.sizing.measure import Measured, measure
from inprocml.sizing.recommend import Advice, Objective, recommend
from inprocml.sizing.settings import Seen, Settings, Simulated
from inprocml.sizing.simulate import simulate
from inprocml.sizing.subject import BundleSubject, Subject
from inprocml.sizing.timing import Overhead, Timing

__all__ = [
    "Advice",
    "Bench",
    "Beside",
    "BundleSubject",
    "Diagnosis",
    "Finding",
    "Measured",
    "Objective",
    "Overhead",
    "OwnThreads",
    "Point",
    "Seen",
    "Settings",
    "Simulated",
    "Subject",
    "Timing",
    "bench",
    "diagnose",
    "measure",
    "own_threads",
    "recommend",
    "simulate",
]
