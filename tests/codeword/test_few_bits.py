"""A whole convolutional network in INT4, from a module of PyTorch to the Verilog."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import codeword
from algos.frontend.export import quantize
from algos.weights.scaled import attach_scaled
from sim import accelerator
from sim.network import Conv, Int4Weight


@pytest.mark.slow
def test_from_a_module_to_the_verilog():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 20, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(20, 20, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(20, 10),
    ).eval()
    for layer in (model[2], model[4]):
        attach_scaled(layer, "int4", 4)
    pixels = torch.rand(16, 2, 8, 8)
    net = quantize(model, [pixels], name="int4").network
    assert sum(isinstance(layer, Conv) and isinstance(layer.weight, Int4Weight) for layer in net.layers) == 2
    machine = accelerator.load("int4-g32-8", {"scale_group": 4})
    codes = net.input.quantize(pixels[:1].numpy()).astype(np.int8)
    assert codeword.simulate(net, machine, codes).bit_exact
    result = codeword.verify(machine, network=net, image=codes, simulator="icarus")
    assert result.mismatches == 0
    assert result.words_compared > 100
    assert result.cycles_rtl == result.cycles_model
