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


PUBLIC = {getattr(statistics, name) for name in statistics.__all__}


@pytest.mark.parametrize("name", sorted({thing.__module__ for thing in PUBLIC if inspect.isfunction(thing)}))
def test_every_file_with_a_statistic_has_an_example(name):
    found = doctest.DocTestFinder().find(importlib.import_module(name))
    assert any(test.examples for test in found)
