"""A faster arithmetic serves only if it answers as the exact one does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inprocml.backends import open_backend
from inprocml.backends.precision import Choice, Variant, choose
from inprocml.errors import ParityError, Unsupported
from inprocml.testing import FakeBackend

ROWS = {"x": np.array([[1.0], [2.0], [4.0]], np.float32)}
NEAR = {"absolute": 0.01, "relative": 0.0}


class Shop:
    """Opens fakes that are off by what is said, and remembers them."""

    def __init__(self, **errors):
        self.errors, self.opened = errors, []

    def __call__(self, variant):
        error = self.errors.get(variant.precision, 0.0)
        if isinstance(error, Exception):
            raise error
        backend = FakeBackend(lambda inputs: {"y": inputs["x"] + np.asarray(error, np.float32)})
        self.opened.append((variant, backend))
        return backend

    def left_open(self):
        return [variant for variant, backend in self.opened if not backend.closed]


def test_fp32_is_opened_and_nothing_else():
    shop = Shop()
    assert choose("fp32", shop, ROWS, **NEAR).verdicts == ()
    assert [variant for variant, _ in shop.opened] == [Variant()]


def test_auto_takes_the_fastest_within_the_tolerance_and_closes_the_others():
    shop = Shop(bf16=0.5, fp16=0.005)
    choice = choose("auto", shop, ROWS, **NEAR)
    assert choice.variant == Variant("fp16")
    assert [verdict.variant.precision for verdict in choice.verdicts] == ["bf16", "fp16"]
    assert choice.verdicts[0].distance == pytest.approx(0.5)
    assert "up to 0.5 from fp32; allowed are 0.01" in choice.verdicts[0].refused
    assert choice.verdicts[1].refused == ""
    assert shop.left_open() == [Variant("fp16")]


def test_auto_falls_back_to_fp32_and_says_why(caplog):
    shop = Shop(bf16=1.0, fp16=np.nan, tf32=Unsupported("no such unit"))
    choice = choose("auto", shop, ROWS, **NEAR)
    assert choice.variant == Variant()
    assert choice.backend.run(ROWS)["y"].tolist() == ROWS["x"].tolist()
    assert [verdict.distance for verdict in choice.verdicts] == [1.0, np.inf, np.inf]
    assert "precision tf32 is refused: it cannot be computed so (Unsupported: no such unit)" in caplog.text
    assert shop.left_open() == [Variant()]


def test_a_precision_by_its_name_that_is_refused_raises_with_what_was_measured():
    shop = Shop(bf16=[[0.0], [0.02], [0.05]])
    with pytest.raises(ParityError, match="'bf16' is refused: row 2 and 1 more of 3") as caught:
        choose("bf16", shop, ROWS, **NEAR)
    assert caught.value.rows == (2, 1)
    assert caught.value.distance == pytest.approx(0.05, abs=1e-6)
    assert caught.value.limit == 0.01
    assert shop.left_open() == []


def test_pictures_are_tried_channels_last_first():
    shop = Shop(bf16=1.0)
    choice = choose("auto", shop, {"x": np.zeros((2, 3, 4, 4), np.float32)}, **NEAR)
    assert [str(verdict.variant) for verdict in choice.verdicts] == [
        "bf16, channels last",
        "bf16",
        "fp16, channels last",
    ]


def test_a_fault_of_ours_closes_what_was_opened():
    shop = Shop()

    def breaks(variant):
        backend = shop(variant)
        if variant.precision == "tf32":
            backend.fault = lambda inputs: KeyError("mine")
        return backend

    with pytest.raises(KeyError, match="mine"):
        choose("tf32", breaks, ROWS, **NEAR)
    assert shop.left_open() == []


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision is 'int4'; use one of auto, fp32, tf32, bf16, fp16"):
        choose("int4", Shop(), ROWS, **NEAR)
    with pytest.raises(ValueError, match="precision"):
        open_backend("onnx", b"", precision="auto")


@given(
    off=st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3),
    absolute=st.floats(0, 0.5),
    relative=st.floats(0, 0.2),
)
def test_what_is_chosen_is_within_the_tolerance(off, absolute, relative):
    errors = np.array(off, np.float32)[:, None]
    choice: Choice = choose("auto", Shop(bf16=errors), ROWS, absolute=absolute, relative=relative)
    given = (ROWS["x"] + errors).astype(np.float64)
    exact = ROWS["x"].astype(np.float64)
    near = np.abs(given - exact) <= absolute + relative * np.abs(exact)
    assert (choice.variant == Variant("bf16")) == bool(near.all())
