"""Whether a source, an observer or a store of predictions keeps its protocol."""

from __future__ import annotations

import secrets
import threading

import numpy as np

from inprocml.errors import BundleError, UnknownVersion
from inprocml.protocols import Observer, PredictionStore, Source
from inprocml.values import BatchRecord, Remembered, Tensors, Version

__all__ = ["check_observer", "check_prediction_store", "check_source"]


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


def check_prediction_store(store: PredictionStore) -> None:
    """Check that ``store`` keeps the ``PredictionStore`` protocol. Raises ``AssertionError``.

    Predictions come back as they were, one caller in all is the first to join, an id that is kept stays as it
    is, and what is old is forgotten. Ids are drawn anew, and made in the year 1970: the store may be in use.
    """
    who = type(store).__name__
    assert isinstance(store, PredictionStore), f"{who} lacks a member of inprocml.protocols.PredictionStore"
    prefix = f"{secrets.token_hex(8)}.{secrets.token_hex(31)}"  # no id is longer
    old = Remembered(f"{prefix}-1", 10.0, 0.25, 1, 0xFFFFFFFF)
    new = Remembered(f"{prefix}-2", 20.0, 1e30, 31, 0)
    store.remember([])
    store.remember([old, new])
    assert store.join(f"{prefix}-3", 30.0) is None, f"{who}.join found an id that was never remembered"
    found = store.join(old.id, 30.0)
    assert found == old, f"{who}.join gave {found} for {old}"
    store.remember([old._replace(score=0.75)])
    found = store.join(old.id, 31.0)
    assert found == old._replace(joined=True), f"{who}.join gave {found} to the second who asked"
    _one_is_first(store, new)
    assert store.sweep(15.0) >= 1, f"{who}.sweep forgot nothing"
    assert store.join(old.id, 32.0) is None, f"{who}.sweep left what is older"
    assert store.join(new.id, 32.0) is not None, f"{who}.sweep took what is younger"
    while store.sweep(25.0):
        pass


def _one_is_first(store: PredictionStore, prediction: Remembered) -> None:
    said: list[Remembered | None] = []
    threads = [
        threading.Thread(target=lambda: said.append(store.join(prediction.id, 30.0)), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    firsts = [each for each in said if each is not None and not each.joined]
    who = type(store).__name__
    assert len(said) == 4, f"{who}.join raised, or blocks, when four threads ask at once"
    assert firsts == [prediction], f"{who}.join told {len(firsts)} of four threads that they are the first"
