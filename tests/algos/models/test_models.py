"""ResNets for small images."""

from __future__ import annotations

import pytest
import torch

from algos import reference
from algos.methods import mvq
from algos.methods.method import Data
from algos.models.resnet import ResNet, widened
from sim.errors import InputError
from tests.algos.small_models import images, resnet8


def test_resnet20_has_272186_parameters() -> None:
    assert sum(p.numel() for p in ResNet().parameters()) == 272_186


def test_body_is_every_convolution_behind_the_stem() -> None:
    model = ResNet(8)
    names = [
        "blocks.0.conv1",
        "blocks.0.conv2",
        "blocks.1.conv1",
        "blocks.1.conv2",
        "blocks.1.shortcut.0",
        "blocks.2.conv1",
        "blocks.2.conv2",
        "blocks.2.shortcut.0",
    ]
    assert list(model.body()) == names
    assert len(ResNet(20).body()) == 20


def test_maps_halve_twice() -> None:
    model = ResNet(8, 4)
    with torch.no_grad():
        assert model.blocks(torch.zeros(1, 4, 28, 28)).shape == (1, 16, 7, 7)
        assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("depth", [2, 9, 18])
def test_bad_depth(depth: int) -> None:
    with pytest.raises(InputError, match=f"depth = {depth}"):
        ResNet(depth)


def test_widened_model_computes_the_same() -> None:
    model = resnet8(width=6)
    wide = widened(model, 16).eval()
    assert (wide.width, wide.depth) == (16, 8)
    x = images(8).pixels.float() / 255
    with torch.no_grad():
        torch.testing.assert_close(wide(x), model(x), atol=1e-4, rtol=1e-4)


def test_widened_model_can_be_compressed() -> None:
    config, data = mvq.MvqConfig(k=16, epochs=0), Data(images(16), images(16))
    with pytest.raises(InputError, match="does not divide the 6 output channels"):
        mvq.METHOD.compress(resnet8(width=6), data, config)
    net = mvq.METHOD.compress(widened(resnet8(width=6), 16), data, config)
    assert reference.logits(net, images(4).pixels).shape == (4, 10)
