"""scikit-learn's side of the transform: the one place where the two know each other."""

from inprocml.sklearn.convert import from_sklearn
from inprocml.sklearn.view import DeclaredTransformer, as_sklearn

__all__ = ["DeclaredTransformer", "as_sklearn", "from_sklearn"]
