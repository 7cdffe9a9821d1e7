"""Grouping of weights into sub-vectors of output channels (MVQ sec. 4.3)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algos.weights.grouping import group, ungroup
from sim.errors import InputError


@given(
    groups=st.integers(1, 4),
    d=st.integers(1, 8),
    c=st.integers(1, 5),
    ky=st.integers(1, 3),
    kx=st.integers(1, 3),
)
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


@given(outputs=st.integers(1, 4), groups=st.integers(1, 4), d=st.integers(1, 8))
def test_inputs_of_one_output_are_cut_into_pieces(outputs: int, groups: int, d: int) -> None:
    weight = torch.randn(outputs, groups * d)
    vectors = group(weight, d, "input")
    expected = [weight[o, g * d : (g + 1) * d].tolist() for o in range(outputs) for g in range(groups)]
    assert vectors.tolist() == expected
    assert torch.equal(ungroup(vectors, weight.shape, "input"), weight)


def test_inputs_of_a_convolution_run_over_its_kernel_first() -> None:
    weight = torch.arange(2 * 4 * 9).reshape(2, 4, 3, 3).float()
    vectors = group(weight, 6, "input")
    assert vectors[1].tolist() == [*weight[0, 0, 2].tolist(), *weight[0, 1, 0].tolist()]
    assert torch.equal(ungroup(vectors, weight.shape, "input"), weight)


def test_outputs_of_a_linear_layer_are_those_of_the_1x1_convolution() -> None:
    weight = torch.randn(8, 5)
    assert torch.equal(group(weight, 4), group(weight[:, :, None, None], 4))
    assert torch.equal(ungroup(group(weight, 4), weight.shape), weight)


def test_d_must_divide_the_axis() -> None:
    with pytest.raises(InputError, match=r"d = 7: does not divide the 27 weights of an output\. Fix"):
        group(torch.zeros(7, 3, 3, 3), 7, "input")
    with pytest.raises(InputError, match="axis = 'kernel': is no axis of a weight"):
        group(torch.zeros(7, 3, 3, 3), 7, "kernel")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"d = 16: does not divide the 24 output channels\. Fix"):
        group(torch.zeros(24, 3, 3, 3), 16)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_must_be_finite(bad: float) -> None:
    weight = torch.zeros(16, 3, 3, 3)
    weight[3, 1, 0, 2] = bad
    with pytest.raises(InputError, match="NaN or infinity"):
        group(weight, 16)
