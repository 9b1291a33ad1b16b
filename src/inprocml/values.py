"""The plain values that flow through the house, frozen, in flow order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Features: TypeAlias = NDArray[np.float32]
    """Shape ``(rows, width)``, float32, C-contiguous."""

    Tensors: TypeAlias = Mapping[str, NDArray[Any]]
    """Named arrays that share their first axis, the rows of a batch."""
else:  # numpy is not imported for the sake of a name
    Features = Tensors = Any

__all__ = [
    "FEATURES",
    "BatchRecord",
    "Columns",
    "Features",
    "Medium",
    "Prediction",
    "Readiness",
    "Refusal",
    "Remembered",
    "Row",
    "Table",
    "Tensors",
    "Version",
    "Written",
    "joined",
    "repeated",
]

FEATURES = "features"
"""The tensor that the tabular entries of a transform share."""

Row: TypeAlias = Mapping[str, object]
"""One request: field name -> value, as JSON or Python gives it."""

Table: TypeAlias = Any
"""Many rows: a frame (pandas, polars, pyarrow), a mapping of columns (name -> sequence or 1-d array), or a
list of rows."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version in a store: its name and where its bundle lies.

    ``mark`` differs when the name is given to another bundle: a version deleted and packed again is new.
    ``digest``, where it is known, is what the bundle's must be: an alias means these bytes and no others.
    ``own_name`` says that the name is the source's own (a registry's number), not the one in the manifest.
    """

    name: str
    path: Path
    mark: str = ""
    digest: str = ""
    own_name: bool = False


@dataclass(frozen=True, slots=True)
class Medium:
    """What a tensor of the transform shows of a field: a picture, sound, or the tokens of a text.

    ``tensor`` holds it; ``told`` is the tensor that tells how much of it is the row's own and not padding:
    the mask of tokens, the frames of sound (``None``: all of it). ``unknown`` is the id of tokens that the
    vocabulary lacks, ``None`` where there is no such id. ``seconds`` tells how long a checked value of sound
    lasts.
    """

    kind: Literal["picture", "sound", "tokens"]
    field: str
    tensor: str
    told: str | None = None
    unknown: int | None = None
    seconds: Callable[[Any], float] | None = None


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """What an observer learns of one executed batch.

    Of a worker's batch it learns after the callers have their answers; of an inline run on the caller's own
    thread, when the device is free again and before ``run`` returns.

    ``rows`` rows from ``requests`` callers ran for ``seconds``; ``inline`` says that the only caller
    ran it on its own thread. ``error`` is the exception's class name when the batch failed.
    ``inputs`` are the features that ran. ``marks`` are what the runner was told to note of its callers, of
    those that had something to note, such as the span that each was in. ``number`` is the batch's own in this
    process, 0 where nothing was to be noted.
    """

    rows: int
    requests: int
    seconds: float
    inline: bool
    inputs: Tensors
    error: str | None = None
    marks: tuple[Any, ...] = ()
    number: int = 0


class Readiness(Enum):
    """Whether a model can answer in this process; true for ``READY`` and ``STALE``.

    ``STALE``: it answers, but not with the version that it should by now: that one was refused, or its source
    cannot be read. ``FAILED``: the last attempt at a first load failed; ``LOADING``: there was none yet, or
    one is under way.
    """

    LOADING = "loading"
    READY = "ready"
    STALE = "stale"
    FAILED = "failed"

    def __bool__(self) -> bool:
        return self in {Readiness.READY, Readiness.STALE}


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer.

    ``value`` is the label of the most probable class, or the number a regression gives;
    ``probability`` belongs to ``value`` and ``probabilities`` to every class (``None`` for a
    regression): a dict of this prediction's own. ``version`` names the bundle version that answered; ``id``
    names this very prediction, unique across processes, so that the truth can be joined to it later.
    """

    value: Any
    probability: float | None
    probabilities: Mapping[Any, float] | None
    version: str
    id: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """What stands in an answer's place for a row that was refused: ``predict_many(..., errors="keep")``.

    ``issues`` maps field to reason, as ``InvalidRow.issues`` does; ``row`` is the zero-based position in all
    that was given; ``version`` names the version that refused it. It has the other members of a
    ``Prediction``, all ``None``, so that a column of ``answer.value`` needs no special case.
    """

    issues: Mapping[str, str]
    row: int
    version: str
    value: None = None
    probability: None = None
    probabilities: None = None
    id: None = None


class Remembered(NamedTuple):
    """What is kept of a prediction until the truth comes.

    ``at`` in seconds since 1970; ``score`` is what was answered, a number or a probability; ``choice`` is the
    place of the class answered, ``slices`` a number that says which declared slices the row is in (32 bits).
    ``joined``: a label came for it before.
    """

    id: str
    at: float
    score: float
    choice: int
    slices: int
    joined: bool = False


class Columns(NamedTuple):
    """Many answers at once: the columns of ``Prediction``, one element per row.

    ``labels`` is ``None`` for a regression, and ``values`` are then its numbers, float64; else ``values``
    are positions in ``labels``, and ``probabilities``, float64 ``(rows, labels)``, has one column per label.
    """

    labels: tuple[Any, ...] | None
    values: NDArray[Any]
    probabilities: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class Written:
    """What ``predict_many(..., to=path)`` did.

    ``rows`` are in the file ``path``, ``refused`` of them refusals; ``version`` answered all of them.
    ``seconds`` is what this call took for the ``answered`` rows that no earlier call had answered.
    """

    path: Path
    rows: int
    refused: int
    version: str
    answered: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """``answered`` rows over ``seconds``; 0.0 where there was nothing to do."""
        return self.answered / self.seconds if self.answered and self.seconds > 0 else 0.0


def joined(parts: Sequence[Tensors]) -> Tensors:
    """Return the rows of several batches, one at least, as one."""
    import numpy as np  # here: what imports the values is not to pay for numpy

    return {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}


def repeated(tensors: Tensors, rows: int) -> Tensors:
    """Return the tensors with so many rows: theirs, from the first on, again and again."""
    import numpy as np  # here, as above

    return {name: np.resize(array, (rows, *array.shape[1:])) for name, array in tensors.items()}
