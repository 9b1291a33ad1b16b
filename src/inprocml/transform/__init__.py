"""Row to features: one object, fitted in training, applied in serving, the same bytes by every door."""

from inprocml.transform.core import Transform
from inprocml.transform.custom import register
from inprocml.transform.specs import Category, Flag, Hashed, Numeric, Timestamp, Vector
from inprocml.transform.specs_derived import Custom, Derived

__all__ = [
    "Category",
    "Custom",
    "Derived",
    "Flag",
    "Hashed",
    "Numeric",
    "Timestamp",
    "Transform",
    "Vector",
    "register",
]
