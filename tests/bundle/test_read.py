"""Opening: everything is there and sound, or a typed error names what is not and what to do."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bundle.kit import forge
from tests.conftest import make_rows

from inprocml import Bundle, BundleError, Corrupt, Transform, Unsupported
from inprocml.backends import open_backend
from inprocml.bundle.folder import CAPS
from inprocml.errors import BackendFailed
from inprocml.testing import FakeBackend

FILES = ["manifest.json", "transform.json", "model.onnx", "golden.json", "baseline.json", "card.md"]


@pytest.fixture
def folder(store):
    return store / "1"


def backend_of(bundle):
    return open_backend("onnx", bundle.model)


def test_a_bundle_holds_everything(folder):
    bundle = Bundle.open(folder)
    assert (bundle.name, bundle.version, bundle.path) == ("fraud", "1", folder)
    assert (bundle.runtime, bundle.module, bundle.inputs) == ("onnx", None, {"features": "features"})
    assert bundle.output.labels == ("ok", "fraud")
    assert bundle.transform.digest == bundle.manifest.transform.digest
    assert bundle.baseline.rows == 400
    assert bundle.manifest.metrics == {"auc": 0.9}
    assert sum(bundle.manifest.label_counts) == 400
    assert bundle.parity.rows == 400
    assert bundle.parity.distance <= bundle.parity.limit
    assert bundle.parity.flips == 0
    assert "fraud" in bundle.card
    assert bundle.digest.startswith("sha256:")
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_the_model_is_the_bytes_that_were_hashed(folder):
    bundle = Bundle.open(folder)
    (folder / "model.onnx").write_bytes(b"changed after opening")
    assert hashlib.sha256(bundle.model).hexdigest() == bundle.manifest.files["model.onnx"].sha256


def test_golden_rows_are_json_and_give_the_stored_features_and_outputs(folder):
    bundle = Bundle.open(folder)
    rows = json.loads(json.dumps(bundle.golden.rows))
    assert bundle.transform.transform(rows).tobytes() == bundle.golden.tensors["features"].tobytes()
    backend = backend_of(bundle)
    found = backend.run({bundle.inputs["features"]: bundle.golden.tensors["features"]})[bundle.output_name]
    assert np.array_equal(found, bundle.golden.outputs)
    bundle.replay(backend)
    backend.close()


def test_the_host_may_rename_the_model(folder):
    assert Bundle.open(folder, name="payments").name == "payments"


def test_a_version_renamed_by_hand_is_noticed(folder):
    assert Bundle.open(folder, version="1").version == "1"
    with pytest.raises(Corrupt, match="asked for version '2', but its manifest says '1'"):
        Bundle.open(folder, version="2")


@given(data=st.data())
def test_a_flipped_bit_anywhere_names_the_file(_packed, data):
    name = data.draw(st.sampled_from(FILES))
    path = _packed / "1" / name
    sound = path.read_bytes()
    damaged = bytearray(sound)
    damaged[data.draw(st.integers(0, len(sound) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(damaged)
    try:
        with pytest.raises(Corrupt, match=name.replace(".", r"\.")):
            Bundle.open(_packed / "1")
    finally:
        path.write_bytes(sound)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"\n", lambda b: b"", lambda b: b[::-1]])
def test_cut_and_grown_files_are_named(folder, name, change):
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(Corrupt, match=name.replace(".", r"\.")):
        Bundle.open(folder)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(Corrupt, match=f"{name} missing"):
        Bundle.open(folder)


def test_extra_files_and_folders_are_refused(folder):
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(Corrupt, match=r"'notes\.txt' not in the manifest.*move it"):
        Bundle.open(folder)
    (folder / "notes.txt").unlink()
    (folder / "__pycache__").mkdir()
    with pytest.raises(Corrupt, match="__pycache__"):
        Bundle.open(folder)


def test_two_files_swapped_are_noticed(folder):
    card, golden = (folder / "card.md").read_bytes(), (folder / "golden.json").read_bytes()
    (folder / "card.md").write_bytes(golden)
    (folder / "golden.json").write_bytes(card)
    with pytest.raises(Corrupt):
        Bundle.open(folder)


def test_a_store_says_which_versions_it_has(folder, add_version):
    add_version()
    with pytest.raises(BundleError, match=r"store with the versions '1', '2'.*inprocml\.Model"):
        Bundle.open(folder.parent)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: None, "missing, not a bundle"),
        (lambda p: p.mkdir(), "it is empty"),
        (lambda p: p.write_text(""), "is a file"),
        (lambda p: (p.mkdir(), (p / "MLmodel").write_text("")), "'MLmodel'"),
        (lambda p: (p.mkdir(), (p / "manifest.json").write_text("{}")), "no format name"),
    ],
)
def test_what_is_no_bundle_is_told_what_it_is(tmp_path, make, told):
    make(tmp_path / "x")
    with pytest.raises(BundleError, match=told) as caught:
        Bundle.open(tmp_path / "x")
    assert type(caught.value) is BundleError


def test_a_newer_format_is_told_before_its_files_are_looked_at(folder):
    forge(folder, lambda manifest: manifest.update(format_version=7))
    (folder / "new-kind-of-file").write_text("")
    with pytest.raises(Unsupported, match=r"format 7.*pip install --upgrade"):
        Bundle.open(folder)


def test_sizes_are_checked_before_anything_is_read(folder):
    with (folder / "golden.json").open("ab") as stream:
        stream.truncate(CAPS["golden.json"] + 1)  # sparse: takes no disk
    with pytest.raises(Corrupt, match=r"golden\.json: \d+ bytes, more than the"):
        Bundle.open(folder)


def test_a_transform_that_computes_differently_is_noticed(folder):
    transform = json.loads((folder / "transform.json").read_bytes())
    text = (folder / "transform.json").read_text()
    center = next(
        value for key, value in _walk(transform) if isinstance(value, float) and value and f"{value}" in text
    )
    forge(folder, transform_json=text.replace(f"{center}", f"{center + 1}", 1).encode())
    with pytest.raises(Corrupt, match=r"golden\.json: row 0 gives another tensor 'features'"):
        Bundle.open(folder)


def _walk(node):
    members = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in members:
        if isinstance(value, dict | list):
            yield from _walk(value)
        else:
            yield key, value


def fake(bundle, change):
    golden = bundle.golden.outputs
    return FakeBackend(lambda inputs: {bundle.output_name: change(golden.copy())})


def _shifted(row, by):
    def change(outputs):
        outputs[row, 0] += by
        return outputs

    return change


def test_an_output_out_of_tolerance_names_its_row(folder):
    bundle = Bundle.open(folder)
    bundle.replay(fake(bundle, _shifted(3, 5e-4)))
    with pytest.raises(Corrupt, match=r"golden\.json: row 3 and 0 more of 16"):
        bundle.replay(fake(bundle, _shifted(3, 5e-3)))
    with pytest.raises(Corrupt, match="row 5"):
        bundle.replay(fake(bundle, _shifted(5, np.nan)))


def test_an_output_of_another_shape_is_noticed(folder):
    bundle = Bundle.open(folder)
    with pytest.raises(Corrupt, match="shape"):
        bundle.replay(fake(bundle, lambda outputs: outputs[:, :1]))
    with pytest.raises(Corrupt, match="came out as nothing"):
        bundle.replay(FakeBackend(lambda inputs: {"other": bundle.golden.outputs}))


def test_a_backend_that_fails_is_no_word_on_the_bundle(folder):
    def fail(_):
        raise RuntimeError("out of memory")

    with pytest.raises(BackendFailed, match="RuntimeError: out of memory"):
        Bundle.open(folder).replay(FakeBackend(fail))


def test_another_model_under_right_digests_fails_the_replay(folder, add_version):
    add_version()
    forge(folder, model_onnx=(folder.parent / "2" / "model.onnx").read_bytes())
    bundle = Bundle.open(folder)
    backend = backend_of(bundle)
    with pytest.raises(Corrupt, match="golden"):
        bundle.replay(backend)
    backend.close()


def test_opening_prints_nothing_and_shows_little(folder, capfd):
    bundle = Bundle.open(folder)
    assert capfd.readouterr() == ("", "")
    assert len(repr(bundle)) < 400


def test_rows_fitted_elsewhere_still_encode(folder):
    rows, _ = make_rows(5, seed=9)
    assert Bundle.open(folder).transform.transform(rows).shape == (5, Bundle.open(folder).transform.width)


def test_copies_are_equal_bundles(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    assert Bundle.open(tmp_path / "copy").digest == Bundle.open(folder).digest


@pytest.mark.parametrize("path", ["transform_one", "transform"])
def test_both_paths_of_the_transform_are_replayed(folder, monkeypatch, path):
    real = getattr(Transform, path)
    monkeypatch.setattr(Transform, path, lambda self, rows: np.nextafter(real(self, rows), np.float32(9)))
    with pytest.raises(Corrupt, match=r"golden\.json: row 0 gives another tensor 'features' here"):
        Bundle.open(folder)
