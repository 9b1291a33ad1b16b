"""Whose labels they are: predictions of a version that was swapped away still get theirs.

Every version of every model in a process has ids of its own prefix; a label is led to the one that answered.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from collections import OrderedDict

from inprocml.monitoring.watching.labelled import Labelled

__all__ = ["forget", "keep", "owner", "retired"]

_MOST_RETIRED = 16  # versions that are gone and still get labels; some 2 MB each


class _Known:
    def __init__(self) -> None:
        # weak: of a model that its host drops, nothing stays
        self.serving: weakref.WeakValueDictionary[str, Labelled] = weakref.WeakValueDictionary()
        self.retired: OrderedDict[str, Labelled] = OrderedDict()


_known: dict[int, _Known] = {}  # by process id
os.register_at_fork(after_in_child=_known.clear)  # a child may get the number of an ancestor


def keep(prefix: str, labelled: Labelled) -> None:
    """Lead labels of ids that begin with ``prefix`` to ``labelled``, from now on."""
    _known.setdefault(os.getpid(), _Known()).serving[prefix] = labelled


def forget(prefix: str) -> None:
    """The version is gone; of those that are, the last few still get labels."""
    known = _known.setdefault(os.getpid(), _Known())
    labelled = known.serving.pop(prefix, None)
    if labelled is not None:
        known.retired[prefix] = labelled
        while len(known.retired) > _MOST_RETIRED:
            known.retired.popitem(last=False)[1].close()


def retired(model: str) -> list[Labelled]:
    """Return the versions of a model that are gone in this process and still get labels."""
    known = _known.get(os.getpid())
    return [] if known is None else [each for each in list(known.retired.values()) if each.model == model]


def owner(prediction_id: object) -> Labelled | None:
    """Return whose prediction this is, if a version of any model of this process made it."""
    if not isinstance(prediction_id, str):
        return None
    known = _known.get(os.getpid())
    prefix = prediction_id.partition("-")[0]
    return None if known is None else known.serving.get(prefix) or known.retired.get(prefix)


@atexit.register
def _leave() -> None:
    """Close what still got labels: their files are of no use when the process has ended."""
    known = _known.get(os.getpid())
    for each in [] if known is None else known.retired.values():
        with contextlib.suppress(Exception):
            each.close()
