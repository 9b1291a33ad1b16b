"""Clips padded to one of several lengths: the same frames whatever the call, one batch for all of them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transform.media_content import RATE, samples, tokenizer_file

from inprocml import Audio, Bundle, Model, PackError, Regression, Text, Transform, pack

COUNTS = (1, 40, 399, 400, 401, 700, 1600, 1200)
CLIPS = [samples(seed, count) for seed, count in enumerate(COUNTS)]
ENTRY = Audio(sample_rate=RATE, seconds=0.2, pad_to=(0.05, 0.1, 0.2), n_fft=256, hop=80, mels=12)
ENDS = (6, 11, 21)  # frames of 400, 800 and 1600 samples


def fitted(entry=ENTRY):
    return Transform({"call": entry}).fit({"call": CLIPS})


def test_the_spec_says_how_long_rows_may_be_and_what_silence_is():
    call, lengths = fitted().tensors
    assert (call.name, call.shape, call.axis, call.ends) == ("call", (12, None), 2, ENDS)
    assert lengths.name == "call_lengths"
    silent = fitted().transform_one({"call": [0.0] * 1600})["call"]
    assert silent.shape == (12, 21)
    assert (silent == np.float32(call.pad)).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(CLIPS), min_size=1, max_size=4))
def test_a_call_is_as_long_as_its_longest_clip_and_frames_are_the_same(clips):
    transform = fitted()
    call = transform.tensors[0]
    table = transform.transform({"call": clips})
    lengths = table["call_lengths"]
    assert table["call"].shape == (len(clips), 12, min(end for end in ENDS if end >= lengths.max()))
    assert table["call"].flags.c_contiguous
    for row, clip in enumerate(clips):
        one = transform.transform_one({"call": clip})
        assert one["call"].shape[1] == min(end for end in ENDS if end >= lengths[row])
        beside = call.lengthened(one["call"], table["call"].shape[2])
        assert beside.tobytes() == table["call"][row].tobytes()
        assert (table["call"][row, :, lengths[row] :] == np.float32(call.pad)).all()
    again = Transform.from_json(transform.to_json())
    assert again.digest == transform.digest
    assert again.transform({"call": clips})["call"].tobytes() == table["call"].tobytes()


def test_frames_within_the_clip_are_those_of_a_fixed_length():
    whole = Transform(
        {"call": Audio(sample_rate=RATE, seconds=0.2, n_fft=256, hop=80, mels=12, lengths=True)}
    )
    expected = whole.fit({"call": CLIPS}).transform({"call": CLIPS})
    found = fitted().transform({"call": CLIPS})
    assert found["call_lengths"].tolist() == expected["call_lengths"].tolist()
    for row, length in enumerate(expected["call_lengths"]):
        assert found["call"][row, :, :length].tobytes() == expected["call"][row, :, :length].tobytes()


class Heard(torch.nn.Module):
    """Loudness over the frames that the clip fills, and the mean of the words: silence counts for nothing."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.mels = torch.nn.Linear(12, 1)
        self.words = torch.nn.Embedding(16, 1)

    def forward(self, call, call_lengths, note_ids, note_mask):
        frames = torch.arange(call.shape[2])[None, :] < call_lengths[:, None]
        there = frames.unsqueeze(-1).to(torch.float32)
        loud = (self.mels(call.transpose(1, 2)) * there).sum(1) / call_lengths[:, None].to(torch.float32)
        mask = note_mask.unsqueeze(-1).to(torch.float32)
        return loud + (self.words(note_ids) * mask).sum(1)


def test_clips_and_texts_of_any_length_are_answered_together_as_alone(tmp_path):
    """Two lengths that vary each on its own, and their masks: through the bundle, by threads and in bulk."""
    notes = Text(tokenizer=tokenizer_file(), max_length=16, pad_to=(2, 4, 6, 8, 16), special=False)
    words = ["late", "the flight is late", "late " * 14, "the flight", "is", "caf\u00e9", "the", "late " * 7]
    table = {"call": CLIPS, "note": words}
    transform = Transform({"call": ENTRY, "note": notes}).fit(table)
    bundle = pack(
        tmp_path / "s", transform=transform, model=Heard().eval(), output=Regression(), baseline=table
    )
    assert set(bundle.inputs) == {"call", "call_lengths", "note_ids", "note_mask"}
    assert Bundle.open(bundle.path).digest == bundle.digest
    model = Model(tmp_path / "s", max_queue_delay=0.02)
    rows = [{"call": clip, "note": text} for clip, text in zip(CLIPS, words, strict=True)]
    expected = [model.predict(row).value for row in rows]
    np.testing.assert_allclose([one.value for one in model.predict_many(table)], expected, rtol=1e-5)
    found = [None] * len(rows)

    def ask(place):
        found[place] = model.predict(rows[place]).value

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    model.close()


class Counts(torch.nn.Module):
    """Divides by the padding, too."""

    def forward(self, call):
        return call.mean((1, 2))[:, None]


def test_a_model_that_counts_silence_is_refused(tmp_path):
    with pytest.raises(PackError, match="otherwise when it is padded less"):
        pack(
            tmp_path / "s",
            transform=fitted(),
            model=Counts(),
            output=Regression(tensor=None),
            baseline={"call": CLIPS},
        )


@pytest.mark.parametrize(
    "ends",
    [(), (0.1,), (0.1, 0.05, 0.2), (0.1, 0.101, 0.2), (0.05, 0.1), (0.0, 0.2), ("a", 0.2), 0.2, (0.2,) * 99],
)
def test_lengths_that_make_no_sense_are_refused_at_once(ends):
    with pytest.raises((ValueError, TypeError), match="pad_to"):
        Audio(sample_rate=RATE, seconds=0.2, pad_to=ends, n_fft=256, hop=80, mels=12)
