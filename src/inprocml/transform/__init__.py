"""Row to features: one object, fitted in training, applied in serving, the same bytes by every door."""

from inprocml.transform.core import Transform
from inprocml.transform.specs import Category, Flag, Hashed, Numeric, Timestamp, Vector

__all__ = ["Category", "Flag", "Hashed", "Numeric", "Timestamp", "Transform", "Vector"]
