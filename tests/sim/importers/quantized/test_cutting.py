"""Parts of tensors, windows beyond the map, quantized constants and several results, against ONNX's definition."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sim.errors import InputError
from sim.importers.quantized import lower, onnx_source
from sim.network import run
from tests.sim.importers.quantized.definition import Model
from tests.sim.importers.quantized.test_lower import compared, conv, image, lowered


def ints(model: Model, *values: int) -> str:
    return model.constant(values, np.int64)


def _slice(model: Model, x: str) -> str:
    borders = ints(model, 1, -1, 2), ints(model, 7, -12, 1000), ints(model, 1, 3, 2), ints(model, 2, -3, 1)
    return model.node("Slice", [x, *borders])


def _one(model: Model, x: str) -> str:
    """A row, and of what is left every second channel."""
    row = model.node("Gather", [x, model.constant(5, np.int64)], axis=2)
    some = model.node("Gather", [row, ints(model, 6, 4, 2)], axis=1)
    return model.node("Reshape", [some, ints(model, 1, 3, 1, 12)])


def _parts(model: Model, x: str) -> str:
    a, b = model.nodes_of("Split", [x, ints(model, 6, 2)], 2, axis=1)
    c = model.node("Slice", [a, ints(model, 3), ints(model, 5), ints(model, 1)])
    return model.node("Concat", [b, c, b], axis=1)


def _tokens(model: Model, x: str) -> str:
    """Of maps as tokens, after a function: the first ones."""
    flat = model.node("Reshape", [model.node("Relu", [x]), ints(model, 1, 8, -1)])
    turned = model.node("Transpose", [flat], perm=[0, 2, 1])
    return model.node("Slice", [turned, ints(model, 0), ints(model, 9), ints(model, 1)])


def _hanging(model: Model, x: str) -> str:
    return model.node("MaxPool", [x], kernel_shape=[3, 2], strides=[2, 5], pads=[1, 0, 1, 0], ceil_mode=1)


def _constant(model: Model, x: str) -> str:
    return model.node("Concat", [model.weight((1, 3, 12, 12), 0.07), x], axis=1)


@pytest.mark.parametrize("build", [_slice, _one, _parts, _tokens, _hanging, _constant])
def test_layers_take_what_the_definition_does(build: Callable[[Model, str], str], tmp_path: Path) -> None:
    model, x = image(8)
    y = model.quantize(conv(model, x, (8, 8, 1, 1), 0.031), 0.07)
    found = compared(model, model.quantize(build(model, y), 0.07), tmp_path)
    assert found.network.layers[-1].kind != "conv"


def test_several_results(tmp_path: Path) -> None:
    model, x = image(4)
    first = model.quantize(conv(model, x, (6, 4, 3, 3), 0.031), 0.07, 5)
    second = model.quantize(conv(model, first, (4, 6, 1, 1), 0.07), 0.11, -9)
    graph = onnx_source.read(model.save(tmp_path / "net.onnx", second, also=[first]))
    assert graph is not None
    network = lower(graph).network
    said = network.metadata["outputs"]
    assert isinstance(said, dict)
    assert [q["zero_point"] for q in said.values()] == [-9, 5]
    assert network.metadata["output"] == said[network.layers[-1].name]
    pixels = np.random.default_rng(3).normal(size=model.shape).astype(np.float32)
    wanted, tensors = model.run(pixels), run(network, network.input.quantize(pixels))
    for (name, q), output in zip(said.items(), (second, first), strict=True):
        real = (tensors[name] - float(q["zero_point"])) * q["scale"]
        assert np.abs(real - wanted[output]).max() < 1.01 * q["scale"]


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda m, x: m.node("Gather", [x, ints(m, 0, 1, 3)], axis=1), "no equal steps"),
        (lambda m, x: m.node("Slice", [x, ints(m, 4), ints(m, 4), ints(m, 1)]), "takes nothing"),
        (
            lambda m, x: m.node("Concat", [x, m.constant(np.ones((1, 2, 12, 12)))], axis=1),
            "constant in float",
        ),
    ],
)
def test_refusals(build: Callable[[Model, str], str], problem: str, tmp_path: Path) -> None:
    model, x = image(8)
    with pytest.raises(InputError, match=problem):
        lowered(model, model.quantize(build(model, x), 0.1), tmp_path, [1, 8, 12, 12])
