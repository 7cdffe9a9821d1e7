"""What cannot be layers: one message names all of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from sim.errors import InputError
from sim.importers.quantized import onnx_source
from tests.sim.importers.quantized.definition import Model
from tests.sim.importers.quantized.test_lower import conv, image, lowered


def test_everything_is_named_at_once(tmp_path: Path) -> None:
    model, x = image(8)
    first = model.node("Softplus", [conv(model, x, (8, 8, 1, 1), 0.031)])
    a = model.quantize(first, 0.05)
    zero = model.constant(np.full(8, 40), np.int8)
    weight = model.constant(model.rng.integers(-128, 128, (8, 8, 1, 1)), np.int8)
    real = model.node("DequantizeLinear", [weight, model.constant(np.full(8, 0.01)), zero], axis=0)
    b = model.quantize(model.node("Conv", [a, real]), 0.1)
    with pytest.raises(InputError) as caught:
        lowered(model, b, tmp_path, [1, 8, 12, 12])
    said = str(caught.value)
    assert "softplus" in said
    assert "reads the result of Conv" in said
    assert "beyond int8" in said


def test_an_operator_without_layer(tmp_path: Path) -> None:
    model, x = image(8)
    y = model.node("DepthToSpace", [x], blocksize=2)
    shape = [1, 2, 24, 24]
    with pytest.raises(InputError, match=r"node depthtospace.*no layer of integers"):
        lowered(model, y, tmp_path, shape)


def test_float_weights(tmp_path: Path) -> None:
    model, x = image()
    y = model.quantize(model.node("Conv", [x, model.constant(np.ones((4, 3, 1, 1)))]), 0.1)
    with pytest.raises(InputError, match="weight is not quantized"):
        lowered(model, y, tmp_path)


def test_sixteen_bit_activations(tmp_path: Path) -> None:
    model, x = image()
    wide = model.quantize(model.node("Sigmoid", [x]), 0.0001, 0, np.uint16)
    with pytest.raises(InputError, match="activations are uint16"):
        lowered(model, wide, tmp_path)


def test_a_batch_of_four(tmp_path: Path) -> None:
    model = Model([4, 3, 8, 8])
    y = model.quantize(model.node("Relu", [model.quantize("x", 0.1)]), 0.1)
    with pytest.raises(InputError, match="give a batch of 1"):
        lowered(model, y, tmp_path)


def test_float_between_layers(tmp_path: Path) -> None:
    model, x = image(4)
    total = model.node("Add", [conv(model, x, (4, 4, 1, 1), 0.031), x])
    with pytest.raises(InputError, match=r"reads the result of Conv conv.*quantize the output of conv"):
        lowered(model, model.quantize(total, 0.1), tmp_path)


def test_scales_of_run_time(tmp_path: Path) -> None:
    model = Model([1, 8])
    given = model.constant(np.ones((8, 4)), np.uint8)
    scale = model.constant(0.1)
    model.nodes.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="dynamic"))
    y = model.node("MatMulInteger", ["q", given, "z"])
    z = model.node("Mul", [model.node("Cast", [y], to=1), model.node("Mul", ["s", scale])])
    model.quantize("x", 1.0)
    shape = [1, 4]
    with pytest.raises(InputError, match=r"dynamic.*at run time.*quantize statically"):
        lowered(model, z, tmp_path, shape)


def test_a_float_network_has_no_graph(tmp_path: Path) -> None:
    model = Model([1, 8])
    y = model.node("Relu", ["x"])
    assert onnx_source.read(model.save(tmp_path / "net.onnx", y)) is None
