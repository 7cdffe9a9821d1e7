"""Codebooks of transposed convolutions: of the convolutions that compute them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import codeword
from algos.methods.registry import METHODS
from algos.weights.codebook import attached
from algos.weights.phases import joined, phases
from codeword.reports.zoo import excerpts
from rtl.verify import verify_network
from sim.accelerator import load
from sim.network import CodebookWeight, Conv, run


class Decoder(nn.Module):
    """Twice as large, twice; the last but one has a kernel of 3 at stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, 4, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.grouped = nn.ConvTranspose2d(8, 4, 2, 2, groups=2)
        self.uneven = nn.ConvTranspose2d(4, 4, 3, 2, 1, 1)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.up(F.relu(self.stem(x)))))
        return self.head(F.relu(self.uneven(F.relu(self.grouped(x)))))


@pytest.mark.parametrize(("kernel", "stride", "groups"), [((4, 2), (2, 2), 1), ((6, 3), (3, 1), 2)])
def test_the_convolution_of_a_transposed_one(kernel, stride, groups):
    """Its outputs, a place between two inputs each, in turns."""
    torch.manual_seed(1)
    layer = nn.ConvTranspose2d(4, 6, kernel, stride, groups=groups, bias=False)
    weight = phases(layer.weight, stride, groups)
    assert torch.equal(joined(weight, stride, groups), layer.weight)
    taps = [k // s for k, s in zip(kernel, stride, strict=True)]
    assert weight.shape == (6 * stride[0] * stride[1], 4 // groups, *taps)
    x = torch.randn(2, 4, 5, 4)
    y = F.conv2d(F.pad(x, (taps[1] - 1,) * 2 + (taps[0] - 1,) * 2), weight, groups=groups)
    y = y.unflatten(1, (6, *stride)).permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
    torch.testing.assert_close(y, layer(x))


@pytest.fixture(scope="module")
def batches():
    torch.manual_seed(0)
    return [torch.randn(8, 3, 6, 5) for _ in range(2)]


def prepared(method, batches, **options):
    torch.manual_seed(3)
    module = Decoder()
    with torch.no_grad():
        module.norm.weight.uniform_(0.5, 1.5)
    return METHODS[method].prepare(module, batches=batches, **options)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("vq", {"d": 4, "k": 8}),
        ("mvq", {"d": 8, "k": 8, "pattern": (2, 4)}),
        ("ssvq", {"d": 4, "k": 4, "updates": 4}),
    ],
)
def test_methods_take_them(method, options, batches):
    made = prepared(method, batches, **options)
    assert set(made.plan.targets) == {"up", "grouped"}
    assert "its stride does not divide its kernel" in made.plan.skipped["uneven"]
    optimizer = torch.optim.SGD(made.parameters(), 0.01)
    made.module(batches[0]).square().mean().backward()
    codewords = attached(made.module.up).codebook.codewords
    before = codewords.detach().clone()
    optimizer.step()
    made.after_step()
    assert not torch.equal(codewords, before)
    network = made.quantized(batches).network
    (up,) = (layer for layer in network.layers if layer.name.startswith("up") and isinstance(layer, Conv))
    assert isinstance(up.weight, CodebookWeight)
    assert up.weight.shape == (32, 8, 2, 2)
    scale = attached(made.module.up).scales()[0]
    real = phases(made.module.up.weight.detach(), (2, 2), 1)
    np.testing.assert_allclose(up.weight.decode() * scale, real, atol=1e-5)


def test_the_engine_has_every_value(batches):
    network = prepared("vq", batches, d=4, k=8).convert(batches)
    image = network.input.quantize(batches[0][:1].numpy())
    assert codeword.simulate(network, "ews-c-16", image, settings=["codeword_length=4"]).bit_exact


@pytest.mark.slow
def test_one_on_the_rtl(batches):
    network = prepared("vq", batches, d=4, k=8).convert(batches)
    image = network.input.quantize(batches[0][:1].numpy())
    cut = excerpts.smallest(network)["2x2, codebook"]
    found = verify_network(load("ews-c-4"), cut.network, run(network, image)[cut.reads], "icarus")
    assert (found.equal, found.mismatches) == (True, 0)
