"""ONNX models built node by node, and the layer shapes they must become."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from sim.errors import InputError
from sim.importers import onnx_operators
from sim.importers.onnx_file import read
from sim.shapes import ConvShape, PassShape

helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT = onnx.TensorProto.FLOAT
Dims = Sequence[int | str | None]


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    """A node named like its first output; tensors are separated by blanks."""
    outputs = output.split()
    return helper.make_node(operator, inputs.split(), outputs, name=outputs[0], **attributes)


def save(
    path: Path,
    nodes: list[Any],
    weights: dict[str, Sequence[int]],
    dims: Dims = (1, 3, 8, 8),
    output: str = "",
    opset: int = 21,
    integers: dict[str, Sequence[int]] | None = None,
    domains: Sequence[str] = ("my", "com.microsoft"),
    type_: int = FLOAT,
) -> Path:
    """A model with weights, an input x, and the last node's result, of a type, as output."""
    values = {name: np.full(shape, 0.5, np.float32) for name, shape in weights.items()}
    values |= {name: np.ones(shape, np.uint8) for name, shape in (integers or {}).items()}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", FLOAT, dims)],
        [helper.make_tensor_value_info(output or nodes[-1].output[0], type_, None)],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    model = onnx.shape_inference.infer_shapes(model)  # for the type of the output
    for value in model.graph.output:
        value.type.tensor_type.shape.SetInParent()
    onnx.save(model, path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "net.onnx"


def const(name: str, values: Sequence[int]) -> Any:
    return helper.make_node("Constant", [], [name], value_ints=list(values))


def test_a_residual_block(file: Path) -> None:
    save(
        file,
        [
            node("Conv", "x w0", "stem", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node("BatchNormalization", "stem s s s s", "bn"),
            node("Relu", "bn", "r0"),
            node("MaxPool", "r0", "pool", kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", "pool w1", "a", pads=[1, 1, 1, 1]),
            node("Relu", "a", "r1"),
            node("Conv", "r1 w1", "b", pads=[1, 1, 1, 1]),
            node("Add", "b pool", "sum"),
            node("Relu", "sum", "r2"),
            node("GlobalAveragePool", "r2", "gap"),
            node("Flatten", "gap", "flat"),
            node("Gemm", "flat w2 bias", "fc", transB=1),
        ],
        {"w0": (16, 3, 3, 3), "w1": (16, 16, 3, 3), "w2": (10, 16), "bias": (10,), "s": (16,)},
    )
    found = read(file)
    three = dict(kernel=(3, 3), padding=(1, 1))
    assert found.shapes == [
        ConvShape("stem", 3, 16, size=(8, 8), chained=False, **three),
        PassShape("pool", "pool", 16 * 16 * 4, 1, 16 * 16),
        ConvShape("a", 16, 16, size=(4, 4), **three),
        ConvShape("b", 16, 16, size=(4, 4), residual="sum", **three),
        PassShape("gap", "pool", 256, 1, 16),
        ConvShape("fc", 16, 10),
    ]
    assert found.macs == found.source_macs == 64 * 27 * 16 + 2 * 16 * 144 * 16 + 160


def test_an_addition_rides_only_where_nobody_else_reads_the_convolution(file: Path) -> None:
    weights = {"w0": (3, 3, 1, 1), "w1": (3, 3, 1, 1)}
    head = [node("Conv", "x w0", "a"), node("Conv", "a w1", "b")]
    save(file, [*head, node("Add", "b a", "sum"), node("Mul", "sum b", "out")], weights)
    assert [shape.name for shape in read(file).shapes] == ["a", "b", "sum", "out"]
    save(
        file,
        [*head, node("Conv", "a w0", "c"), node("Add", "b a", "sum"), node("Concat", "sum c", "out", axis=1)],
        weights,
    )
    shapes = read(file).shapes
    assert [(shape.name, shape.chained) for shape in shapes] == [
        ("a", False),
        ("b", True),
        ("c", False),
        ("sum", False),
        ("out", True),
    ]
    assert all(not shape.residual for shape in shapes if isinstance(shape, ConvShape))


def test_depthwise_dilated_and_squeeze_and_excite(file: Path) -> None:
    save(
        file,
        [
            node("Conv", "x w0", "dw", group=8, dilations=[2, 2], pads=[2, 2, 2, 2], strides=[2, 2]),
            node("HardSwish", "dw", "act"),
            node("GlobalAveragePool", "act", "gap"),
            node("Conv", "gap w1", "fc1"),
            node("Relu", "fc1", "r"),
            node("Conv", "r w2", "fc2"),
            node("HardSigmoid", "fc2", "gate"),
            node("Mul", "act gate", "scaled"),
            node("Conv", "scaled w3", "pw"),
        ],
        {"w0": (8, 1, 3, 3), "w1": (4, 8, 1, 1), "w2": (8, 4, 1, 1), "w3": (16, 8, 1, 1)},
        dims=("N", 8, 9, 9),
    )
    found = read(file)
    assert found.notes == ("input x: batch N taken as 1",)
    assert found.shapes == [
        ConvShape("dw", 8, 8, (3, 3), (2, 2), (2, 2), (9, 9), dilation=(2, 2), groups=8, chained=False),
        PassShape("gap", "pool", 200, 1, 8),
        ConvShape("fc1", 8, 4),
        ConvShape("fc2", 4, 8),
        PassShape("scaled", "multiply", 200, 2, 200, chained=False, reads=208),
        ConvShape("pw", 8, 16, size=(5, 5)),
    ]


@pytest.mark.parametrize(
    "activation",
    [
        [node("Sigmoid", "c", "s"), node("Mul", "c s", "y")],
        [
            node("Div", "c two", "d"),
            node("Erf", "d", "e"),
            node("Add", "e two", "f"),
            node("Mul", "c f", "g"),
            node("Mul", "g two", "y"),
        ],
        [node("Gelu", "c", "y")],
    ],
)
@pytest.mark.parametrize("extra", [False, True])
def test_any_function_of_one_tensor_is_one_table(file: Path, activation: list[Any], extra: bool) -> None:
    """It is free where only the function is read, and a pass where the convolution is, too."""
    end = node("Concat", "y c" if extra else "y y", "out", axis=1)
    save(file, [node("Conv", "x w", "c"), *activation, end], {"w": (4, 3, 1, 1), "two": ()})
    names = [getattr(shape, "kind", "conv") for shape in read(file).shapes]
    assert names == (["conv", "table", "concat"] if extra else ["conv", "concat"])


def test_attention(file: Path) -> None:
    """Two heads of 4 over 5 tokens; projections are linear, the scores' scale is free."""
    nodes = [const("split", [0, 5, 2, 4]), const("merge", [0, 5, 8])]
    for letter in "qkv":
        nodes += [
            node("MatMul", f"x w{letter}", letter),
            node("Reshape", f"{letter} split", f"{letter}1"),
            node(
                "Transpose", f"{letter}1", f"{letter}2", perm=[0, 2, 3, 1] if letter == "k" else [0, 2, 1, 3]
            ),
        ]
    nodes += [
        node("MatMul", "q2 k2", "scores"),
        node("Div", "scores scale", "scaled"),
        node("Softmax", "scaled", "soft"),
        node("MatMul", "soft v2", "mix"),
        node("Transpose", "mix", "mix1", perm=[0, 2, 1, 3]),
        node("Reshape", "mix1 merge", "mix2"),
        node("MatMul", "mix2 wo", "proj"),
        node("Add", "bias proj", "biased"),
        node("Add", "x biased", "sum"),
        node("LayerNormalization", "sum s s", "ln"),
    ]
    save(
        file,
        nodes,
        {"wq": (8, 8), "wk": (8, 8), "wv": (8, 8), "wo": (8, 8), "bias": (8,), "scale": (), "s": (8,)},
        dims=("batch", 5, 8),
    )
    found = read(file)
    linear = dict(channels=8, outputs=8, size=(5, 1))
    assert found.shapes == [
        ConvShape("q", **linear, chained=False),
        ConvShape("k", **linear, chained=False),
        ConvShape("v", **linear, chained=False),
        ConvShape("scores", 8, 10, size=(5, 1), groups=2, dynamic=True, chained=False),
        PassShape("soft", "softmax", 50, 1, 50),
        ConvShape("mix", 10, 8, size=(5, 1), groups=2, dynamic=True),
        ConvShape("proj", **linear, residual="sum"),
        PassShape("ln", "layernorm", 40, 1, 40),
    ]
    assert found.source_macs == 4 * 5 * 64 + 2 * 5 * 5 * 8


@pytest.mark.parametrize(
    ("attributes", "begin", "end"),
    [
        (dict(pads=[0, 1, 2, 1]), (0, 1), (2, 1)),
        (dict(auto_pad="SAME_UPPER", strides=[2, 2]), (0, 0), (1, 1)),
        (dict(auto_pad="SAME_LOWER", strides=[2, 2]), (1, 1), (0, 0)),
        (dict(auto_pad="VALID"), (0, 0), None),
    ],
)
def test_padding(
    file: Path, attributes: dict[str, Any], begin: tuple[int, int], end: tuple[int, int] | None
) -> None:
    save(file, [node("Conv", "x w", "c", **attributes)], {"w": (4, 3, 3, 3)})
    (shape,) = read(file).shapes
    assert isinstance(shape, ConvShape)
    assert (shape.padding, shape.padding_end) == (begin, end)


def test_one_dimension_lies_along_y(file: Path) -> None:
    save(file, [node("Conv", "x w", "c", strides=[2], pads=[1, 1])], {"w": (6, 3, 3)}, dims=(1, 3, 9))
    assert read(file).shapes == [ConvShape("c", 3, 6, (3, 1), (2, 1), (1, 0), (9, 1), chained=False)]


def test_normalization_far_from_a_convolution_is_a_pass(file: Path) -> None:
    save(
        file,
        [node("Conv", "x w", "c"), node("Relu", "c", "r"), node("BatchNormalization", "r s s s s", "bn")],
        {"w": (4, 3, 1, 1), "s": (4,)},
    )
    assert read(file).shapes[1:] == [PassShape("bn", "multiply", 256, 1, 256)]


def test_quantized_nodes_are_free(file: Path) -> None:
    save(
        file,
        [
            node("QuantizeLinear", "x scale", "xq"),
            node("DequantizeLinear", "xq scale", "xd"),
            node("QuantizeLinear", "w scale", "wq"),
            node("DequantizeLinear", "wq scale", "wd"),
            node("Conv", "xd wd", "c"),
            node("QuantizeLinear", "c scale", "cq"),
            node("DequantizeLinear", "cq scale", "cd"),
            node("Relu", "cd", "r"),
            helper.make_node("Constant", [], ["factors"], value_floats=[1.0, 1.0, 2.0, 2.0]),
            helper.make_node("Resize", ["r", "", "factors"], ["up"], name="up"),
        ],
        {"w": (4, 3, 1, 1), "scale": ()},
    )
    assert read(file).shapes == [
        ConvShape("c", 3, 4, size=(8, 8), chained=False),
        PassShape("up", "upsample", 1024, 1, 1024),
    ]


def test_arithmetic_on_shapes_is_carried_out(file: Path) -> None:
    """The half of the channels, as exporters write `chunk`: from the shape that the graph itself reads."""
    save(
        file,
        [
            node("Conv", "x w", "c"),
            const("zero", [0]),
            const("one", [1]),
            const("two", [2]),
            node("Shape", "c", "shape"),
            node("Gather", "shape one", "channels"),
            node("Div", "channels two", "half"),
            node("Slice", "c zero half one", "left"),
            node("Slice", "c half channels one", "right"),
            node("Sigmoid", "right", "gate"),
            node("Mul", "left gate", "out"),
        ],
        {"w": (6, 3, 1, 1)},
    )
    assert [shape.results for shape in read(file).shapes] == [6 * 64, 3 * 64, 3 * 64]


def test_an_unknown_operator_names_its_node_and_the_option(file: Path) -> None:
    save(file, [node("Conv", "x w", "c"), node("Hardmax", "c", "odd")], {"w": (4, 3, 1, 1)})
    with pytest.raises(InputError, match=r"node odd = 'Hardmax'.*--treat-as-vector Hardmax"):
        read(file)
    assert read(file, ["Hardmax"]).shapes[1] == PassShape("odd", "other", 256, 1, 256)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("Hardmix", "--treat-as-vector = 'Hardmix': not in the network. Fix: use 'Hardmax'"),
        ("Conv", "--treat-as-vector = 'Conv': this operator has a meaning of its own. Fix: leave"),
    ],
)
def test_options_that_change_nothing(file: Path, option: str, message: str) -> None:
    save(file, [node("Conv", "x w", "c"), node("Hardmax", "c", "odd")], {"w": (4, 3, 1, 1)})
    with pytest.raises(InputError, match=message):
        read(file, [option])


@pytest.mark.parametrize(
    ("nodes", "dims", "message"),
    [
        (
            [node("DeformConv", "x w x", "up")],
            (1, 3, 8, 8),
            "node up = 'DeformConv': .*products or convolutions.* Fix: replace it by a Conv",
        ),
        (
            [node("Conv", "x w", "c")],
            (1, 3, "height", 8),
            r"tensor x = \[1, 3, 'height', 8\]: dimension 'height' at node c is unknown. "
            "Fix: give numbers for --input-shape x=1,3,height,8",
        ),
        (
            [node("Conv", "x w", "c")],
            (1, 5, 8, 8),
            r"node c = \[1, 5, 8, 8\]: .* 3 channels .* Fix: export the network again",
        ),
        ([node("MatMul", "x m", "p")], (1, 3, 8, 8), "network = .*: shapes do not fit: .* Fix: export"),
        (
            [node("Conv", "x x", "c")],
            (1, 1, 8, 8),
            "node c = 'x': the weights are computed .* Fix: make them",
        ),
        ([node("Identity", "x", "y")], (1, 3, 8, 8), "network = .*: has no layer. Fix: "),
        (
            [helper.make_node("Odd", ["x"], ["y"], name="y", domain="my"), node("Relu", "y", "z")],
            (1, 3, 8, 8),
            "node y = 'my.Odd': this operator is not supported. Fix: --treat-as-vector my.Odd",
        ),
    ],
)
def test_refusals(file: Path, nodes: list[Any], dims: Dims, message: str) -> None:
    save(file, nodes, {"w": (4, 3, 3, 3), "m": (5, 2)}, dims=dims)
    with pytest.raises(InputError, match=message):
        read(file)


def test_unreadable_files(tmp_path: Path, file: Path) -> None:
    with pytest.raises(InputError, match=r"none.onnx.*No such file.*give a readable"):
        read(tmp_path / "none.onnx")
    save(file, [node("Conv", "x w", "c")], {"w": (4, 3, 3, 3)})
    whole = file.read_bytes()
    for damaged in (whole[:-40], whole[:60], b"", b"\xff" * 90):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"net.onnx.*Fix: "):
            read(file)


