"""What `import inprocml` promises: names, laziness, documentation."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import inprocml
import inprocml.protocols
import inprocml.testing
from inprocml import errors

HEAVY = [
    "numpy",
    "pydantic",
    "torch",
    "onnxruntime",
    "onnx",
    "flask",
    "pandas",
    "sklearn",
    "opentelemetry",
    "cachetools",
    "PIL",
    "tokenizers",
    "cryptography",
]


def test_importing_loads_nothing_heavy():
    code = f"import sys, inprocml; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_predicting_loads_no_torch_no_pandas_no_sklearn(store, row):
    code = (
        f"import sys, inprocml; inprocml.Model({str(store)!r}).predict({row!r});"
        "print([m for m in ['torch', 'pandas', 'sklearn', 'skl2onnx', 'onnx', 'flask'] if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_every_promised_name_resolves():
    for name in inprocml.__all__:
        assert getattr(inprocml, name) is not None
    assert dir(inprocml) == sorted(inprocml.__all__) == inprocml.__all__


def test_every_error_class_is_a_top_level_name_and_the_rest_are_at_most_25():
    assert set(errors.__all__) <= set(inprocml.__all__)
    assert len(set(inprocml.__all__) - set(errors.__all__)) <= 25


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = inprocml.nonsense


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_hangs_on_the_tree_and_has_a_status(name):
    kind = getattr(errors, name)
    assert issubclass(kind, errors.InprocmlError)
    assert kind.status_hint in {400, 404, 413, 415, 422, 500, 503, 504}


def modules():
    return [m.name for m in pkgutil.walk_packages(inprocml.__path__, "inprocml.")]


@pytest.mark.parametrize("name", modules())
def test_every_public_name_is_documented(name):
    module = importlib.import_module(name)
    assert len(module.__doc__ or "") > 20, f"{name} has no docstring that says its job"
    for public in getattr(module, "__all__", []):
        thing = getattr(module, public)
        if getattr(thing, "__module__", name) != name or not (
            inspect.isclass(thing) or inspect.isfunction(thing)
        ):
            continue
        assert inspect.getdoc(thing), f"{name}.{public}"


def _named(path):
    thing = inprocml
    for part in path.split(".")[1:]:
        thing = getattr(thing, part)
    return thing


PUBLIC_CLASSES = [
    name
    for name in [*inprocml.__all__, "testing.FakeBackend", "testing.ManualClock", "protocols.Backend"]
    if inspect.isclass(_named(f"inprocml.{name}")) or "." in name
]


@pytest.mark.parametrize("name", PUBLIC_CLASSES)
def test_every_method_a_user_types_is_documented(name):
    kind = _named(f"inprocml.{name}")
    for attribute, member in vars(kind).items():
        if not attribute.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            assert inspect.getdoc(member) or getattr(kind, "_is_protocol", False), f"{name}.{attribute}"
