"""``transform.Row`` accepts what the schema accepts, and its JSON Schema tells the truth."""

from __future__ import annotations

import json
from collections import UserDict

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from tests.transform.transform_rows import FIELDS, GOOD, MISSING, fitted, training_rows, wrong

from inprocml import Category, Hashed, InvalidRow, Numeric, Timestamp, Transform, TransformError

TRANSFORM = fitted()
AWKWARD = [
    "model_dump",
    "model_config",
    "model_x",
    "schema",
    "copy",
    "json",
    "class",
    "_private",
    "__init__",
    "__base__",
    "Config",
    "flight number",
    "flight_number",
    "1st",
    "copy_",
    "größe",
    "-",
    "self",
    "row",
    "cls",
    "{reason}",
]


def rows_of(fields):
    """Rows in which anything may be wrong: values, absent fields, fields that nobody declared."""
    values = st.one_of(st.one_of(*GOOD.values()), wrong, MISSING)
    good = st.fixed_dictionaries({name: GOOD[name] for name in fields})
    changed = st.dictionaries(st.sampled_from(list(fields)), values, max_size=2)
    strange = st.text() | st.sampled_from(["\ud800", "copy", "model_config", "self"])
    more = st.dictionaries(strange, values, max_size=1)
    rows = st.tuples(good, changed, more).map(lambda parts: {**parts[0], **parts[1], **parts[2]})
    return st.tuples(rows, st.sets(st.sampled_from(list(fields)), max_size=2)).map(
        lambda found: {name: value for name, value in found[0].items() if name not in found[1]}
    )


@settings(max_examples=300, deadline=None)
@given(rows_of(FIELDS))
def test_the_model_accepts_exactly_what_the_schema_accepts(row):
    try:
        expected = TRANSFORM.transform_one(row)
    except InvalidRow as refused:
        with pytest.raises(ValidationError) as found:
            TRANSFORM.Row.model_validate(row)
        places = {issue["loc"][0] for issue in found.value.errors() if issue["loc"]}
        if "\ud800" not in row:  # pydantic refuses a row with half a character in a name outright
            assert set(refused.issues) & set(FIELDS) == places & set(FIELDS)
        return
    accepted = TRANSFORM.Row(**row)
    assert TRANSFORM.Row.model_validate(UserDict(row)) == accepted
    assert TRANSFORM.transform_one(accepted.model_dump()).tobytes() == expected.tobytes()
    assert TRANSFORM.Row.model_validate(accepted.model_dump()).model_dump() == accepted.model_dump()
    as_json = json.loads(accepted.model_dump_json())
    assert TRANSFORM.transform_one(as_json).tobytes() == expected.tobytes()
    assert conforms(TRANSFORM.Row.model_json_schema(), as_json)


def conforms(schema, value):
    """The part of JSON Schema 2020-12 that these schemas use; any other word in them is a failure."""
    words = {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "minimum",
        "maximum",
        "exclusiveMinimum",
    }
    remarks = {"title", "description", "default", "examples", "format", "maxLength"}
    assert set(schema) <= words | remarks
    kinds = {"number": (int, float), "integer": int, "string": str, "null": type(None), "object": dict}
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, kinds[kind]) for kind in types):
        return False
    if isinstance(value, dict):
        known = schema["properties"]
        assert schema["additionalProperties"] is False
        required = set(schema.get("required", ())) <= set(value) <= set(known)
        return required and all(conforms(known[name], part) for name, part in value.items())
    if isinstance(value, str):
        return len(value) <= schema.get("maxLength", len(value))
    if value is None:
        return True
    above = value >= schema.get("minimum", value) and value <= schema.get("maximum", value)
    return above and value > schema.get("exclusiveMinimum", float("-inf"))


def test_bad_rows_do_not_conform_where_json_can_say_so():
    schema = TRANSFORM.Row.model_json_schema()
    row = json.loads(TRANSFORM.Row(**training_rows()[1]).model_dump_json())
    assert conforms(schema, row)
    assert not conforms(schema, {**row, "more": 1})
    assert not conforms(schema, {**row, "plain": "1"})
    assert not conforms(schema, {**row, "plain": None})
    assert not conforms(schema, {**row, "constant": -1})
    assert not conforms(schema, {name: value for name, value in row.items() if name != "route"})


