"""Texts padded to one of several lengths: the same tokens whatever the call, one batch for all of them."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tests.transform.media_content import tokenizer_file

from inprocml import Bundle, Model, PackError, Regression, Text, Transform, pack
from inprocml.batching import Runner, Shapes
from inprocml.testing import FakeBackend

WORDS = ["the", "flight", "is", "late", "caf\u00e9"]
TEXTS = [" ".join(WORDS[i % 5] for i in range(n)) for n in (0, 1, 3, 5, 9, 14, 2, 30)]
ENTRY = Text(tokenizer=tokenizer_file(), max_length=16, pad_to=(4, 8, 16), pad_token="[PAD]", lengths=True)


class Net(torch.nn.Module):
    """The mean of the words' numbers: padding counts for nothing."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.words = torch.nn.Embedding(16, 1)

    def forward(self, note_ids, note_mask):
        mask = note_mask.unsqueeze(-1).to(torch.float32)
        return (self.words(note_ids) * mask).sum(1) / mask.sum(1)


def fitted():
    return Transform({"note": ENTRY}).fit({"note": TEXTS})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=5))
def test_a_call_is_as_long_as_its_longest_row_and_tokens_are_the_same(texts):
    transform = fitted()
    table = transform.transform({"note": texts})
    lengths = table["note_lengths"]
    assert table["note_ids"].shape[1] == min(end for end in (4, 8, 16) if end >= lengths.max())
    assert [(spec.name, spec.shape) for spec in transform.tensors] == [
        ("note_ids", (None,)),
        ("note_mask", (None,)),
        ("note_lengths", ()),
    ]
    for row, text in enumerate(texts):
        one = transform.transform_one({"note": text})
        count = int(one["note_lengths"])
        assert len(one["note_ids"]) == min(end for end in (4, 8, 16) if end >= count)
        assert one["note_ids"][:count].tolist() == table["note_ids"][row, :count].tolist()
        assert one["note_mask"].sum() == table["note_mask"][row].sum() == count == lengths[row]
    again = Transform.from_json(transform.to_json())
    assert again.transform({"note": texts})["note_ids"].tobytes() == table["note_ids"].tobytes()


def test_rows_of_any_length_share_a_batch(tmp_path):
    net = Net().eval()
    bundle = pack(
        tmp_path / "s", transform=fitted(), model=net, output=Regression(), baseline={"note": TEXTS}
    )
    assert dict(bundle.inputs) == {"note_ids": "note_ids", "note_mask": "note_mask"}
    assert Bundle.open(bundle.path).digest == bundle.digest
    model = Model(tmp_path / "s", max_queue_delay=0.02)
    expected = [model.predict({"note": text}).value for text in TEXTS]
    answers = model.predict_many({"note": TEXTS})
    np.testing.assert_allclose([answer.value for answer in answers], expected, atol=1e-6)
    stream = model.predict_many({"note": text} for text in TEXTS)
    np.testing.assert_allclose([answer.value for answer in stream], expected, atol=1e-6)
    bad = [{"note": text} for text in TEXTS[:4]] + [{"note": 5}] + [{"note": text} for text in TEXTS[4:]]
    done = model.predict_many(bad, to=tmp_path / "out.parquet", errors="keep")
    assert done.refused == 1
    values = pq.read_table(done.path).column("value").to_pylist()
    assert values.pop(4) is None
    np.testing.assert_allclose(values, expected, atol=1e-6)
    found = [None] * len(TEXTS)

    def ask(place):
        found[place] = model.predict({"note": TEXTS[place]}).value

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(TEXTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    model.close()


def test_shorter_inputs_are_filled_up_only_where_it_was_said():
    shapes = []

    def answer(inputs):
        shapes.append({name: array.shape for name, array in inputs.items()})
        return {"y": inputs["ids"].sum(axis=1, keepdims=True).astype(np.float32)}

    for padding, together in (({"ids": 7}, True), ({}, False)):
        shapes.clear()
        runner = Runner(FakeBackend(answer), max_queue_delay=0.2, max_batch_size=2, shapes=Shapes(padding))
        out = {}

        def ask(width, out=out, runner=runner):
            out[width] = runner.run({"ids": np.ones((1, width), np.int64)}).outputs["y"][0, 0]

        threads = [threading.Thread(target=ask, args=(width,)) for width in (2, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        runner.close()
        if together:
            assert shapes == [{"ids": (2, 5)}]
            assert out == {2: 2 + 3 * 7, 5: 5}
        else:  # each is answered by itself: a width that nobody declared is nobody else's fault
            assert sorted(shape["ids"] for shape in shapes) == [(1, 2), (1, 5)]
            assert out == {2: 2, 5: 5}


class Fixed(torch.nn.Module):
    """Counts on sixteen tokens."""

    def forward(self, note_ids):
        return note_ids.to(torch.float32)[:, :16].sum(1, keepdim=True) / note_ids.shape[1]


def test_a_model_that_counts_padding_is_refused(tmp_path):
    with pytest.raises(PackError, match=r"otherwise when it is padded less \(note_ids, note_mask vary"):
        pack(tmp_path / "s", transform=fitted(), model=Fixed(), output=Regression(), baseline={"note": TEXTS})


def test_a_graph_of_one_length_is_refused(tmp_path):
    ids = helper.make_tensor_value_info("note_ids", TensorProto.INT64, ["n", 16])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])
    graph = helper.make_graph([helper.make_node("Cast", ["note_ids"], ["y"], to=1)], "g", [ids], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(PackError, match="fixed length 16, but the transform pads its rows to one of several"):
        pack(
            tmp_path / "s",
            transform=fitted(),
            model=model.SerializeToString(),
            output=Regression(),
            baseline={"note": TEXTS},
        )


@pytest.mark.parametrize("lengths", [(), (8, 4, 16), (4, 8), (0, 16), (4.0, 16), "16", 16])
def test_lengths_that_make_no_sense_are_refused_at_once(lengths):
    with pytest.raises((ValueError, TypeError)):
        Text(tokenizer=tokenizer_file(), max_length=16, pad_to=lengths)
