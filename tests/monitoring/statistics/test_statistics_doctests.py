"""The examples in the docstrings of the room are true."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

from inprocml.monitoring import statistics

MODULES = [found.name for found in pkgutil.iter_modules(statistics.__path__, f"{statistics.__name__}.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", statistics.__all__)
def test_every_statistic_has_an_example(name):
    thing = getattr(statistics, name)
    if inspect.isfunction(thing):
        assert ">>>" in inspect.getdoc(thing)
