"""torch modules: each exporter trap avoided, and the weights-only runtime."""

from __future__ import annotations

import logging
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load
from torch import nn

from inprocml import BackendMissing, Classes, PackError, Regression, pack
from inprocml.backends import open_backend
from inprocml.backends.torch import register
from inprocml.packing.from_torch import OPSET

THREE = Classes(["a", "b", "c"], scores="logits")


def make_net(width, last=3):
    return nn.Sequential(
        nn.Linear(width, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, last)
    )


class Twice(nn.Module):
    """Two outputs in a dict."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, rows):
        scores = self.net(rows)
        return {"scores": scores, "embedding": rows * 2}


class Loop(nn.Module):
    """Fixes the batch size in Python."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, 3)

    def forward(self, rows):
        return torch.stack([self.linear(rows[i]) for i in range(int(rows.shape[0]))])


class Fixed(nn.Module):
    """Loses the batch axis."""

    def forward(self, rows):
        return rows[:3, :3] * 1.0


class Branch(nn.Module):
    """Decides on values in Python."""

    def forward(self, rows):
        return rows[:, :3] if rows.sum() > 0 else -rows[:, :3]


class Tied(nn.Module):
    """Two names for one tensor."""

    def __init__(self, width):
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.second.weight = self.first.weight
        self.head = nn.Linear(width, 3)

    def forward(self, rows):
        return self.head(self.second(torch.relu(self.first(rows))))


@pytest.fixture(scope="session")
def exported(flights, tmp_path_factory):
    """One export, watched: a module in mixed modes, and everything that the exporter let out."""
    torch.manual_seed(0)
    net = make_net(flights.width)
    with torch.no_grad():
        net(torch.from_numpy(flights.features))  # batch norm learns something
    net.train()
    net[1].eval()
    modes = [part.training for part in net.modules()]
    random_state = torch.get_rng_state()
    threads = torch.get_num_threads()
    heard = []
    listener = logging.Handler()
    listener.emit = lambda record: heard.append(record.getMessage())
    loggers = [logging.getLogger(name) for name in (None, "torch", "torch.onnx", "onnxscript")]
    for logger in loggers:
        logger.addHandler(listener)
    handlers = logging.getLogger("torch").handlers[:]
    store = tmp_path_factory.mktemp("torch") / "late"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        out, sys.stdout = sys.stdout, _Spy()
        err, sys.stderr = sys.stderr, _Spy()
        try:
            bundle = pack(store, transform=flights.transform, model=net, output=THREE, baseline=flights.table)
        finally:
            said, sys.stdout, sys.stderr = sys.stdout.said + sys.stderr.said, out, err
    after = logging.getLogger("torch").handlers[:]
    for logger in loggers:
        logger.removeHandler(listener)
    return SimpleNamespace(
        bundle=bundle,
        net=net,
        modes=modes,
        random_state=random_state,
        threads=threads,
        warned=[str(w.message) for w in warned],
        said=said,
        heard=heard,
        handlers=(handlers, after),
        proto=onnx.load_model_from_string(bundle.model),
    )


class _Spy:
    def __init__(self):
        self.said = []

    def write(self, text):
        self.said.append(text)

    def flush(self):
        pass

    def isatty(self):
        return False


def eager(net, features):
    net.eval()
    with torch.no_grad():
        return net(torch.from_numpy(features)).numpy()


def test_the_packed_module_answers_as_in_eval_mode(flights, exported):
    backend = open_backend("onnx", exported.bundle.model)
    modes = [(part, part.training) for part in exported.net.modules()]
    expected = eager(exported.net, flights.features)
    for part, training in modes:
        part.training = training
    for size in (1, 2, 5, 300):
        found = backend.run({"features": flights.features[:size]})["scores"]
        assert found.shape == (size, 3)
        assert np.abs(found - expected[:size]).max() < 1e-5
    backend.close()
    assert exported.bundle.parity.distance < 1e-6
    assert exported.bundle.parity.batches == (1, 2, 5, 300)


def test_each_part_is_left_in_its_own_mode(exported):
    assert [part.training for part in exported.net.modules()] == exported.modes
    assert len(set(exported.modes)) == 2


def test_nothing_else_of_the_host_is_changed(exported):
    assert torch.equal(torch.get_rng_state(), exported.random_state)
    assert torch.get_num_threads() == exported.threads
    before, after = exported.handlers
    assert before == after


def test_the_exporter_is_not_heard(exported):
    assert exported.said == []
    assert exported.heard == []
    assert exported.warned == []


def test_one_file_without_a_trace_of_the_author_s_machine(exported):
    names = {path.name for path in exported.bundle.path.iterdir()}
    assert names == {
        "manifest.json", "transform.json", "model.onnx", "golden.json", "baseline.json", "card.md",
    }  # fmt: skip
    for path in exported.bundle.path.iterdir():
        data = path.read_bytes()
        for trace in (
            b"stack_trace",
            b"pkg.torch",
            b".py",
            b'File "',
            __file__.encode(),
            b"site-packages",
            b"/tmp",
        ):
            assert trace not in data, (path.name, trace)


