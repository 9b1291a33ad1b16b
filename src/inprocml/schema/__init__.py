"""Which rows are acceptable: exact types, one rule for missing, every bad field reported at once.

A ``Field`` judges one value or one column, a ``Schema`` one row or one table. What passes is *canonical*:
numbers are float64, strings are NFC, instants are in their declared zone. Whatever is built on canonical
values cannot tell a JSON body from a pandas DataFrame, and that is the point.
"""

from inprocml.schema.field import Canonical, Field, Kind
from inprocml.schema.refusal import Refused
from inprocml.schema.schema import Schema
from inprocml.schema.strict_json import dump, parse

__all__ = ["Canonical", "Field", "Kind", "Refused", "Schema", "dump", "parse"]
