"""Quantized ONNX against its definition, tensor by tensor: each layer reads the definition's own integers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.importers.quantized import Lowered, lower, onnx_source
from sim.network import Conv, Table, run, run_layer
from tests.sim.importers.quantized.definition import Model

PLACES = 12
"""Values along the height and width of the tests' maps."""


def lowered(model: Model, output: str, path: Path, shape: Sequence[int] | None = None) -> Lowered:
    graph = onnx_source.read(model.save(path / "net.onnx", output, shape))
    assert graph is not None
    return lower(graph)


def compared(model: Model, output: str, path: Path, images: int = 3) -> Lowered:
    """Each layer on the integers of the definition: at most a step beside, and not at all where it says so."""
    found = lowered(model, output, path)
    net = found.network
    counted = {one.layer: one for one in found.comparisons}
    outside = {inside: name for name, inside in found.tensors.items()}
    for seed in range(images):
        x = np.random.default_rng(seed).normal(size=model.shape).astype(np.float32)
        wanted = model.run(x)
        tensors = {"input": net.input.quantize(x[0].reshape(net.input.shape))[None]}
        for layer in net.layers:
            tensors[layer.name] = run_layer(net, layer, tensors)
            if layer.name not in outside:
                continue
            given = wanted[outside[layer.name]]
            integers = given.astype(np.int64) - (128 if given.dtype == np.uint8 else 0)
            mine = tensors[layer.name][0].astype(np.int64)
            assert sorted(mine.reshape(-1).shape) == sorted(integers.reshape(-1).shape)
            theirs = _laid(integers, mine.shape)
            apart = np.abs(mine - theirs)
            one = counted.get(layer.name)
            assert apart.max() <= (1 if one is not None and (one.apart or one.why) else 0), layer.name
            tensors[layer.name] = theirs[None].astype(np.int8)
    return found


def _laid(integers: np.ndarray, extent: tuple[int, ...]) -> np.ndarray:
    """[1, tokens, channels] as a map (channels, tokens, 1); everything else lies as it is."""
    if integers.ndim == 3:
        return integers[0].T[:, :, None]
    return integers.reshape(extent)


def image(
    channels: int = 3, *, scale: float = 0.031, zero: int = 3, dtype: Any = np.int8
) -> tuple[Model, str]:
    model = Model([1, channels, PLACES, PLACES])
    return model, model.quantize("x", scale, zero, dtype)


def conv(model: Model, x: str, shape: tuple[int, ...], scale: float, **attributes: Any) -> str:
    """A convolution with a scale a channel."""
    scales = model.rng.uniform(0.001, 0.004, shape[0]).astype(np.float32)
    bias = model.bias(shape[0], scales * np.float32(scale))
    return model.node("Conv", [x, model.weight(shape, scales), bias], **attributes)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((8, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
        ((8, 3, 3, 3), {"strides": [2, 2], "pads": [0, 0, 1, 1]}),
        ((6, 1, 3, 3), {"group": 3, "pads": [2, 2, 2, 2], "dilations": [2, 2]}),
        ((4, 3, 2, 5), {"pads": [1, 2, 0, 2]}),
    ],
)
def test_convolutions(shape: tuple[int, ...], attributes: dict[str, Any], dtype: Any, tmp_path: Path) -> None:
    zero = 131 if dtype is np.uint8 else 3
    model, x = image(zero=zero, dtype=dtype)
    y = model.node("Relu", [conv(model, x, shape, 0.031, **attributes)])
    found = compared(model, model.quantize(y, 0.02, 0 if dtype is np.uint8 else -128, dtype), tmp_path)
    assert [layer.kind for layer in found.network.layers] == ["conv"]
    layer = found.network.layers[0]
    assert isinstance(layer, Conv)
    assert layer.requantization is not None
    assert layer.requantization.low == -128


def test_convolution_along_one_axis(tmp_path: Path) -> None:
    model = Model([1, 6, 20])
    x = model.quantize("x", 0.03)
    y = conv(model, x, (4, 6, 5), 0.03, pads=[2, 2], strides=[2])
    graph = onnx_source.read(model.save(tmp_path / "net.onnx", model.quantize(y, 0.05)))
    assert graph is not None
    found = lower(graph)
    value = np.random.default_rng(1).normal(size=(1, 6, 20)).astype(np.float32)
    wanted = model.run(value)[list(found.tensors)[-1]]
    given = run(found.network, found.network.input.quantize(value[0])[None, :, :, None])
    last = given[found.network.layers[-1].name][0, :, :, 0]
    assert np.abs(last.astype(int) - wanted[0]).max() <= 1


