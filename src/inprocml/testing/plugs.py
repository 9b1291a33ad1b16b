"""Whether a source or an observer keeps its protocol."""

from __future__ import annotations

import threading

import numpy as np

from inprocml.errors import BundleError, UnknownVersion
from inprocml.protocols import Observer, Source
from inprocml.values import BatchRecord, Tensors, Version

__all__ = ["check_observer", "check_source"]


def check_source(source: Source) -> None:
    """Check that ``source``, which holds at least one version, keeps the ``Source`` protocol.

    Names are unique and listing changes nothing; each version listed is fetched under its own name, to a path
    that is there; an unknown name raises ``UnknownVersion`` or ``BundleError``. Raises ``AssertionError``.
    """
    who = type(source).__name__
    assert isinstance(source, Source), f"{who} lacks a member of inprocml.protocols.Source"
    listed = list(source.versions())
    assert listed, f"{who} lists no version; check_source needs at least one"
    for version in listed:
        assert isinstance(version, Version), f"{who}.versions() gave {type(version).__name__}, not Version"
    names = [version.name for version in listed]
    assert len(set(names)) == len(names), f"{who}.versions() names a version twice: {names}"
    for name in names:
        fetched = source.fetch(name)
        assert fetched.name == name, f"{who}.fetch({name!r}) gave version {fetched.name!r}"
        assert fetched.path.exists(), f"{who}.fetch({name!r}) gave a path that is not there: {fetched.path}"
    assert [v.name for v in source.versions()] == names, f"{who} lists other versions once they are fetched"
    for alias, meant in source.aliases().items():
        assert isinstance(meant, Version), f"{who}.aliases() gave {type(meant).__name__} for {alias!r}"
    unknown = "".join(names) + "-unknown"
    try:
        source.fetch(unknown)
    except (BundleError, UnknownVersion):
        return
    except Exception as error:
        raise AssertionError(f"{who}.fetch of an unknown version raised {type(error).__name__}") from error
    raise AssertionError(f"{who}.fetch({unknown!r}) gave a version that it does not list")


def check_observer(observer: Observer, inputs: Tensors, *, patience: float = 5.0) -> None:
    """Check that ``observer`` keeps the ``Observer`` protocol. Raises ``AssertionError``.

    It takes records of inline runs, of batches and of failures, from several threads at once, of which each
    must be done within ``patience`` seconds; it raises nothing and leaves the read-only inputs alone.
    """
    who = type(observer).__name__
    assert isinstance(observer, Observer), f"{who} lacks a member of inprocml.protocols.Observer"
    rows = len(next(iter(inputs.values())))
    frozen = {name: array.copy() for name, array in inputs.items()}
    one = {name: array[:1].copy() for name, array in inputs.items()}
    for array in (*frozen.values(), *one.values()):
        array.flags.writeable = False
    records = (
        BatchRecord(1, 1, 0.001, inline=True, inputs=one),
        BatchRecord(rows, rows, 0.002, inline=False, inputs=frozen),
        BatchRecord(rows, 1, 0.0, inline=False, inputs=frozen, error="BackendFailed"),
    )
    faults: list[Exception] = []

    def watch() -> None:
        try:
            for record in records:
                observer.observe(record)
        except Exception as error:  # noqa: BLE001  carried to the caller's thread
            faults.append(error)

    threads = [threading.Thread(target=watch, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience)
        assert not thread.is_alive(), f"{who}.observe blocks: not done after {patience} s"
    if faults:
        raise AssertionError(f"{who}.observe raised {type(faults[0]).__name__}") from faults[0]
    for name, array in frozen.items():
        assert np.array_equal(array, inputs[name]), f"{who}.observe changed input {name!r}"
