"""What an attacker who can write a bundle's folder might try: nothing runs, hangs, or is read from elsewhere.

The forger knows the format and recomputes every digest: digests stop damage, not forgery (signing will).
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import pytest
from tests.bundle.kit import forge

from inprocml import Bundle, BundleError, Corrupt, Model, Unsupported, Untrusted
from inprocml.backends import open_backend
from inprocml.bundle.folder import CAPS
from inprocml.errors import BackendMissing

FILES = ["manifest.json", "transform.json", "model.onnx", "golden.json", "baseline.json", "card.md"]


class Payload:
    """A pickle that leaves a trace when it is loaded."""

    def __reduce__(self):
        return (os.mkdir, (os.environ["INPROCML_TRACE"],))


@pytest.fixture
def folder(store):
    return store / "1"


@pytest.fixture
def trace(tmp_path, monkeypatch):
    monkeypatch.setenv("INPROCML_TRACE", str(tmp_path / "executed"))
    yield
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", FILES)
def test_symbolic_links_are_refused_even_to_the_same_bytes(folder, tmp_path, name):
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(Untrusted, match=r"symbolic link.*cp -rL"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_hard_link_can_change_nothing_unnoticed(folder, tmp_path, name):
    os.link(folder / name, tmp_path / name)
    opened = Bundle.open(folder)
    with (tmp_path / name).open("r+b") as other_end:
        first = other_end.read(1)
        other_end.seek(0)
        other_end.write(bytes([first[0] ^ 1]))
    with pytest.raises(Corrupt, match=name.replace(".", r"\.")):
        Bundle.open(folder)
    assert opened.transform.to_json().startswith("{")


@pytest.mark.parametrize("name", ["manifest.json", "golden.json"])
@pytest.mark.timeout(10)
def test_a_pipe_does_not_hang_the_reader(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(Corrupt, match="not a regular file"):
        Bundle.open(folder)


def test_a_folder_in_place_of_a_file(folder):
    (folder / "golden.json").unlink()
    (folder / "golden.json").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(Corrupt, match=r"golden\.json is not a regular file"):
        Bundle.open(folder)
    assert (
        len(list(Path("/proc/self/fd").iterdir())) == before
    )  # a refusal that leaks descriptors would end the host


@pytest.mark.parametrize("name", FILES)
def test_oversize_files_are_refused_unread(folder, name):
    with (folder / name).open("r+b") as stream:
        stream.truncate(CAPS[name] + 1)  # sparse
    tracemalloc.start()
    try:
        with pytest.raises(Corrupt, match=f"{name}: .*allowed"):
            Bundle.open(folder)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", FILES[1:])
def test_a_length_other_than_the_manifest_says_is_refused_unread(folder, name, monkeypatch):
    """A sparse file of gigabytes below its cap costs nothing to make, and must cost nothing to refuse."""
    read, really = [], os.read

    def reading(descriptor, count):
        read.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)
        return really(descriptor, count)

    with (folder / name).open("r+b") as stream:
        stream.truncate(min(3 << 30, CAPS[name]))
    monkeypatch.setattr(os, "read", reading)
    with pytest.raises(Corrupt, match=rf"{name}: \d+ bytes, but the manifest says \d+"):
        Bundle.open(folder)
    assert "manifest.json" in read
    assert name not in read


@pytest.mark.parametrize("by", [-1, 1])
def test_a_length_that_changes_while_it_is_read_is_noticed(folder, by, monkeypatch):
    real = os.fstat

    def then_change(descriptor):
        status = real(descriptor)
        if status.st_ino == (folder / "manifest.json").stat().st_ino:
            os.truncate(folder / "manifest.json", status.st_size + by)
        return status

    monkeypatch.setattr(os, "fstat", then_change)
    with pytest.raises(Corrupt, match=r"manifest\.json: its length changed"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["transform_json", "golden_json", "baseline_json", "model_onnx", "card_md"])
@pytest.mark.parametrize("protocol", [0, 5])
def test_a_pickle_in_any_file_is_never_loaded(folder, trace, name, protocol):
    forge(folder, **{name: pickle.dumps(Payload(), protocol=protocol)})
    if name == "card_md" and protocol == 0:
        assert "mkdir" in Bundle.open(folder).card  # ASCII: a strange card, and only text
        return
    with pytest.raises(BundleError):
        open_backend("onnx", Bundle.open(folder).model)


@pytest.mark.parametrize("module", ["os", "os:system", "antigravity", "inprocml.packing", "../weights"])
def test_a_module_name_is_never_imported(folder, module):
    def edit(manifest):
        manifest["model"] |= {"runtime": "torch", "module": module}
        manifest["files"]["weights.safetensors"] = manifest["files"].pop("model.onnx")

    (folder / "model.onnx").rename(folder / "weights.safetensors")
    forge(folder, edit)
    before = set(sys.modules)
    bundle = Bundle.open(folder)
    assert bundle.module == module
    with pytest.raises(BackendMissing, match="no torch module is registered"):
        open_backend(bundle.runtime, bundle.model, module=bundle.module)
    assert not {
        name for name in set(sys.modules) - before if name.partition(".")[0] in {"antigravity", "this"}
    }


@pytest.mark.parametrize(
    "name", ["../../outside.json", "/etc/passwd", "sub/x", "..", "golden.json\x00x", "model.pkl"]
)
def test_file_names_in_the_manifest_are_not_paths(folder, name):
    def edit(manifest):
        manifest["files"][name] = manifest["files"].pop("golden.json")

    forge(folder, edit)
    with pytest.raises(Corrupt, match=r"manifest\.json"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["transform_json", "golden_json", "baseline_json"])
@pytest.mark.parametrize(
    "text",
    [
        b"[" * 50_000,
        b'{"a":' * 50_000,
        b"null",
        b"[]",
        b"1e999",
        b"NaN",
        b"{}",
        b'{"kind": "eval@1"}',
        b"\xff",
    ],
)
def test_hostile_json_under_right_digests_names_the_file(folder, name, text):
    forge(folder, **{name: text})
    with pytest.raises((Corrupt, Unsupported), match=name.replace("_", r"\.")):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["transform_json", "golden_json", "baseline_json"])
def test_a_key_given_twice_is_refused(folder, name):
    data = (folder / name.replace("_", ".")).read_bytes().lstrip()
    key = json.dumps(next(iter(json.loads(data))))
    forge(folder, **{name: b"{" + key.encode() + b": 1, " + data[1:]})
    with pytest.raises(Corrupt, match="twice"):
        Bundle.open(folder)


def test_a_model_that_points_at_other_files_is_refused(folder, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(b"S3CR" * 100)
    model = onnx.load_model_from_string((folder / "model.onnx").read_bytes())
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret.bin")
    model.graph.initializer.append(tensor)
    forge(folder, model_onnx=model.SerializeToString())
    with pytest.raises(Untrusted, match="external data"):
        open_backend("onnx", Bundle.open(folder).model)


def test_a_file_swapped_between_check_and_use_changes_nothing(folder, monkeypatch):
    sound = Bundle.open(folder)
    real = os.fstat

    def swap(descriptor):  # after the open, before the read
        status = real(descriptor)
        evil = folder / "evil"
        evil.write_bytes(b"x" * status.st_size)
        evil.replace(folder / "model.onnx")
        return status

    monkeypatch.setattr(os, "fstat", swap)
    # whatever is read, it is judged by its own bytes: either the sound ones or a refusal
    with contextlib.suppress(Corrupt):
        assert Bundle.open(folder).model == sound.model
    monkeypatch.undo()
    with pytest.raises(Corrupt, match=r"model\.onnx"):
        Bundle.open(folder)


def test_the_facade_refuses_too_and_keeps_quiet(folder, capfd):
    (folder / "model.onnx").write_bytes(pickle.dumps(Payload))
    model = Model(folder.parent)
    with pytest.raises(Corrupt, match=r"model\.onnx"):
        model.predict({"amount": 1.0, "country": "de"})
    model.close()
    assert capfd.readouterr().out == ""


def test_opening_needs_neither_pickle_nor_an_exporter(folder):
    script = textwrap.dedent(
        f"""
        import sys
        from inprocml import Bundle
        Bundle.open({str(folder)!r})
        heavy = {{"onnx", "torch", "sklearn", "skl2onnx", "joblib", "pandas", "onnxruntime"}}
        assert not heavy & set(sys.modules)
        assert "inprocml.packing" not in sys.modules
        """
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=50)