def test_residual_block_with_pooling_and_classifier(tmp_path: Path) -> None:
    model, x = image(8, zero=-5)
    a = model.quantize(model.node("Relu", [conv(model, x, (8, 8, 3, 3), 0.031, pads=[1] * 4)]), 0.017, -128)
    b = model.quantize(conv(model, a, (8, 8, 3, 3), 0.017, pads=[1] * 4), 0.023, 7)
    c = model.quantize(model.node("Relu", [model.node("Add", [b, x])]), 0.029, -128)
    d = model.quantize(
        model.node("MaxPool", [c], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), 0.029, -128
    )
    e = model.quantize(model.node("AveragePool", [d], kernel_shape=[2, 2], strides=[2, 2]), 0.02, -128)
    f = model.quantize(model.node("GlobalAveragePool", [e]), 0.01, -100)
    g = model.node("Flatten", [f])
    weight = model.weight((5, 8), 0.003)
    y = model.node("Gemm", [g, weight, model.bias(5, np.float32(0.01) * np.float32(0.003))], transB=1)
    found = compared(model, model.quantize(y, 0.013, 4), tmp_path)
    kinds = [layer.kind for layer in found.network.layers]
    assert kinds == ["conv", "conv", "add", "pool", "pool", "average_pool", "conv"]
    assert found.network.metadata["output"] == {"scale": pytest.approx(0.013), "zero_point": 4}


def test_functions_of_one_tensor_are_tables_and_ride_on_convolutions(tmp_path: Path) -> None:
    model, x = image()
    a = model.quantize(conv(model, x, (8, 3, 1, 1), 0.031), 0.04, 5)
    b = model.quantize(model.node("HardSigmoid", [a], alpha=1 / 6, beta=0.5), 1 / 255, -128)
    c = model.quantize(model.node("Mul", [a, b]), 0.033, -2)  # hard swish, in two operators
    d = model.node("Mul", [model.node("Sigmoid", [c]), c])  # SiLU, in one table
    found = compared(model, model.quantize(d, 0.03, -110), tmp_path)
    kinds = [layer.kind for layer in found.network.layers]
    assert kinds == ["conv", "table", "multiply", "table"]
    alone, x = image()
    only = alone.quantize(conv(alone, x, (8, 3, 1, 1), 0.031), 0.04, 5)
    riding = compared(alone, alone.quantize(alone.node("Sigmoid", [only]), 1 / 255, -128), tmp_path)
    assert [layer.kind for layer in riding.network.layers] == ["conv"]
    assert riding.network.layers[0].requantization.table is not None  # type: ignore[attr-defined]