def test_the_schema_says_what_a_sender_has_to_know():
    schema = TRANSFORM.Row.model_json_schema()
    assert schema["required"] == ["plain", "log", "origin", "route"]
    known = schema["properties"]
    assert known["carrier"]["type"] == ["string", "null"]
    assert known["carrier"]["examples"] == ["AA", "B6", "UA"]
    assert "enum" not in known["carrier"]
    assert known["zip"]["type"] == ["integer", "null"]
    assert known["at"]["format"] == "date-time"
    assert "America/New_York" in known["at"]["description"]
    assert known["wall"]["format"] == "date-time-local"
    assert known["constant"]["exclusiveMinimum"] == -1
    assert "maximum" not in known["plain"]
    assert "median" in known["median"]["description"]
    assert known["plain"]["description"].endswith("Required.")
    assert TypeAdapter(TRANSFORM.Row).json_schema() == schema
    assert TRANSFORM.Row.model_json_schema(mode="serialization")["properties"] == known


NAMES = st.sampled_from(AWKWARD) | st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6
).filter(lambda name: not set(name) & set("=#."))


@settings(max_examples=60, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=8, unique=True))
@example(AWKWARD)
@example(dir(BaseModel))
def test_any_name_a_field_may_have_works(names):
    transform = Transform({name: Numeric(missing=0) for name in names}).fit([dict.fromkeys(names, 1)])
    row = {name: place for place, name in enumerate(names)}
    accepted = transform.Row.model_validate(row)
    assert accepted.model_dump() == row
    assert json.loads(accepted.model_dump_json()) == row
    assert TypeAdapter(transform.Row).dump_python(accepted, by_alias=True) == row
    assert list(transform.Row.model_json_schema()["properties"]) == names
    attributes = list(transform.Row.model_fields)
    assert [getattr(accepted, attribute) for attribute in attributes] == list(range(len(names)))
    for attribute in set(attributes) - set(names):
        with pytest.raises(ValidationError):  # the name of an attribute is no second name of the field
            transform.Row.model_validate({attribute: 1})


def test_ordinary_names_stay():
    assert list(TRANSFORM.Row.model_fields) == list(FIELDS)


def test_no_value_is_repeated():
    with pytest.raises(ValidationError) as found:
        TRANSFORM.Row(**{**training_rows()[1], "plain": "SECRET", "SECRET2": 1})
    assert "must be a number, not str" in str(found.value)
    assert "'SECRET'" not in str(found.value)
    assert "input_value" not in str(found.value)


def test_a_reason_with_braces_is_repeated_as_it_is():
    transform = Transform({"{reason}": Numeric()}).fit([{"{reason}": 1}])
    with pytest.raises(ValidationError) as found:
        transform.Row(**{"{reason}": "x"})
    assert found.value.errors()[0]["msg"] == "must be a number, not str"


def test_one_class_until_it_is_fitted_anew():
    transform = Transform(
        {"a": Numeric(), "c": Category(), "h": Hashed(buckets=2), "t": Timestamp(parts=("hour",))}
    )
    with pytest.raises(TransformError):
        _ = transform.Row
    row = {"a": 1, "c": "x", "h": "y", "t": "2013-01-01T05:00"}
    model = transform.fit([row]).Row
    assert transform.Row is model
    assert Transform.from_json(transform.to_json()).Row.model_json_schema() == model.model_json_schema()
    transform.fit([{**row, "c": 7}])
    assert transform.Row is not model
    assert transform.Row.model_json_schema()["properties"]["c"]["type"] == "integer"


def test_json_in_and_an_accepted_row_cannot_be_changed():
    accepted = TRANSFORM.Row.model_validate_json(json.dumps(training_rows()[3]))
    assert accepted == TRANSFORM.Row(**training_rows()[3])
    with pytest.raises(ValidationError):
        accepted.plain = 4
    with pytest.raises(ValidationError):
        TRANSFORM.Row.model_validate([1])
