"""What networks of others spell: recognized, near the float network, and computed alike by the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from algos import reference
from algos.frontend.export import quantize
from algos.frontend.movement import affine
from sim import accelerator
from sim.network import Constant, LayerNorm, MatMul, Multiply, Network, Rearrange, Scan, Softmax
from sim.systolic.engine import simulate
from tests.algos.frontend import patterns

TOKENS = (patterns.TOKENS, patterns.DIM)

CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], dict[type, int]]] = {
    # name: the module, the size of its input, how many layers of some kinds it takes
    "causal": (patterns.Causal, TOKENS, {MatMul: 2, Softmax: 1, Rearrange: 0}),
    "grouped": (patterns.Grouped, TOKENS, {MatMul: 2, Softmax: 1, Rearrange: 2}),
    "biased": (patterns.Biased, TOKENS, {MatMul: 2, Softmax: 1, Constant: 1}),
    "spelled": (patterns.Spelled, TOKENS, {MatMul: 2, Softmax: 1, Rearrange: 0}),
    "rotated": (patterns.Rotated, TOKENS, {MatMul: 2, Softmax: 1, LayerNorm: 1, Multiply: 4}),
    "summed": (patterns.Summed, TOKENS, {MatMul: 2, Softmax: 1}),
    "interleaved": (patterns.Interleaved, TOKENS, {MatMul: 2, Softmax: 1, LayerNorm: 1, Multiply: 4}),
    "cosine": (patterns.Cosine, TOKENS, {MatMul: 2, Softmax: 1, LayerNorm: 2}),
    "windows": (patterns.Windows, (patterns.DIM, 4, 6), {MatMul: 2, Softmax: 1}),
    "tokens": (patterns.Tokens, (patterns.TOKENS - 1, patterns.DIM), {Constant: 2}),
    "loop": (patterns.Loop, TOKENS, {Scan: 1}),
    "pictures": (patterns.pictures, (3, 7, 6), {LayerNorm: 2}),
}
MASKED = ("causal", "grouped", "biased", "spelled", "rotated", "interleaved", "windows")


def made(case: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(1)
    module, size, _ = CASES[case]
    return module().eval(), torch.randn(6, *size)


@pytest.mark.parametrize("case", CASES)
def test_patterns_become_their_layers(case: str) -> None:
    module, images = made(case)
    found = quantize(module, [images])
    counts = Counter(type(layer) for layer in found.network.layers)
    expected = CASES[case][2]
    assert {kind: counts[kind] for kind in expected} == expected
    assert found.fidelity[-1].sqnr_db > 20
    masks = [layer.mask for layer in found.network.layers if isinstance(layer, Softmax)]
    assert all((mask is not None) == (case in MASKED) for mask in masks)
    check(found.network, module, images)


def check(network: Network, module: nn.Module, images: Tensor) -> None:
    """Engine, functional model and PyTorch reference agree on every tensor, for one image."""
    q = np.rint(images[:1].numpy() / network.input.scale) + network.input.zero_point
    q = np.clip(q.reshape(1, -1), -128, 127).astype(np.int8)
    if images.ndim == 3:
        q = q.reshape(1, *images.shape[1:]).swapaxes(1, 2)
    q = np.ascontiguousarray(q).reshape(1, *network.input.shape)
    simulation = simulate(network, accelerator.preset("ews-8"), q)
    assert simulation.bit_exact
    for name, tensor in reference.run(network, torch.from_numpy(q).long()).items():
        np.testing.assert_array_equal(simulation.tensors[name], tensor, err_msg=name)


def test_a_mask_that_hides_is_exact() -> None:
    """What a causal network says of the first tokens does not change with the last one."""
    module, images = made("causal")
    network = quantize(module, [images]).network
    q = np.random.default_rng(0).integers(-128, 128, (1, *network.input.shape)).astype(np.int8)
    other = q.copy()
    other[:, :, -1] = ~q[:, :, -1]
    machine = accelerator.preset("ews-8")
    first, second = (simulate(network, machine, x).tensors[network.layers[-1].name] for x in (q, other))
    np.testing.assert_array_equal(first[:, :, :-1], second[:, :, :-1])
    assert (first[:, :, -1] != second[:, :, -1]).any()


def test_movements_one_after_the_other_are_one_and_none_where_they_cancel() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 8, 1)
    turned = nn.Sequential(
        conv, nn.PixelShuffle(2), nn.ReflectionPad2d(0), nn.ChannelShuffle(2), nn.Flatten()
    )
    there = nn.Sequential(conv, nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.Conv2d(8, 2, 1))
    images = torch.randn(2, 3, 4, 4)
    for module, expected in ((turned, 1), (there, 0)):
        layers = quantize(module, [images]).network.layers
        assert sum(isinstance(layer, Rearrange) for layer in layers) == expected


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(-20, 20)), max_size=4), st.integers(0, 9))
def test_sizes_and_strides_are_found(digits: list[tuple[int, int]], offset: int) -> None:
    def counted(sizes, strides, first) -> np.ndarray:
        places = np.array([first])
        for size, stride in zip(sizes, strides, strict=True):
            places = (places[:, None] + np.arange(size) * stride).reshape(-1)
        return places

    index = counted([size for size, _ in digits], [stride for _, stride in digits], offset)
    found = affine(index)
    assert found is not None
    np.testing.assert_array_equal(counted(*found), index)


def test_no_strides_count_through_some_places() -> None:
    assert affine(np.array([0, 1, 3])) is None
    assert affine(np.array([0, 1, 4, 6])) is None