def test_squeeze_and_excite_concat_resize_and_padding(tmp_path: Path) -> None:
    model, x = image(8)
    s = model.quantize(model.node("GlobalAveragePool", [x]), 0.009, 3)
    gate = model.quantize(
        model.node("Sigmoid", [model.quantize(conv(model, s, (8, 8, 1, 1), 0.009), 0.01)]), 1 / 255, -128
    )
    y = model.quantize(model.node("Mul", [x, gate]), 0.025)
    pads = model.constant([0, 0, 1, 0, 0, 0, 1, 2], np.int64)
    padded = model.quantize(model.node("Pad", [y, pads]), 0.025)
    z = model.quantize(conv(model, padded, (4, 8, 3, 3), 0.025, strides=[2, 2]), 0.06)
    scales = model.constant([1, 1, 2, 2])
    up = model.node(
        "Resize",
        [z, "", scales],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    wide = model.quantize(up, 0.06)
    joined = model.node("Concat", [wide, model.quantize(model.node("Relu", [wide]), 0.05, -128)], axis=1)
    found = compared(model, model.quantize(joined, 0.055, -20), tmp_path)
    kinds = [layer.kind for layer in found.network.layers]
    assert "upsample" in kinds
    assert "concat" in kinds


def test_attention_of_heads(tmp_path: Path) -> None:
    tokens, heads, size = 6, 2, 4
    width = heads * size
    model = Model([1, tokens, width])
    x = model.quantize("x", 0.03, 2)

    def linear(value: str) -> str:
        product = model.node("MatMul", [value, model.weight((width, width), 0.003, axis=1)])
        return model.quantize(product, 0.02, -3)

    def split(value: str, order: list[int]) -> str:
        shape = model.constant([0, 0, heads, size], np.int64)
        return model.node("Transpose", [model.node("Reshape", [value, shape])], perm=order)

    q, v = (split(linear(x), [0, 2, 1, 3]) for _ in range(2))
    k = split(linear(x), [0, 2, 3, 1])
    scores = model.quantize(model.node("MatMul", [q, k]), 0.02)
    weights = model.quantize(model.node("Softmax", [scores], axis=-1), 1 / 256, -128)
    mixed = model.quantize(model.node("MatMul", [weights, v]), 0.015, 1)
    back = model.node("Transpose", [mixed], perm=[0, 2, 1, 3])
    y = model.node("Reshape", [back, model.constant([0, 0, width], np.int64)])
    out = linear(y)
    path = model.save(tmp_path / "net.onnx", out)
    graph = onnx_source.read(path)
    assert graph is not None
    net = lower(graph).network
    assert [layer.kind for layer in net.layers].count("matmul") == 2
    value = np.random.default_rng(3).normal(size=(1, tokens, width)).astype(np.float32)
    wanted = model.run(value)[out][0]
    given = run(net, net.input.quantize(value[0].T[None, :, :, None]))[net.layers[-1].name][0, :, :, 0].T
    apart = np.abs((given - net.metadata["output"]["zero_point"]) * 0.02 - wanted) / 0.02  # type: ignore[index]
    assert apart.max() < 3.5  # softmax has a definition of its own
    assert np.corrcoef(given.reshape(-1), wanted.reshape(-1))[0, 1] > 0.999


def test_constants_of_channels(tmp_path: Path) -> None:
    model, x = image(4)
    offset = model.constant(model.rng.normal(size=(4, 1, 1)))
    gain = model.constant([[[1.5]], [[-0.5]], [[0.01]], [[2.0]]])
    y = model.quantize(model.node("Mul", [x, gain]), 0.05, 9)
    found = compared(model, model.quantize(model.node("Add", [y, offset]), 0.06), tmp_path)
    assert [layer.kind for layer in found.network.layers] == ["conv", "conv"]


def test_linear_layers_read_maps_in_any_order(tmp_path: Path) -> None:
    model, x = image(3)
    turned = model.node("Transpose", [x], perm=[0, 2, 3, 1])
    flat = model.node("Flatten", [turned])
    y = model.node("MatMul", [flat, model.weight((3 * PLACES**2, 5), 0.002, axis=1)])
    found = compared(model, model.quantize(y, 0.4), tmp_path)
    assert [layer.kind for layer in found.network.layers] == ["reshape", "conv"]


@pytest.mark.parametrize("scales", [np.float32(0.003), np.linspace(0.001, 0.004, 5).astype(np.float32)])
def test_logits_in_float_are_the_sums(scales: np.ndarray, tmp_path: Path) -> None:
    model = Model([1, 16])
    x = model.quantize("x", 0.02, -7)
    bias = model.bias(5, np.float32(0.02) * scales)
    y = model.node("Gemm", [x, model.weight((5, 16), scales), bias], transB=1)
    found = lowered(model, y, tmp_path)
    value = np.random.default_rng(0).normal(size=(1, 16)).astype(np.float32)
    sums = run(found.network, found.network.input.quantize(value.reshape(1, 16, 1, 1)))[
        found.network.layers[-1].name
    ]
    scale = found.network.metadata["output"]["scale"]  # type: ignore[index]
    assert sums.dtype == np.int32
    assert bool(found.notes) == (scales.ndim > 0)
    np.testing.assert_allclose(sums.reshape(-1) * np.array(scale), model.run(value)[y][0], rtol=1e-5)


def test_requantization_of_equal_scales_is_no_layer(tmp_path: Path) -> None:
    model, x = image(2)
    again = model.quantize(model.quantize(x, 0.031, 3), 0.031, 3)
    found = compared(model, model.quantize(model.node("Relu", [again]), 0.031, 3), tmp_path)
    assert [type(layer) for layer in found.network.layers] == [Table]