@pytest.mark.parametrize(
    ("operator", "tensor", "reader"),
    [("Conv", "c", "pool"), ("MaxPool", "pool", "p"), ("MatMul", "p", "output")],
)
def test_a_dropped_layer_is_noticed(
    file: Path, operator: str, tensor: str, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(
        file,
        [
            node("Conv", "x w", "c"),
            node("MaxPool", "c", "pool", kernel_shape=[1, 1]),
            node("MatMul", "pool m", "p"),
        ],
        {"w": (4, 3, 1, 1), "m": (8, 2)},
    )
    monkeypatch.setitem(onnx_operators.OPERATORS, operator, lambda node: [])
    with pytest.raises(InputError, match=f"tensor {tensor} = '{reader}': .*no layer before writes it. Fix"):
        read(file)


@pytest.mark.parametrize("operator", ["Conv", "MatMul"])
def test_lost_products_are_noticed(file: Path, operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    save(file, [node("Conv", "x w", "c"), node("MatMul", "c m", "p")], {"w": (4, 3, 1, 1), "m": (8, 2)})
    total = read(file).macs
    monkeypatch.setitem(onnx_operators.OPERATORS, operator, onnx_operators.OPERATORS["Reshape"])
    with pytest.raises(InputError, match=rf"MACs = \d+: the ONNX graph counts {total}. Fix: report"):
        read(file)


def test_sim_does_not_load_onnx() -> None:
    code = "import sys, sim.importers, sim.importers.scalesim; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
