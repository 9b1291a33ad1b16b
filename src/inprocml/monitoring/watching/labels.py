"""Whose labels they are: predictions of a version that was swapped away still get theirs.

Every version of every model in a process has ids of its own prefix; a label is led to the one that answered.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict

from inprocml.monitoring.quality.core import Quality

__all__ = ["forget", "keep", "owner"]

_MOST_RETIRED = 16  # versions that are gone and still get labels; some 2 MB each


class _Known:
    def __init__(self) -> None:
        # weak: of a model that its host drops, nothing stays
        self.serving: weakref.WeakValueDictionary[str, Quality] = weakref.WeakValueDictionary()
        self.retired: OrderedDict[str, Quality] = OrderedDict()


_known: dict[int, _Known] = {}  # by process id
os.register_at_fork(after_in_child=_known.clear)  # a child may get the number of an ancestor


def keep(prefix: str, quality: Quality) -> None:
    """Lead labels of ids that begin with ``prefix`` to ``quality``, from now on."""
    _known.setdefault(os.getpid(), _Known()).serving[prefix] = quality


def forget(prefix: str) -> None:
    """The version is gone; of those that are, the last few still get labels."""
    known = _known.setdefault(os.getpid(), _Known())
    quality = known.serving.pop(prefix, None)
    if quality is not None:
        known.retired[prefix] = quality
        while len(known.retired) > _MOST_RETIRED:
            known.retired.popitem(last=False)


def owner(prediction_id: object) -> Quality | None:
    """Return whose prediction this is, if a version of this process made it."""
    if not isinstance(prediction_id, str):
        return None
    known = _known.get(os.getpid())
    prefix = prediction_id.partition("-")[0]
    return None if known is None else known.serving.get(prefix) or known.retired.get(prefix)
