"""Programs with PT2E's quantizers, against torch's own arithmetic on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.ao.quantization.fx._decomposed  # declares the operators
from torch import Tensor, nn

from algos.frontend import pt2e
from sim.errors import InputError
from sim.network import run

OPERATORS = torch.ops.quantized_decomposed


def quantize(x: Tensor, scale: float, zero: int, *, unsigned: bool = False) -> Tensor:
    """What `convert_pt2e` puts behind an operator."""
    limits = (0, 255, torch.uint8) if unsigned else (-128, 127, torch.int8)
    return OPERATORS.dequantize_per_tensor(
        OPERATORS.quantize_per_tensor(x, scale, zero, *limits), scale, zero, *limits
    )


class Weight(nn.Module):
    """int8 weights with a scale a channel, and a float bias."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("integers", torch.randint(-127, 128, shape).to(torch.int8))
        self.register_buffer("scales", torch.rand(shape[0]) * 0.002 + 0.002)
        self.register_buffer("zeros", torch.zeros(shape[0], dtype=torch.int64))
        self.bias = nn.Parameter(torch.randn(shape[0]) * 0.1)

    def forward(self) -> Tensor:
        found: Tensor = OPERATORS.dequantize_per_channel(
            self.integers, self.scales, self.zeros, 0, -127, 127, torch.int8
        )
        return found


class Block(nn.Module):
    """A residual block with everything quantized, as one writes a quantizer for a machine of integers."""

    def __init__(self, *, wide: bool = False) -> None:
        super().__init__()
        self.a, self.b, self.c = Weight(8, 3, 3, 3), Weight(8, 1, 3, 3), Weight(5, 8)
        self.wide = wide

    def forward(self, x: Tensor) -> Tensor:
        x = quantize(x, 0.02, -3)
        x = nn.functional.conv2d(x, self.a(), self.a.bias, padding=1)
        x = quantize(torch.relu(x), 0.03, 0, unsigned=True)
        y = nn.functional.conv2d(x, self.b(), self.b.bias, padding=1, groups=8)
        y = y if self.wide else quantize(y, 0.02, 2)
        x = quantize(nn.functional.hardtanh(x + y, 0.0, 6.0), 0.025, 0, unsigned=True)
        x = quantize(x * nn.functional.silu(x), 0.15, -90)
        x = quantize(nn.functional.max_pool2d(x, 2), 0.15, -90)
        x = quantize(nn.functional.adaptive_avg_pool2d(x, 1), 0.05, -80).flatten(1)
        return quantize(nn.functional.linear(x, self.c(), self.c.bias), 0.05, 0)


def test_a_program_of_integers() -> None:
    torch.manual_seed(0)
    block = Block().eval()
    program = torch.export.export(block, (torch.rand(1, 3, 8, 8),))
    assert pt2e.quantized(program)
    found = pt2e.import_program(program, "block")
    kinds = [layer.kind for layer in found.network.layers]
    assert kinds == ["conv", "conv", "add", "table", "pool", "average_pool", "conv"]
    images = torch.rand(6, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        wanted = block(images).numpy()
    net, q = found.network, found.network.metadata["output"]
    assert isinstance(q, dict)
    ours = run(net, net.input.quantize(images.numpy()))[net.layers[-1].name].reshape(6, 5).astype(np.float64)
    steps = (ours - q["zero_point"]) - wanted / q["scale"]
    assert np.abs(steps).max() < 1.01
    assert (np.abs(steps) < 0.01).mean() > 0.8


def test_what_is_left_in_float_is_named() -> None:
    program = torch.export.export(Block(wide=True).eval(), (torch.rand(1, 3, 8, 8),))
    with pytest.raises(InputError, match=r"reads the result of Conv conv2d_1 in float.*quantize the output"):
        pt2e.import_program(program)


def test_a_float_program_has_no_quantizers() -> None:
    assert not pt2e.quantized(torch.export.export(nn.ReLU(), (torch.rand(2),)))
