"""What networks of others spell: recognized, near the float network, and computed alike by the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from algos import reference
from algos.frontend.export import quantize
from algos.frontend.record import record
from algos.frontend.operators import OPERATORS
from algos.frontend.rewrites import rewrite
from sim import accelerator
from sim.network import Constant, LayerNorm, MatMul, Multiply, Network, Rearrange, Scan, Softmax
from sim.systolic.engine import simulate
from tests.algos.frontend import patterns

TOKENS = (patterns.TOKENS, patterns.DIM)

CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], dict[type, int]]] = {
    # name: the module, the size of its input, how many layers of some kinds it takes
    "attention": (patterns.Attention, TOKENS, {MatMul: 2, Softmax: 1, Rearrange: 0}),
    "causal": (patterns.Causal, TOKENS, {MatMul: 2, Softmax: 1, Rearrange: 0}),
    "grouped": (patterns.Grouped, TOKENS, {MatMul: 2, Softmax: 1, Rearrange: 2}),
    "biased": (patterns.Biased, TOKENS, {MatMul: 2, Softmax: 1, Constant: 1}),
    "spelled": (patterns.Spelled, TOKENS, {MatMul: 2, Softmax: 1, Rearrange: 0}),
    "rotated": (patterns.Rotated, TOKENS, {MatMul: 2, Softmax: 1, LayerNorm: 1, Multiply: 4}),
    "windows": (patterns.Windows, (patterns.DIM, 4, 6), {MatMul: 2, Softmax: 1}),
    "tokens": (patterns.Tokens, (patterns.TOKENS - 1, patterns.DIM), {Constant: 2}),
    "loop": (patterns.Loop, TOKENS, {Scan: 1}),
    "pictures": (patterns.pictures, (3, 7, 6), {LayerNorm: 2}),
}
MASKED = ("causal", "grouped", "biased", "spelled", "rotated", "windows")


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


@pytest.mark.parametrize("case", CASES)
def test_a_rewritten_graph_computes_the_same(case: str) -> None:
    module, images = made(case)
    graph = record(module, (images[:1],), OPERATORS)
    before = {node.operation for node in graph.nodes}
    rewrite(graph, OPERATORS)
    assert case in ("attention", "tokens") or {node.operation for node in graph.nodes} != before
    with torch.no_grad():
        expected = module(images[:1])
        found = graph.run((images[:1],))[graph.outputs[0]]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


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
