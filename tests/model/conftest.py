"""What the tests of candidates share: a model that serves version 1 beside version 2."""

from __future__ import annotations

import pytest

from inprocml import Model


@pytest.fixture
def make(store, add_version):
    """A function that declares a model over versions 1 and 2 that serves 1, and closes it after the test."""
    add_version()
    made = []

    def make(**options):
        model = Model(store, **{"version": "1", "poll_interval": 0.05} | options)
        made.append(model)
        return model

    yield make
    for model in made:
        model.close()
