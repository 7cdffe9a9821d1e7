"""Numbers and biases that fold into the convolution before them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim.importers.onnx_file import read
from sim.shapes import ConvShape
from tests.sim.importers.test_importers_onnx import node, save


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "net.onnx"


@pytest.mark.parametrize(
    "chain",
    [
        [node("Mul", "c one", "d"), node("Add", "d bias", "e"), node("Relu", "e", "y")],
        [
            node("Neg", "c", "d"),
            node("Div", "d one", "d2"),
            node("Add", "bias d2", "e"),
            node("Relu", "e", "y"),
        ],
        [
            node("Add", "c bias", "d"),
            node("Mul", "d one", "e"),
            node("Mul", "e bias", "f"),
            node("Relu", "f", "y"),
        ],
    ],
)
def test_numbers_fold_before_and_after_a_bias(file: Path, chain: list[Any]) -> None:
    save(file, [node("Conv", "x w", "c"), *chain], {"w": (4, 3, 1, 1), "one": (), "bias": (4, 1, 1)})
    assert read(file).shapes == [ConvShape("c", 3, 4, size=(8, 8), chained=False)]


def test_a_clamp_ends_what_a_bias_folds_into(file: Path) -> None:
    chain = [node("Relu", "c", "r"), node("Mul", "r one", "d"), node("Add", "d bias", "y")]
    save(file, [node("Conv", "x w", "c"), *chain], {"w": (4, 3, 1, 1), "one": (), "bias": (4, 1, 1)})
    assert [shape.name for shape in read(file).shapes] == ["c", "y"]
    also = [node("Mul", "c one", "d"), node("Add", "d bias", "e"), node("Concat", "e c", "y", axis=1)]
    save(file, [node("Conv", "x w", "c"), *also], {"w": (4, 3, 1, 1), "one": (), "bias": (4, 1, 1)})
    assert [shape.name for shape in read(file).shapes] == ["c", "e", "y"]


@pytest.mark.parametrize("operator", ["MatMulInteger", "ConvInteger"])
def test_a_dynamically_quantized_layer_is_one_layer(file: Path, operator: str) -> None:
    """As ONNX Runtime writes it: the scale of the data times that of the weights, then the bias."""
    maps = operator == "ConvInteger"
    nodes = [
        node("DynamicQuantizeLinear", "x", "q scale zero"),
        node(operator, "q w zero", "sums"),
        node("Cast", "sums", "float", to=1),
        node("Mul", "scale s", "factor"),
        node("Mul", "float factor", "scaled"),
        node("Add", "scaled bias", "biased"),
        node("Relu", "biased", "y"),
    ]
    weights = {"s": (), "bias": (4, 1, 1) if maps else (4,)}
    integers = {"w": (4, 3, 1, 1) if maps else (3, 4)}
    save(file, nodes, weights, (1, 3, 8, 8) if maps else (1, 5, 3), integers=integers)
    size = (8, 8) if maps else (5, 1)
    assert read(file).shapes == [ConvShape("sums", 3, 4, size=size, chained=False)]
