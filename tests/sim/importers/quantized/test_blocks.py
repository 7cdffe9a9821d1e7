"""MatMulNBits of ONNX Runtime: integers of the file where our formats hold its scales, else refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.errors import InputError
from sim.importers.quantized import lower, onnx_source
from sim.network import Conv, DenseWeight, Int2Weight, Int4Weight
from tests.sim.importers.quantized.definition import Model
from tests.sim.importers.quantized.test_lower import compared

INPUTS, OUTPUTS = 80, 6
WHOLE = np.array([[1, 3, 16]] * 5 + [[2, 4, 6]], np.float32) * 0.003
"""Scales of blocks of 32 that a step of 0.003, or of 0.006, divides."""


def model(
    scales: np.ndarray,
    size: int = 32,
    bits: int = 4,
    points: np.ndarray | None = None,
    order: bool = False,
    bias: bool = False,
) -> tuple[Model, str]:
    """A product between activations of int8."""
    net = Model([1, INPUTS])
    x = net.quantize("x", 0.02, 3)
    blocks = -(-INPUTS // size)
    packed = net.rng.integers(0, 256, (OUTPUTS, blocks, size * bits // 8)).astype(np.uint8)
    given = [x, net.constant(packed, np.uint8), net.constant(scales.reshape(-1))]
    zero = "" if points is None else net.constant(points, np.uint8)
    index = net.constant(np.arange(INPUTS) // size, np.int32) if order else ""
    added = net.constant(net.rng.normal(size=OUTPUTS).astype(np.float32)) if bias else ""
    given += [zero, index, added]
    while not given[-1]:
        given.pop()
    sizes: dict[str, Any] = {"N": OUTPUTS, "K": INPUTS, "block_size": size, "bits": bits}
    y = net.node("MatMulNBits", given, domain="com.microsoft", **sizes)
    return net, net.quantize(y, 0.5, -2)


@pytest.mark.parametrize("bias", [False, True])
def test_blocks_are_groups(bias: bool, tmp_path: Path) -> None:
    net, y = model(WHOLE, bias=bias)
    found = compared(net, y, tmp_path)
    (layer,) = (one for one in found.network.layers if isinstance(one, Conv))
    assert isinstance(layer.weight, Int4Weight)
    packed = net.constants["c2"]
    levels = np.stack([packed & 15, packed >> 4], -1).reshape(OUTPUTS, -1)[:, :INPUTS].astype(int) - 8
    assert np.array_equal(layer.weight.elements[:, :, 0, 0], levels)
    assert layer.weight.scales[0, :, 0, 0].tolist() == [1, 3, 16]
    assert layer.weight.scales[5, :, 0, 0].tolist() == [1, 2, 3]
    assert layer.weight.group == 32


def test_two_bits(tmp_path: Path) -> None:
    net, y = model(WHOLE, bits=2)
    found = compared(net, y, tmp_path)
    assert isinstance(found.network.layers[0].weight, Int2Weight)


@pytest.mark.parametrize("bits", [4, 8])
def test_one_block_an_output_is_int8_with_any_scale(bits: int, tmp_path: Path) -> None:
    scales = np.random.default_rng(3).uniform(0.001, 0.01, (OUTPUTS, 1)).astype(np.float32)
    net, y = model(scales, 128, bits)
    found = compared(net, y, tmp_path)
    assert isinstance(found.network.layers[0].weight, DenseWeight)


def test_zero_points_of_whole_outputs(tmp_path: Path) -> None:
    scales = np.full((OUTPUTS, 1), 0.004, np.float32)
    points = np.arange(OUTPUTS, dtype=np.uint8)[:, None] + 5
    net, y = model(scales, 128, points=points)
    found = compared(net, y, tmp_path)
    assert isinstance(found.network.layers[0].weight, DenseWeight)


def test_float16_scales(tmp_path: Path) -> None:
    net, y = model(WHOLE)
    net.constants["c3"] = net.constants["c3"].astype(np.float16)
    net.nodes[2].input[2] = "c3"
    graph = onnx_source.read(net.save(tmp_path / "net.onnx", y))
    assert graph is not None
    weight = lower(graph).network.layers[0].weight
    assert isinstance(weight, Int4Weight)
    assert weight.scales[0, :, 0, 0].tolist() == [1, 3, 16]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"scales": WHOLE * np.array([1, 1.01, 1], np.float32)},
            "the scales of output 0 reach from .* no multiples",
        ),
        (
            {"scales": WHOLE * np.array([1, 1, -1], np.float32)},
            "scales are not all positive|are not all positive",
        ),
        (
            {"scales": WHOLE, "points": np.full((OUTPUTS, 2), 0x99, np.uint8)},
            r"a level less its zero point is beyond -8\.\.7",
        ),
        ({"scales": WHOLE, "bits": 8}, "weights of 8 bits have a scale for each block of 32 inputs"),
        ({"scales": WHOLE, "order": True}, "its inputs have an order"),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, Any], problem: str, tmp_path: Path) -> None:
    net, y = model(**given)
    graph = onnx_source.read(net.save(tmp_path / "net.onnx", y))
    assert graph is not None
    with pytest.raises(InputError, match=problem):
        lower(graph)
