"""Shapes of well-known networks against published counts."""

from __future__ import annotations

import pytest

from sim.errors import InputError
from sim.shapes import ConvShape, PassShape
from sim.workloads import workload


def convs(name: str) -> list[ConvShape]:
    return [shape for shape in workload(name).shapes if isinstance(shape, ConvShape)]


# Weights without biases and batch norms: torchvision's 11,689,512 / 21,797,672 / 25,557,032
# parameters less two for each normalized channel and the classifier's 1000 biases.
@pytest.mark.parametrize(("name", "macs", "weights", "layers"), [
    ("resnet18", 1_814_073_344, 11_678_912, 21),
    ("resnet34", 3_663_761_408, 21_779_648, 37),
    ("resnet50", 4_089_184_256, 25_502_912, 54),
])
def test_published_counts(name: str, macs: int, weights: int, layers: int) -> None:
    shapes = convs(name)
    assert sum(shape.macs for shape in shapes) == macs
    assert sum(shape.weights for shape in shapes) == weights
    assert len(shapes) == layers


def test_maps_shrink_as_published() -> None:
    sizes = {shape.name: (shape.outputs, shape.out_h) for shape in convs("resnet50")}
    assert sizes["conv1"] == (64, 112)
    assert sizes["layer1.2.conv3"] == (256, 56)
    assert sizes["layer4.2.conv3"] == (2048, 7)
    assert sizes["fc"] == (1000, 1)


def test_residuals_ride_on_the_last_convolution_of_each_block() -> None:
    riding = [shape.name for shape in convs("resnet18") if shape.residual]
    assert riding == [f"layer{s}.{b}.conv2" for s in (1, 2, 3, 4) for b in (0, 1)]


def test_pools() -> None:
    pools = {s.name: s for s in workload("resnet18").shapes if isinstance(s, PassShape)}
    assert pools["maxpool"].elements == 64 * 56 * 56 * 9
    assert (pools["pool"].elements, pools["pool"].results) == (512 * 49, 512)


def test_resnet20_has_twenty_weighted_layers_and_two_shortcuts() -> None:
    shapes = convs("resnet20")
    assert len(shapes) == 20 + 2
    assert (shapes[0].channels, shapes[0].size) == (1, (28, 28))
    assert shapes[-2].ofmap_bytes == 64 * 7 * 7


def test_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(InputError, match="'resnet18'"):
        workload("resnet-18")
