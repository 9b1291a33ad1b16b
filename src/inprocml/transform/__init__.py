"""Row to features: one object, fitted in training, applied in serving, the same bytes by every door."""

from inprocml.transform.core import Transform
from inprocml.transform.custom import register
from inprocml.transform.specs import Category, Flag, Hashed, Numeric, Timestamp, Vector
from inprocml.transform.specs_derived import Custom, Derived
from inprocml.transform.specs_media import Audio, Image, Text

__all__ = [
    "Audio",
    "Category",
    "Custom",
    "Derived",
    "Flag",
    "Hashed",
    "Image",
    "Numeric",
    "Text",
    "Timestamp",
    "Transform",
    "Vector",
    "register",
]
