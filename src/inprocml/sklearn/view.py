"""A declared transform as a scikit-learn transformer: for Pipeline, cross-validation and grid search.

The arithmetic is the transform's own, so the features here are, bit for bit, those of the web process. What
is fitted is ``transform_``, a plain ``Transform``, ready to be packed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from inprocml.errors import TransformError
from inprocml.transform import Numeric, Transform
from inprocml.transform.kinds import fields_read

__all__ = ["DeclaredTransformer", "as_sklearn"]


def as_sklearn(transform: Transform) -> DeclaredTransformer:
    """Return a scikit-learn transformer with the declaration of ``transform``, fitted if that is fitted.

    The two share nothing: what is fitted later in one is not seen by the other.
    """
    view = DeclaredTransformer(dict(transform.fields))
    if transform.fitted:
        view.transform_ = copy.copy(transform)
        view.feature_names_in_ = _names(transform)
        view.n_features_in_ = len(view.feature_names_in_)
    return view


class DeclaredTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Turns a table into features, float32 of shape ``(rows, width)``, inside scikit-learn.

    ``fields`` is what ``Transform`` takes. Tables are then read by the names in them (DataFrame, list of
    rows, mapping of columns; order and further columns are no matter), and arrays by position: in the order
    of the table that was fitted on, or of declaration. Without a mapping, ``fields`` is one kind for all
    columns, ``Numeric()`` if ``None``, and arrays and frames are read as scikit-learn reads them. Parameters:
    a field's name is its kind, ``<field>__<argument>`` an argument of it. ``transform_`` is the fitted one.
    Errors are those of ``Transform``, and ``ValueError`` or ``TypeError`` where scikit-learn raises them.
    """

    def __init__(self, fields: Any = None) -> None:
        self.fields = fields

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn passes the target to everyone
        """Learn from training rows; ``y`` is not looked at."""
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float32]:  # noqa: ARG002 - as above
        """``fit`` and ``transform`` in one reading of the table."""
        features: NDArray[np.float32] = self._fit(X, features=True)
        return features

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return features, float32 ``(rows, width)``; ``NotFittedError`` before ``fit``."""
        check_is_fitted(self, "transform_")
        return _tabular(self.transform_.transform(self._table(X)))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the name of every feature; ``input_features`` may only be what ``fit`` saw."""
        check_is_fitted(self, "transform_")
        if input_features is not None:
            self._check_given(np.asarray(input_features, dtype=object))
        return self.transform_.get_feature_names_out()

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - as scikit-learn calls it
        """Return ``fields``, and with ``deep`` every kind by its field and every argument of it."""
        params = {"fields": self.fields}
        if deep:
            specs = _specs(self.fields)
            params = {**specs, **params}
            for name, spec in specs.items():
                for argument in dataclass_fields(spec):
                    params.setdefault(f"{name}__{argument.name}", getattr(spec, argument.name))
        return params

    def set_params(self, **params: Any) -> Self:
        """Set what ``get_params`` lists; ``ValueError`` for anything else, and nothing is set."""
        fields = params.pop("fields", self.fields)
        specs = _specs(fields)
        kinds = {name: kind for name, kind in params.items() if name in specs}
        arguments: dict[str, dict[str, Any]] = {}
        for key, value in params.items():
            if key not in kinds:
                name, argument = self._argument(key, {**specs, **kinds})
                arguments.setdefault(name, {})[argument] = value
        changed = {name: kinds.get(name, specs[name]) for name in [*kinds, *arguments]}
        changed |= {name: replace(changed[name], **given) for name, given in arguments.items()}
        if changed:
            fields = {**fields, **changed} if isinstance(fields, Mapping) else changed["fields"]
        self.fields = fields
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        specs = list(_specs(self.fields).values())
        tags.input_tags.allow_nan = bool(specs) and all(_optional(spec) for spec in specs)
        tags.input_tags.string = tags.input_tags.categorical = isinstance(self.fields, Mapping)
        tags.transformer_tags.preserves_dtype = []  # features are float32, whatever comes in
        return tags

    def _fit(self, X: Any, *, features: bool = False) -> Any:
        if isinstance(self.fields, Mapping):
            transform = Transform(dict(self.fields))
            table = self._named(X) if _has_names(X) else self._by_position(X, _declared_names(self.fields))
        else:
            values = self._values(X, reset=True)
            names = getattr(self, "feature_names_in_", [f"x{j}" for j in range(values.shape[1])])
            table = _columns(names, values)
            transform = Transform(dict.fromkeys(table, Numeric() if self.fields is None else self.fields))
        found = transform.fit_transform(table) if features else transform.fit(table)
        self.transform_ = transform
        return _tabular(found) if features else found

    def _table(self, X: Any) -> Any:
        if isinstance(self.fields, Mapping) and _has_names(X):
            return X
        names = getattr(self, "feature_names_in_", None)
        return _columns(_names(self.transform_) if names is None else names, self._values(X, reset=False))

    def _named(self, X: Any) -> Any:
        """Note what a table with names has, as scikit-learn does; the transform finds its fields in it."""
        if hasattr(X, "columns"):
            validate_data(self, X, skip_check_array=True)
        else:
            self.feature_names_in_ = np.array(_declared_names(self.fields), dtype=object)
            self.n_features_in_ = len(self.feature_names_in_)
        return X

    def _by_position(self, X: Any, names: list[str]) -> dict[str, Any]:
        values = self._values(X, reset=True)
        if values.shape[1] != len(names):
            raise ValueError(
                f"an array of {values.shape[1]} columns was given for {len(names)} declared fields. Give a "
                "table with names, or an array of these fields in the order of their declaration."
            )
        return _columns(names, values)

    def _values(self, X: Any, *, reset: bool) -> NDArray[Any]:
        """Read an array as scikit-learn does: numbers where all are ``Numeric``, else values as they are."""
        if isinstance(self.fields, Mapping) or not isinstance(self.fields, (Numeric, type(None))):
            return self._validated(X, reset=reset, dtype=None, ensure_all_finite=False)
        if _has_names(X) and not hasattr(X, "columns"):
            raise TypeError(
                "rows and mappings of columns need a declaration: give fields as a mapping of names"
            )
        gaps = "allow-nan" if self.fields is not None and _optional(self.fields) else True
        return self._validated(X, reset=reset, dtype=np.float64, ensure_all_finite=gaps)

    def _validated(self, X: Any, **options: Any) -> NDArray[Any]:
        values: NDArray[Any] = validate_data(self, X, **options)
        return values

    def _check_given(self, names: NDArray[np.object_]) -> None:
        known = getattr(self, "feature_names_in_", None)
        if known is not None and not np.array_equal(known, names):
            raise ValueError("input_features is not equal to feature_names_in_")
        if len(names) != self.n_features_in_:
            raise ValueError(
                f"input_features should have length equal to number of features ({self.n_features_in_}), "
                f"got {len(names)}"
            )

    def _argument(self, key: str, specs: Mapping[str, Any]) -> tuple[str, str]:
        # an argument's name has no double underscore, a field's name may
        name, _, argument = key.rpartition("__")
        spec = specs.get(name)
        if spec is None or all(argument != given.name for given in dataclass_fields(spec)):
            raise ValueError(
                f"Invalid parameter {key!r} for {type(self).__name__}. Valid are fields, a field's name, and "
                "<field>__<argument>: see get_params()."
            )
        return name, argument