def test_the_graph_is_free_in_its_batch_and_fit_for_later_tools(exported):
    graph = exported.proto.graph
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert graph.output[0].type.tensor_type.shape.dim[0].dim_param
    assert not {v.name for v in graph.value_info} & {t.name for t in graph.initializer}
    assert [(o.domain, o.version) for o in exported.proto.opset_import] == [("", OPSET)]
    assert not {node.op_type for node in graph.node} & {"Dropout", "BatchNormalization"}
    onnx.checker.check_model(exported.proto, full_check=True)


def test_quantization_runs_on_what_was_packed(exported, tmp_path):
    """The exporter's own file crashes it (optimize.md 4.1)."""
    from onnxruntime.quantization import quantize_dynamic

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_dynamic(exported.proto, tmp_path / "int8.onnx", op_types_to_quantize=["Gemm", "MatMul"])
    assert (tmp_path / "int8.onnx").stat().st_size


def test_one_of_several_outputs_is_kept(flights, pack_into):
    net = make_net(flights.width)
    with pytest.raises(PackError, match=r"2 outputs \('scores', 'embedding'\).*tensor="):
        pack_into(Twice(net), THREE)
    with pytest.raises(PackError, match="no output 'nope'; it has 'scores', 'embedding'"):
        pack_into(Twice(net), Classes(THREE.labels, tensor="nope"))
    bundle = pack_into(Twice(net), Classes(THREE.labels, scores="logits", tensor="scores"))
    assert bundle.manifest.model.outputs == ("scores",)
    assert b"embedding" not in bundle.model


@pytest.mark.parametrize("module", [Loop(10), Branch()])
def test_a_batch_that_cannot_be_free_says_what_to_change(pack_into, module, capfd):
    with pytest.raises(PackError, match=r"In forward, .*export it to ONNX yourself") as caught:
        pack_into(module, THREE)
    assert len(str(caught.value)) < 700
    assert capfd.readouterr() == ("", "")


def test_a_batch_axis_that_is_lost_is_noticed(pack_into):
    with pytest.raises(PackError, match=r"answers 300 rows with a tensor of shape \[3, 3\]"):
        pack_into(Fixed(), THREE)


@pytest.mark.parametrize(
    ("module", "output", "told"),
    [
        (nn.Linear(4, 3), THREE, r"cannot be called with one float32 tensor \[batch, 10\].*mat1 and mat2"),
        (nn.Linear(10, 3).double(), THREE, "cannot be called with one float32"),
        (nn.Bilinear(10, 10, 3), THREE, "cannot be called with one float32"),
        (nn.LSTM(10, 3), THREE, "answers with tuple"),
    ],
)
def test_a_module_that_cannot_take_features_says_so(pack_into, module, output, told):
    with pytest.raises(PackError, match=told):
        pack_into(module, output)


def test_logits_declared_as_probabilities_are_noticed(flights, pack_into):
    net = nn.Linear(flights.width, 3)
    with torch.no_grad():
        net.weight.mul_(10)
    register("logits-net", lambda: nn.Linear(flights.width, 3))
    with pytest.raises(PackError, match=r"they lie between -\d.*scores='logits'"):
        pack_into(net, Classes(["a", "b", "c"]), runtime="torch", module="logits-net")


def test_weights_travel_for_a_registered_module(flights, pack_into):
    register("net", lambda: make_net(flights.width))
    net = make_net(flights.width)
    bundle = pack_into(net, THREE, runtime="torch", module="net")
    assert (bundle.runtime, bundle.module) == ("torch", "net")
    assert {path.name for path in bundle.path.iterdir()} >= {"weights.safetensors"}
    assert set(load(bundle.model)) == set(net.state_dict())
    backend = open_backend("torch", bundle.model, module="net", output_name=bundle.output_name)
    bundle.replay(backend)
    found = backend.run({bundle.inputs["features"]: flights.features})[bundle.output_name]
    assert np.abs(found - eager(net, flights.features)).max() < 1e-5
    assert net.training is False  # by eager() above, not by pack: see test_each_part_is_left_in_its_own_mode


def test_tied_weights_are_stored_once(flights, pack_into):
    register("tied", lambda: Tied(flights.width))
    net = Tied(flights.width)
    bundle = pack_into(net, THREE, runtime="torch", module="tied")
    assert set(net.state_dict()) - set(load(bundle.model)) == {"second.weight"}
    assert bundle.parity.distance < 1e-6


def test_another_module_under_the_name_is_noticed(flights, pack_into, tmp_path):
    register("other", lambda: nn.Linear(flights.width, 3))
    with pytest.raises(PackError, match="do not fit the registered module 'other'"):
        pack_into(make_net(flights.width), THREE, runtime="torch", module="other")
    assert not (tmp_path / "late").exists()


def test_a_name_nobody_registered_says_what_to_call(pack_into, tmp_path):
    with pytest.raises(BackendMissing, match=r"register\('unheard-of', factory\)"):
        pack_into(nn.Linear(10, 3), THREE, runtime="torch", module="unheard-of")
    assert not (tmp_path / "late").exists()


def test_runtime_and_module_go_together(flights, fitted, pack_into):
    net = nn.Linear(flights.width, 1)
    for wrong in ({"runtime": "torch"}, {"module": "net"}, {"runtime": "pickle"}):
        with pytest.raises(PackError, match="runtime="):
            pack_into(net, Regression(), **wrong)
    with pytest.raises(PackError, match=r"packs a torch\.nn\.Module, not LogisticRegression"):
        pack_into(fitted["logistic"][0], runtime="torch", module="net")
