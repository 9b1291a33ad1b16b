"""The manifest: one spelling, its own digest, and a clear word for damage, novelty and strangers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bundle.kit import make_manifest, resealed

from inprocml.bundle.manifest import OutputEntry, parse_manifest, seal
from inprocml.errors import BundleError, Corrupt, Unsupported
from inprocml.schema.canonical import canonical

SEALED = seal(make_manifest())


def edited(**changes):
    return resealed(json.loads(SEALED) | changes)


def test_what_is_sealed_is_read_back():
    manifest = parse_manifest(SEALED)
    assert manifest == make_manifest().model_copy(update={"digest": manifest.digest})
    assert seal(manifest) == SEALED


def test_the_digest_covers_everything():
    assert parse_manifest(SEALED).digest != parse_manifest(seal(make_manifest(name="other"))).digest


@pytest.mark.parametrize("labels", [(True, False), (0, 1), ("0", "1"), (0, "a", True)])
def test_labels_keep_their_types(labels):
    output = OutputEntry(kind="classes", labels=labels, scores="logits")
    read = parse_manifest(seal(make_manifest(output=output))).output.labels
    assert [(type(label), label) for label in read] == [(type(label), label) for label in labels]


@given(st.integers(0, len(SEALED) - 1), st.integers(0, 7))
def test_any_flipped_bit_is_damage_never_a_stranger_nor_novelty(position, bit):
    damaged = bytearray(SEALED)
    damaged[position] ^= 1 << bit
    with pytest.raises(Corrupt, match=r"manifest.json"):
        parse_manifest(bytes(damaged))


@given(st.integers(0, len(SEALED) - 1))
def test_any_cut_is_damage(length):
    with pytest.raises(Corrupt):
        parse_manifest(SEALED[:length])


def test_another_spelling_of_the_same_content_is_damage():
    document = json.loads(SEALED)
    for spelled in (
        json.dumps(document, indent=2),
        json.dumps(document, sort_keys=True) + "\n",
        SEALED.decode() + " ",
    ):
        with pytest.raises(Corrupt, match="digest"):
            parse_manifest(spelled.encode())


def test_a_newer_format_asks_for_an_upgrade():
    with pytest.raises(Unsupported, match=r"format 2.*pip install --upgrade inprocml"):
        parse_manifest(edited(format_version=2, something_new=[1]))


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, True, None])
def test_an_impossible_format_version_is_damage(version):
    with pytest.raises(Corrupt):
        parse_manifest(edited(format_version=version))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", "no format name"),
        ('{"format": "mlflow", "flavors": {}}', "'mlflow'"),
        ("[1, 2]", "JSON list"),
        ('"inprocml-bundle"', "JSON str"),
        ("null", "JSON NoneType"),
        ('{"schemaVersion": 2, "digest": "sha256:aa"}', "no format name"),
    ],
)
def test_a_stranger_is_told_from_damage(text, told):
    with pytest.raises(BundleError, match=told) as caught:
        parse_manifest(text.encode())
    assert type(caught.value) is BundleError


def test_a_well_sealed_stranger_is_a_stranger():
    with pytest.raises(BundleError, match="belongs to something else") as caught:
        parse_manifest(edited(format="other-bundle"))
    assert type(caught.value) is BundleError


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 300},
        {"version": "../1"},
        {"version": "1\n"},
        {"version": 1},
        {"created": "yesterday"},
        {"metrics": {"auc": "0.7"}},
        {"metrics": {"auc": True}},
        {"files": {}},
        {"files": {"../../etc/passwd": {"sha256": "0" * 64, "size": 1}}},
        {"label_counts": [1, 2, 3]},
        {"label_counts": [-1, 2]},
        {"output": {"kind": "regression", "labels": ["a", "b"], "scores": None}},
        {"output": {"kind": "classes", "labels": None, "scores": None}},
        {"output": {"kind": "classes", "labels": ["a", 1.5], "scores": "logits"}},
        {"output": {"kind": "embedding", "labels": None, "scores": None}},
        {"transform": {"digest": "sha256:" + "1" * 64, "width": 3}},
        {"transform": {"digest": "sha256:" + "0" * 64, "width": 0}},
    ],
)
def test_wrong_content_under_a_right_digest_is_refused(changes):
    with pytest.raises(Corrupt, match=r"manifest.json"):
        parse_manifest(edited(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"runtime": "pickle"},
        {"runtime": "torch"},  # without a module
        {"module": "os"},  # without torch
        {"output": "other"},
        {"outputs": []},
        {"extra": 1},
    ],
)
def test_a_wrong_model_entry_is_refused(changes):
    model = json.loads(SEALED)["model"] | changes
    with pytest.raises(Corrupt, match=r"manifest.json"):
        parse_manifest(edited(model=model))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SEALED.replace(b'"name": "late"', b'"name": "late",\n  "name": "late"'), "twice"),
        (SEALED.replace(b"0.75", b"NaN"), "NaN"),
        (SEALED.replace(b"0.75", b"1e999"), "float64"),
        (b"[" * 100_000 + b"]" * 100_000, "nested"),
        (b'{"a":' * 50 + b"1" + b"}" * 50, "nested"),
        (b"\xff\xfe" + SEALED, "UTF-8"),
        (b"\xef\xbb\xbf" + SEALED, "UTF-8"),
        (b"", "JSON"),
        (b"\x80\x04\x95pickle", "UTF-8"),
    ],
)
def test_json_that_two_readers_could_read_apart_is_refused(text, told):
    with pytest.raises(Corrupt, match=told):
        parse_manifest(text)


def test_the_canonical_form_has_no_room_for_nan():
    with pytest.raises(ValueError, match="JSON"):
        canonical({"x": float("nan")})