def _specs(fields: Any) -> dict[str, Any]:
    """Return the kinds that have parameters, by the name under which they are set."""
    named = fields if isinstance(fields, Mapping) else {"fields": fields}
    return {name: kind for name, kind in named.items() if is_dataclass(kind) and not isinstance(kind, type)}


def _optional(spec: Any) -> bool:
    return getattr(spec, "missing", None) is not None


def _has_names(X: Any) -> bool:
    if issparse(X):  # some of these are dictionaries, and none has names
        return False
    if isinstance(X, Mapping) or hasattr(X, "columns"):
        return True
    return isinstance(X, (list, tuple)) and len(X) > 0 and isinstance(X[0], Mapping)


def _declared_names(fields: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(read for name, spec in fields.items() for read in fields_read(name, spec)))


def _names(transform: Transform) -> NDArray[np.object_]:
    return np.array([field.name for field in transform.schema.fields], dtype=object)


def _columns(names: Any, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {str(name): values[:, place] for place, name in enumerate(names)}


def _tabular(features: Any) -> NDArray[np.float32]:
    if not isinstance(features, np.ndarray):
        raise TransformError(
            "scikit-learn takes one table of features, and this transform gives several tensors. Call the "
            "transform itself, or leave out the fields with tensors of their own."
        )
    return features
