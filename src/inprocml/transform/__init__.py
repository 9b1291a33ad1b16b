"""Row to features: one object, fitted in training, applied in serving, the same bytes by every door."""

from inprocml.transform.core import Transform
from inprocml.transform.specs import Category, Hashed, Numeric, Timestamp

__all__ = ["Category", "Hashed", "Numeric", "Timestamp", "Transform"]
