"""Pools of ONNX models: which maps their windows read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.importers.onnx_file import read
from sim.shapes import PassShape
from tests.sim.importers.test_importers_onnx import node, save


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


@pytest.mark.parametrize(
    ("attributes", "out", "operand"),
    [
        (dict(kernel_shape=[3, 2], strides=[2, 2]), 3 * 4, 16 * 64),  # 72 pixels of windows, 64 of the map
        (dict(kernel_shape=[3, 3]), 6 * 6, 16 * 64),  # strides of 1, unsaid
        (dict(kernel_shape=[2, 2], strides=[2, 2]), 4 * 4, 0),  # each pixel in one window
    ],
)
def test_windows_that_overlap_bring_their_map_once(file: Path, attributes, out, operand) -> None:
    nodes = [node("Conv", "x w0", "stem", pads=[1, 1, 1, 1]), node("MaxPool", "stem", "pool", **attributes)]
    save(file, nodes, {"w0": (16, 3, 3, 3)})
    kernel, (stride, _) = attributes["kernel_shape"], attributes.get("strides", [1, 1])
    elements = 16 * out * kernel[0] * kernel[1]
    under = (kernel[0] + stride) * 16 * 8 if operand else 0
    assert read(file).shapes[1] == PassShape(
        "pool", "pool", elements, 1, 16 * out, operand=operand, under=under
    )
