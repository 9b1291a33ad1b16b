"""Many files into one array: one after the other, so that memory holds the result and one file's pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from inprocml.schema import Canonical, Refused
from inprocml.transform.rowcode import RowCode
from inprocml.transform.step import Arrays, TensorSpec

__all__ = ["emit_tensors", "file_tensors", "place_each"]


def file_tensors(names: Sequence[str], shape: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    """Return the tensors of an entry that reads files: the content, and a number about it if declared."""
    name, *told = names
    return (TensorSpec(name, shape, "float32"), *(TensorSpec(number, (), "int64") for number in told))


def place_each(values: Iterable[Canonical], place: Callable[[int, Canonical], None]) -> None:
    """Call ``place`` with each row's position and value; missing values are left as they are.

    Raises one ``Refused`` that says where the first bad one is, and how many there are.
    """
    first: Refused | None = None
    for row, value in enumerate(values):
        if value is None:
            continue
        try:
            place(row, value)
        except Refused as refused:
            if first is None:
                first = Refused(refused.reason, row=row, count=0)
            first.count += 1
    if first is not None:
        raise first


def emit_tensors(
    code: RowCode, raw: str, judge: Callable[[object], Canonical], one: Callable[[list[Canonical]], Arrays]
) -> None:
    """Let generated code judge the one raw value and make its tensors."""
    code.tensor(f"{code.bind(lambda value: one([judge(value)]))}({raw})")
