"""Sound, elementary functions and n-grams have the same bits on every processor."""

from __future__ import annotations

import numpy as np
import pytest
from tests.transform.media_digest import digests
from tests.transform.test_transform_portable import digests_without, groups


@pytest.fixture(scope="module")
def here():
    return digests()


@pytest.mark.parametrize("group", ["AVX512", "AVX2"])
def test_one_digest_whatever_the_processor_can_do(group, here):
    features = groups()[group]
    if not features:
        pytest.skip(f"numpy {np.__version__} dispatches to no {group} code here")
    found = digests_without(features, "media_digest.py")
    assert not set(found.pop("active")) & set(features)
    assert found == {name: digest for name, digest in here.items() if name != "active"}


def test_the_bits_of_this_release(here):
    """What was packed with these kinds is served with them: a change of a digest is a new kind, not a fix."""
    assert here["turns"] == "02a49256f297d9fc505ac20d21e10446ce742cb307f10fb48da8415f075f6c0d"
    assert here["filters"] == "5dcbd336b83aa2026c775e011059d908fd7cdab84d9437a631cba820ec85402d"
    assert here["natural"] == "21e8177a9379b9f80e16996113ad1b9102c88fb0d06a74b2ae354258063dace0"
    assert here["ngrams"] == "8580f0618ec871abda1b3277e7f4ef2d39ae6d2622729bf76b182f8e99119dfe"
