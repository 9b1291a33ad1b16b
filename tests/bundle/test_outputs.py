"""Decoders: labels, probabilities, and everything that is no answer."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inprocml import BackendFailed, Classes, PackError, Regression
from inprocml.bundle.outputs import from_entry

LOGITS = st.floats(allow_nan=False, allow_infinity=False, width=32)


def decode(output, scores, i=0):
    return output.named("s").decode({"s": np.asarray(scores, dtype=np.float32)}, i)


def test_the_most_probable_label_with_all_probabilities():
    value, probability, probabilities = decode(
        Classes(["a", "b", "c"]), [[0.5, 0.25, 0.25], [0, 0.25, 0.75]], 1
    )
    assert (value, probability) == ("c", 0.75)
    assert probabilities == {"a": 0.0, "b": 0.25, "c": 0.75}


def test_ties_go_to_the_first_label():
    assert decode(Classes(["a", "b"]), [[0.5, 0.5]])[0] == "a"


@pytest.mark.parametrize("scores", [[[0.25]], [0.25]])
def test_one_column_is_the_score_of_the_second_label(scores):
    assert decode(Classes(["no", "yes"]), scores) == ("no", 0.75, {"no": 0.75, "yes": 0.25})


@pytest.mark.parametrize("labels", [(False, True), (0, 1), ("0", "1")])
def test_labels_keep_their_type(labels):
    value, _, probabilities = decode(Classes(labels), [[0.25, 0.75]])
    assert value == labels[1]
    assert [type(label) for label in probabilities] == [type(labels[0])] * 2


def test_numpy_labels_become_plain():
    assert [type(x) for x in Classes(np.array(["a", "b"])).labels] == [str, str]
    assert [type(x) for x in Classes(np.array([True, False])).labels] == [bool, bool]


@given(st.lists(LOGITS, min_size=2, max_size=10))
def test_softmax_agrees_with_the_reference_and_sums_to_one(logits):
    output = Classes(list(range(len(logits))), scores="logits")
    _, probability, probabilities = decode(output, [logits])
    expected = output.probabilities(np.array([logits], dtype=np.float32))[0]
    assert list(probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-12)
    assert math.fsum(probabilities.values()) == pytest.approx(1)
    assert probability == max(probabilities.values())


@given(LOGITS)
def test_sigmoid_agrees_with_the_reference_and_never_overflows(logit):
    output = Classes(["no", "yes"], scores="logits")
    _, _, probabilities = decode(output, [[logit]])
    expected = output.probabilities(np.array([[logit]], dtype=np.float32))[0]
    assert list(probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-12)


@pytest.mark.parametrize("scores", ["probabilities", "logits"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("columns", [1, 2])
def test_scores_that_are_not_finite_fail_that_row_only(scores, bad, columns):
    output = Classes(["a", "b"], scores=scores)
    batch = np.array([[bad, 0.5], [0.5, 0.5]])[:, :columns]
    with pytest.raises(BackendFailed, match="not finite"):
        decode(output, batch)
    assert decode(output, batch, 1)[1] >= 0.5


@pytest.mark.parametrize("columns", [3, 4])
def test_a_wrong_number_of_scores_says_both_numbers(columns):
    with pytest.raises(BackendFailed, match=f"{columns} scores for 2 labels"):
        decode(Classes(["a", "b"]), [[0.1] * columns])


def test_a_regression_gives_its_number():
    assert decode(Regression(), [[1.5], [2.5]], 1) == (2.5, None, None)
    assert decode(Regression(), [1.5, 2.5], 1) == (2.5, None, None)


@pytest.mark.parametrize("scores", [[[np.nan]], [np.inf], [[1.0, 2.0]]])
def test_a_regression_refuses_what_is_no_number(scores):
    with pytest.raises(BackendFailed, match="one finite number"):
        decode(Regression(), scores)


NO_SCORES = {
    "integers": np.array([[0, 1]]),
    "integers, one axis": np.array([1, 0]),
    "booleans": np.array([[True, False]]),
    "strings": np.array([["a", "b"]]),
    "strings, one axis": np.array(["a", "b"]),
    "objects": np.array([[0.5, None]], dtype=object),
    "objects, one axis": np.array([0.5, {}], dtype=object),
    "objects that overflow": np.array([[0.5, 10**400]], dtype=object),
    "complex numbers": np.array([[0.5j, 0.5]]),
    "three axes": np.array([[[0.5], [0.5]]]),
    "no columns": np.empty((1, 0)),
    "no rows": np.empty((0, 2)),
}


@pytest.mark.parametrize("kind", list(NO_SCORES))
@pytest.mark.parametrize(
    "output", [Classes(["a", "b"]), Classes(["a", "b"], scores="logits"), Regression()], ids=str
)
def test_an_answer_of_another_type_is_a_failed_backend(output, kind):
    with pytest.raises(BackendFailed, match="pack the model anew"):
        output.named("s").decode({"s": NO_SCORES[kind]}, 0)


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        (["a"], ValueError, "at least 2"),
        ([], ValueError, "at least 2"),
        (["a", "a"], ValueError, "differ"),
        ([True, 1], ValueError, "True == 1"),
        ("ab", TypeError, "not one string"),
        ([1.5, 2.5], TypeError, "float"),
        ([None, "a"], TypeError, "NoneType"),
    ],
)
def test_labels_that_cannot_be(labels, error, match):
    with pytest.raises(error, match=match):
        Classes(labels)


def test_an_unknown_meaning_of_scores():
    with pytest.raises(ValueError, match="'probabilities' or 'logits'"):
        Classes(["a", "b"], scores="odds")


def test_decoders_are_frozen_and_compare_by_value():
    assert Classes(["a", "b"]) == Classes(("a", "b"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Regression().tensor = "x"


def check(output, scores, dtype=np.float32):
    output.check(np.asarray(scores, dtype=dtype))


def test_good_samples_pass():
    check(Classes(["a", "b"]), [[0.25, 0.75], [1.0, 0.0004]])
    check(Classes(["a", "b"]), [0.25, 0.5])
    check(Classes(["a", "b"], scores="logits"), [[-7.0, 9.0]])
    check(Regression(), [[1e9], [-1.0]])


@pytest.mark.parametrize(
    ("output", "scores", "match"),
    [
        (Classes(["a", "b"]), [[0.1, 0.2, 0.7]], r"gives 3 scores per row, but Classes has 2 labels"),
        (Classes(["a", "b", "c"]), [[0.7]], r"gives 1 score per row, but Classes has 3 labels"),
        (Classes(["a", "b"]), [[-1.5, 2.5]], r"between -1\.5 and 2\.5.*scores='logits'"),
        (Classes(["a", "b"]), [[0.9, 0.9]], r"sum of 1 by up to 0\.8.*scores='logits'"),
        (Classes(["a", "b"]), [[0.5, 0.5], [np.nan, 0.5]], r"1 of 2 .* first row 1"),
        (Classes(["a", "b"]), np.zeros((2, 2, 2)), r"\[rows, 2, 2\]"),
        (Regression(), [[1.0, 2.0]], r"gives 2 numbers per row"),
        (Regression(), [[np.inf]], r"NaN or infinity"),
    ],
)
def test_samples_that_cannot_be_are_told_at_packing(output, scores, match):
    with pytest.raises(PackError, match=match):
        check(output, scores)


@pytest.mark.parametrize("output", [Regression(), Classes(["a", "b"])], ids=str)
@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.str_, object])
def test_labels_instead_of_scores_are_told_at_packing(output, dtype):
    with pytest.raises(PackError, match=rf"{np.array([1, 2], dtype).dtype}, not floating-point.*tensor="):
        check(output, [1, 2], dtype=dtype)


@pytest.mark.parametrize(
    "output", [Classes([True, False], scores="logits"), Classes(["a", "b"]), Regression()]
)
def test_the_manifest_entry_gives_the_same_decoder(output):
    assert from_entry(output.entry(), "t") == output.named("t")


@pytest.mark.parametrize("labels", [{"a", "b"}, frozenset({1, 2}), {"a": 0, "b": 1}])
def test_labels_without_an_order_are_refused(labels):
    with pytest.raises(TypeError, match="list"):
        Classes(labels)


def test_logits_that_went_through_softmax_are_refused():
    random = np.random.default_rng(0)
    scores = random.dirichlet([1.0, 2.0, 3.0], 20).astype(np.float32)
    with pytest.raises(PackError, match="softmax"):
        Classes(["a", "b", "c"], scores="logits").check(scores)
    Classes(["a", "b", "c"], scores="logits").check(scores * 2)
    Classes(["a", "b", "c"], scores="logits").check(scores[:2])
