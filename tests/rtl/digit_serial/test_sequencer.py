"""The sequencer of the digit-serial machine against plain loops over packets of any fields, cycle by cycle."""

from __future__ import annotations

import pytest

from evidence.mutation import mutants
from evidence.mutation.digit_packets import suite


@pytest.mark.parametrize(
    ("packets", "fields"),
    [
        (24, {"lanes": 16, "store_bytes": 1024, "tap_depth": 256, "wrf_depth": 4}),
        (10, {"lanes": 64, "store_bytes": 4096, "tap_depth": 64, "wrf_depth": 2}),
    ],
    ids=["a word of digits in one of the stream", "in two"],
)
def test_walks_equal_loops(tmp_path, packets, fields):
    """And a few of its mutants do not."""
    walks = suite(packets, l1_bytes=1024, **fields)
    changes = mutants.build(walks.top(), walks.kinds, 0.05, 1, tmp_path)
    assert walks.run(tmp_path, [0]) == {}
    found = walks.run(tmp_path, range(1, len(changes) + 1))
    assert found
