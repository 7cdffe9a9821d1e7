"""Mask codes and bit packing, against definitions written out in another way."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError
from sim.formats import encoding


def test_published_mask_codes():
    """MVQ reference vectors: rank among the legal 4:16 masks sorted by integer value."""
    for mask, code in {0x000F: 0, 0x1111: 557, 0x8421: 1495, 0xAA00: 1715, 0xF000: 1819}.items():
        bits = np.array([mask >> j & 1 for j in range(16)], bool)
        assert encoding.mask_rank(bits, 4, 16) == code
        np.testing.assert_array_equal(encoding.mask_unrank(np.array(code), 4, 16), bits)


@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 4), (2, 16), (3, 16), (4, 16), (6, 16), (3, 12)])
def test_every_mask_round_trips_in_integer_order(n, m):
    codes = np.arange(comb(m, n))
    masks = encoding.mask_unrank(codes, n, m)
    assert (masks.sum(-1) == n).all()
    values = masks @ (1 << np.arange(m))
    assert (np.diff(values) > 0).all()
    np.testing.assert_array_equal(encoding.mask_rank(masks, n, m), codes)
    assert set(values.tolist()) == {sum(1 << p for p in c) for c in combinations(range(m), n)}


def test_record_width_of_the_paper():
    """k = 512, d = 16, 4:16 is a 20-bit record, 1.25 bits a weight (MVQ sec. 5)."""
    assert encoding.index_bits(512) + encoding.mask_bits(4, 16) == 20
    widths = {(1, 2): 1, (2, 4): 3, (2, 16): 7, (3, 16): 10, (4, 16): 11, (5, 16): 13, (6, 16): 13}
    assert {nm: encoding.mask_bits(*nm) for nm in widths} == widths


@pytest.mark.parametrize("code", [1820, 2047, -1])
def test_illegal_mask_code_is_refused(code):
    with pytest.raises(InputError, match=r"mask code = -?\d+: 4:16 has 1820 legal masks"):
        encoding.mask_unrank(np.array([0, code]), 4, 16)


def test_wrong_popcount_is_refused():
    with pytest.raises(InputError, match="exactly 2 of 4"):
        encoding.mask_rank(np.array([1, 1, 1, 0], bool), 2, 4)


@given(
    st.lists(st.tuples(st.integers(1, 63), st.integers(-(2**62), 2**62)), max_size=60),
    st.sampled_from([64, 128, 256]),
)
def test_packing_is_the_sum_of_shifted_fields(fields, beat_bits):
    values = np.array([v for _, v in fields], np.int64)
    widths = np.array([w for w, _ in fields], np.int64)
    packed = encoding.pack_bits(values, widths, beat_bits)
    expected, position = 0, 0
    for width, value in fields:
        expected += (value % (1 << width)) << position
        position += width
    assert packed.shape == (-(-position // beat_bits), beat_bits // 64)
    assert int.from_bytes(packed.astype("<u8").tobytes(), "little") == expected
