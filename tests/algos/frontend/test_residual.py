"""Residual paths of 16 bits: what rounding a sum leaves comes back at the next one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import codeword
from algos import reference
from algos.frontend.calibrate import Scheme
from algos.frontend.export import quantize
from sim.errors import InputError
from sim.network import Add, run


class Blocks(nn.Module):
    """A path that grows far beyond its branches, of small steps."""

    def __init__(self, count: int = 8) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(count))
        self.inner = nn.ModuleList(nn.Linear(8, 8) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        for norm, linear in zip(self.norms, self.inner, strict=True):
            x = x + 0.3 * linear(norm(x))
        return x


def made(bits: int, module: nn.Module, images: Tensor):
    return quantize(module.eval(), [images], scheme=Scheme(residual_bits=bits))


def test_a_path_keeps_what_rounding_leaves() -> None:
    torch.manual_seed(1)
    module, images = Blocks(), 6 * torch.randn(16, 12, 8)
    narrow, wide = (made(bits, module, images) for bits in (8, 16))
    adds = [sum(isinstance(layer, Add) for layer in found.network.layers) for found in (narrow, wide)]
    assert adds == [8, 8 + 7 + 2 * 7]  # all but the first take a remainder, all but the last leave one
    assert wide.fidelity[-1].sqnr_db > narrow.fidelity[-1].sqnr_db + 2
    integers = wide.integers(images)
    tensors = run(wide.network, integers)
    theirs = reference.run(wide.network, torch.from_numpy(integers).long())
    for layer, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, theirs[layer].numpy(), err_msg=layer)
    simulated = codeword.simulate(wide.network, "ews-16", integers[:1])
    assert simulated.bit_exact
    before = codeword.simulate(narrow.network, "ews-16", narrow.integers(images[:1]))
    assert sum(one.total_cycles for one in simulated.layers) > sum(one.total_cycles for one in before.layers)


def test_a_sum_behind_which_a_function_is_stays_one_layer() -> None:
    torch.manual_seed(1)

    class Rectified(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(x + self.one(x))
            return F.relu(x + self.two(x))

    images = torch.randn(16, 8)
    kinds = [[layer.kind for layer in made(bits, Rectified(), images).network.layers] for bits in (8, 16)]
    assert kinds[0] == kinds[1]


def test_other_bits_are_refused() -> None:
    with pytest.raises(InputError, match="residual_bits = 12: neither 8 nor 16"):
        Scheme(residual_bits=12)
