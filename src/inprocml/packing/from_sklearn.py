"""scikit-learn estimators to ONNX, through skl2onnx.

The graph takes the transform's float32 features and gives one plain tensor: no ZipMap, no label. Parity is
measured against ``predict_proba`` (or ``predict``) on the same float32 features.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.bundle import Classes, Output, Regression
from inprocml.errors import PackError
from inprocml.packing import graph
from inprocml.packing.exported import INPUT, OWN_EXPORT, Exported, quietly
from inprocml.packing.sklearn_trees import check_splits, replaced, thresholds_down, votes_before_division
from inprocml.values import Tensors

__all__ = ["export_sklearn", "is_sklearn"]

OPSET = 18
"""ai.onnx opset of exported graphs: new enough for every converter, old enough for ONNX Runtime 1.14."""

_PROBABILITIES = "probabilities"


def is_sklearn(model: object) -> bool:
    """Whether ``model`` is a scikit-learn estimator, told without importing scikit-learn."""
    return any(base.__module__.partition(".")[0] == "sklearn" for base in type(model).__mro__)


def export_sklearn(model: Any, *, width: int, output: Output) -> Exported:
    """Convert a fitted classifier or regressor (or a Pipeline that ends in one).

    Raises ``PackError`` when it is not fitted, of another width, not convertible, or when ``output``
    does not fit it.
    """
    kind = type(model).__name__
    _check_fitted(model, kind, width)
    check_splits(model, kind)
    classifier = hasattr(model, "classes_")
    if classifier:
        _check_classes(model, kind, output)
    else:
        _check_regressor(model, kind, output)
    wanted = _PROBABILITIES if classifier else None
    proto = _convert(model, kind, width, zipmap=classifier)
    names = tuple(value.name for value in proto.graph.output)
    tensor = wanted or names[0]
    if tensor not in names:
        raise PackError(f"skl2onnx gives {kind} the outputs {names}, not {tensor!r}. {OWN_EXPORT}")
    graph.keep_output(proto, tensor)
    votes_before_division(proto)
    graph.strip(proto)

    def trained(tensors: Tensors) -> NDArray[Any]:
        features = tensors[INPUT]
        with quietly():  # estimators fitted on a DataFrame warn of missing names
            return np.asarray(model.predict_proba(features) if classifier else model.predict(features))

    return Exported(
        model=proto.SerializeToString(deterministic=True),
        runtime="onnx",
        inputs={INPUT: INPUT},
        outputs=(tensor,),
        output=tensor,
        trained=trained,
        reference=f"scikit-learn {kind}",
        packages=("scikit-learn", "skl2onnx", "onnx", "onnxruntime"),
        classes=tuple(np.asarray(model.classes_).tolist()) if classifier else None,
    )


def _check_fitted(model: Any, kind: str, width: int) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not hasattr(model, "predict"):
        raise PackError(f"{kind} has no predict. Pass a fitted classifier or regressor as model=.")
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise PackError(
            f"{kind} is not fitted. Call model.fit(transform.fit_transform(train), y) before pack."
        ) from error
    expects = getattr(model, "n_features_in_", width)
    if expects != width:
        raise PackError(
            f"{kind} was fitted on {expects} features, but the transform makes {width}. "
            "Fit the model on transform.fit_transform(train) and pack the same transform."
        )


def _check_classes(model: Any, kind: str, output: Output) -> None:
    if not isinstance(output, Classes):
        raise PackError(f"{kind} is a classifier; say what its classes mean: output=Classes([...]).")
    if not hasattr(model, "predict_proba"):
        raise PackError(
            f"{kind} has no predict_proba, so there are no probabilities to answer with. Wrap it before "
            "fitting: sklearn.calibration.CalibratedClassifierCV(model)."
        )
    if output.scores != "probabilities":
        raise PackError(f"{kind} gives probabilities. Write Classes([...]) without scores='logits'.")
    if isinstance(model.classes_, list):
        raise PackError(f"{kind} predicts {len(model.classes_)} outputs at once. Pack one model per output.")
    classes = np.asarray(model.classes_).tolist()
    if len(classes) != len(output.labels):
        raise PackError(
            f"{kind} was fitted on {len(classes)} classes, but Classes has {len(output.labels)} labels. "
            "Give one label per class, in the order of model.classes_."
        )
    moved = [i for i, label in enumerate(output.labels) if label in classes and classes[i] != label]
    if moved:
        raise PackError(
            f"labels are in another order than model.classes_ (position {moved[0]} differs), so answers "
            "would be swapped. Write Classes(model.classes_.tolist())."
        )


def _check_regressor(model: Any, kind: str, output: Output) -> None:
    from sklearn.base import is_regressor

    if not is_regressor(model):
        raise PackError(f"{kind} is neither a classifier nor a regressor; only these two can be packed.")
    if not isinstance(output, Regression):
        raise PackError(f"{kind} is a regressor and gives one number; write output=Regression().")


def _convert(model: Any, kind: str, width: int, *, zipmap: bool) -> Any:
    try:
        import skl2onnx
        from skl2onnx.common.data_types import FloatTensorType
    except ImportError as error:
        raise PackError(
            "packing a scikit-learn model needs skl2onnx: pip install 'inprocml[sklearn]'"
        ) from error
    try:
        with quietly(), _plain_attributes(), thresholds_down():
            return skl2onnx.to_onnx(
                model,
                initial_types=[(INPUT, FloatTensorType([None, width]))],
                options={id(model): {"zipmap": False}} if zipmap else None,
                target_opset={"": OPSET, "ai.onnx.ml": 3},
            )
    except Exception as error:
        told = str(error).splitlines()[0][:200] if str(error) else ""  # skl2onnx quotes whole forests
        raise PackError(
            f"skl2onnx cannot convert {kind} ({type(error).__name__}: {told}). "
            f"Use an estimator from its page 'Supported scikit-learn Models'. {OWN_EXPORT}"
        ) from error


@contextlib.contextmanager
def _plain_attributes() -> Iterator[None]:
    """Let skl2onnx hand numpy integers and booleans to onnx for as long as one conversion takes.

    HistGradientBoosting* keeps uint32 and bool_ in its trees; onnx >= 1.18 accepts neither as a node's
    attribute (https://github.com/onnx/sklearn-onnx/issues). The name is replaced in skl2onnx alone,
    under a lock, by a function that accepts all that the original does: another thread that
    converts meanwhile is only better off.
    """
    from skl2onnx.common import _container

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def make_node(op_type: str, inputs: Any, outputs: Any, **members: Any) -> Any:
            plain = {key: _plain(value) for key, value in members.items()}
            return original(op_type, inputs, outputs, **plain)

        return make_node

    with replaced(_container, "make_node", around):
        yield


def _plain(value: Any) -> Any:
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, bool | int | np.integer | np.bool_) for v in value)
    ):
        return [int(v) for v in value]
    return int(value) if isinstance(value, np.integer | np.bool_) else value
