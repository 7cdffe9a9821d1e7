"""Networks of inverted residuals: structure, one-sided padding, integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from algos import reference
from algos.frontend.calibrate import Activation, Scheme
from algos.frontend.export import quantize
from algos.models.inverted_residual import EFFICIENTNET_LITE0, MOBILENET_V2, InvertedResidualNet, Stage
from sim.network import Conv, run

SMALL = (Stage(1, 8, 1, 1), Stage(3, 16, 2, 2), Stage(2, 16, 2, 1, 5))


def small(one_sided: bool = False) -> InvertedResidualNet:
    torch.manual_seed(0)
    model = InvertedResidualNet(replace(MOBILENET_V2, stages=SMALL, one_sided=one_sided)).eval()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.1, 0.5)
            layer.weight.data.uniform_(-0.5, 2.0)
            layer.bias.data.normal_(0.5, 1.0)
    return model


@pytest.mark.parametrize(
    ("source", "parameters"), [(MOBILENET_V2, 3_504_872), (EFFICIENTNET_LITE0, 4_652_008)]
)
def test_published_sizes(source, parameters):
    """Of the papers, without the zeros of one-sided kernels."""
    model = InvertedResidualNet(replace(source, one_sided=False))
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_widened_kernel_pads_like_tensorflow(kernel):
    """SAME at stride 2 on an even size: (k - 2) // 2 before, one more behind."""
    x, weight = torch.rand(1, 4, 14, 14), torch.rand(6, 4, kernel, kernel)
    before = (kernel - 2) // 2
    expected = F.conv2d(F.pad(x, (before, before + 1, before, before + 1)), weight, stride=2)
    wide = F.pad(weight, (1, 0, 1, 0))
    torch.testing.assert_close(F.conv2d(x, wide, stride=2, padding=kernel // 2), expected)
    assert expected.shape[2] == 7


@pytest.mark.parametrize("one_sided", [False, True])
def test_integers_follow_the_float_network_and_agree_with_the_simulator(one_sided):
    model = small(one_sided)
    inputs = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    quantized = Activation(4 / 127)
    net = quantize(model, [inputs], name="small", input=quantized).network
    assert [layer.name for layer in net.layers if isinstance(layer, Conv) and layer.groups > 1] == [
        f"blocks.{n}.depthwise.0" for n in range(5)
    ]
    assert sum(type(layer).__name__ == "Add" for layer in net.layers) == 3

    images = torch.from_numpy(net.input.quantize(inputs.numpy())).long()
    found = reference.run(net, images)
    for name, tensor in run(net, images.numpy().astype(np.int8)).items():
        np.testing.assert_array_equal(tensor, found[name].numpy())
    logits = found["fc"].flatten(1).double()
    with torch.no_grad():
        expected = model(images * quantized.scale).double()
    gain = (logits * expected).sum() / (logits * logits).sum()
    assert float((gain * logits - expected).norm() / expected.norm()) < 0.1


def test_relu6_clamps_at_six():
    model = small()
    inputs = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 20
    with torch.no_grad():
        model.stem[1].weight.abs_()
    found = quantize(model, [inputs], scheme=Scheme(symmetric=True), allow=["*"])
    with torch.no_grad():
        assert float(model.stem(inputs).max()) == 6.0
    stem = found.activations["stem.0"]
    assert stem.low == 0
    assert 6 - stem.scale < stem.high * stem.scale < 6 + stem.scale / 2
