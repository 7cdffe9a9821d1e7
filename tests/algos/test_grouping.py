"""Grouping of weights into sub-vectors of output channels (MVQ sec. 4.3)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algos.grouping import group, ungroup
from sim.errors import InputError


@given(groups=st.integers(1, 4), d=st.integers(1, 8), c=st.integers(1, 5), ky=st.integers(1, 3),
       kx=st.integers(1, 3))
def test_round_trip(groups: int, d: int, c: int, ky: int, kx: int) -> None:
    weight = torch.arange(groups * d * c * ky * kx).reshape(groups * d, c, ky, kx).float()
    vectors = group(weight, d)
    assert vectors.shape == (groups * c * ky * kx, d)
    assert torch.equal(ungroup(vectors, weight.shape), weight)


@given(g=st.integers(0, 2), c=st.integers(0, 3), y=st.integers(0, 2), x=st.integers(0, 1))
def test_order_of_sub_vectors(g: int, c: int, y: int, x: int) -> None:
    weight = torch.randn(12, 4, 3, 2)
    row = ((g * 4 + c) * 3 + y) * 2 + x
    assert torch.equal(group(weight, 4)[row], weight[g * 4 : g * 4 + 4, c, y, x])


def test_d_must_divide_the_output_channels() -> None:
    with pytest.raises(InputError, match=r"d = 16: does not divide the 24 output channels\. Fix"):
        group(torch.zeros(24, 3, 3, 3), 16)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_must_be_finite(bad: float) -> None:
    weight = torch.zeros(16, 3, 3, 3)
    weight[3, 1, 0, 2] = bad
    with pytest.raises(InputError, match="NaN or infinity"):
        group(weight, 16)
