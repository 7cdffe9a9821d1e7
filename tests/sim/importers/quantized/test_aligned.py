"""Scales that give way: nearly every sum then rounds as float32 does, and the network is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sim.errors import InputError
from sim.importers.quantized import lower, onnx_source
from tests.sim.importers.quantized.definition import Model
from tests.sim.importers.quantized.test_lower import conv, image


def scales(path: Path) -> dict[str, np.ndarray]:
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load(path).graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    }


def test_fewer_sums_apart_and_scales_nearly_as_they_were(tmp_path: Path) -> None:
    model, x = image(8)
    a = model.quantize(conv(model, x, (8, 8, 3, 3), 0.031, pads=[1] * 4), 0.037)
    b = model.quantize(model.node("Add", [a, x]), 0.045)
    c = model.quantize(model.node("GlobalAveragePool", [b]), 0.013)
    before = model.save(tmp_path / "before.onnx", c)
    after = tmp_path / "after.onnx"
    assert onnx_source.align(before, after) == 5  # of weights and bias, x, a, b
    graphs = [onnx_source.read(path) for path in (before, after)]
    first, second = (sum(one.apart for one in lower(graph).comparisons) for graph in graphs if graph)
    assert first > 100
    assert second < first / 20
    old, new = scales(before), scales(after)
    assert old.keys() == new.keys()
    for name, values in old.items():
        np.testing.assert_allclose(new[name], values, rtol=2.0**-10)


def test_a_float_network_has_no_scales(tmp_path: Path) -> None:
    model = Model([1, 8])
    path = model.save(tmp_path / "net.onnx", model.node("Relu", ["x"]))
    with pytest.raises(InputError, match="quantize it first"):
        onnx_source.align(path, tmp_path / "out.onnx")
