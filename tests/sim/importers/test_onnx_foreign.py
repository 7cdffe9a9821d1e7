"""Operators of other producers: products are counted as what they are, and never become vector work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from sim.errors import InputError
from sim.importers import onnx_macs
from sim.importers.onnx_file import read
from sim.shapes import ConvShape, PassShape
from tests.sim.importers.test_importers_onnx import const, node, save

helper = onnx.helper
FLOAT, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8


def foreign(operator: str, inputs: str, output: str, domain: str = "com.microsoft", **attributes: Any) -> Any:
    """A node of another producer; "-" is an input that is left out."""
    found = node(operator, inputs, output, domain=domain, **attributes)
    found.input[:] = ["" if name == "-" else name for name in found.input]
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "net.onnx"


def test_fused_convolution_with_addition_and_activation(file: Path) -> None:
    fused = foreign("FusedConv", "a v bias a", "c", activation="LeakyRelu", pads=[1, 1, 1, 1])
    save(file, [node("Conv", "x w", "a"), fused], {"w": (4, 3, 1, 1), "v": (4, 4, 3, 3), "bias": (4,)})
    assert read(file).shapes == [
        ConvShape("a", 3, 4, size=(8, 8), chained=False),
        ConvShape("c", 4, 4, (3, 3), (1, 1), (1, 1), (8, 8), residual="c.add"),
        PassShape("c.leakyrelu", "table", 256, 1, 256),
    ]


def test_convolution_with_channels_last(file: Path) -> None:
    nodes = [
        node("Transpose", "x", "t", perm=[0, 2, 3, 1]),
        foreign("NhwcFusedConv", "t w bias", "c", activation="Relu", strides=[2, 2]),
        node("Softmax", "c", "y"),
    ]
    save(file, nodes, {"w": (4, 3, 3, 3), "bias": (4,)}, dims=(1, 3, 9, 7))
    window = dict(kernel=(3, 3), stride=(2, 2), size=(9, 7))
    assert read(file).shapes[0] == ConvShape("c", 3, 4, **window, chained=False)


def test_rows_of_tables(file: Path) -> None:
    """A byte holds two numbers of a table; words, positions and segments are added."""
    nodes = [
        node("Cast", "x", "ids", to=7),
        foreign("GatherBlockQuantized", "table ids s", "rows", bits=4, block_size=16),
        node("MatMul", "rows m", "p"),
        foreign("EmbedLayerNormalization", "ids ids words words words gamma gamma", "e"),
        node("Add", "p e", "y"),
    ]
    weights = {"m": (16, 8), "s": (10, 1), "words": (10, 8), "gamma": (8,)}
    save(file, nodes, weights, dims=(1, 5), integers={"table": (10, 8)})
    kinds = [getattr(shape, "kind", "conv") for shape in read(file).shapes]
    assert kinds == ["conv", "add", "add", "layernorm", "add"]
    assert read(file).macs == 5 * 16 * 8


@pytest.mark.parametrize("operator", ["FusedMatMul", "TransposeMatMul"])
@pytest.mark.parametrize(
    ("turns", "dims", "weight"),
    [
        ({}, (2, 5, 8), (8, 16)),
        ({"transB": 1, "alpha": 0.5}, (2, 5, 8), (16, 8)),
        ({"transA": 1}, (2, 8, 5), (8, 16)),
        ({"transA": 1, "transB": 1}, (8, 5), (16, 8)),
    ],
)
def test_fused_matrix_products(
    file: Path, operator: str, turns: dict[str, Any], dims: tuple[int, ...], weight: tuple[int, ...]
) -> None:
    save(file, [foreign(operator, "x m", "p", **turns), node("Relu", "p", "y")], {"m": weight}, dims)
    (shape,) = read(file).shapes
    tokens = 10 if len(dims) == 3 else 5
    assert shape == ConvShape("p", 8, 16, size=(tokens, 1), chained=False)


def test_products_of_small_bits_are_as_large_as_their_attributes_say(file: Path) -> None:
    bits = foreign("MatMulNBits", "x m s", "p", K=64, N=16, bits=4, block_size=32)
    save(file, [bits, node("Relu", "p", "y")], {"m": (16, 2, 16), "s": (32,)}, dims=(1, 5, 64))
    assert read(file).shapes == [ConvShape("p", 64, 16, size=(5, 1), chained=False)]


@pytest.mark.parametrize(
    ("end", "result"),
    [
        (foreign("QGemm", "q s z m s z bias s z", "p", transB=1), UINT8),
        (foreign("QGemm", "q s z m s z - - -", "p", transB=1), FLOAT),
        (foreign("FusedGemm", "d m bias", "p", transB=1, activation="Relu"), FLOAT),
        (foreign("MatMulIntegerToFloat", "q n s s z z bias", "p"), FLOAT),
        (foreign("DynamicQuantizeMatMul", "d n s z bias", "p"), FLOAT),
    ],
)
def test_quantized_and_fused_products(file: Path, end: Any, result: int) -> None:
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "d"), end]
    weights = {"m": (16, 8), "n": (8, 16), "bias": (16,), "s": ()}
    save(file, [*nodes, node("Sigmoid", "p", "y")], weights, (3, 8), integers={"z": ()}, type_=result)
    assert [shape.macs for shape in read(file).shapes] == [3 * 16 * 8]


def test_attention_of_one_weight_and_of_three_sequences(file: Path) -> None:
    """[B, tokens, channels] = [2, 5, 8], two heads."""
    save(
        file,
        [foreign("Attention", "x m bias", "a", num_heads=2), node("Relu", "a", "y")],
        {"m": (8, 24), "bias": (24,)},
        dims=(2, 5, 8),
    )
    products = [(s.channels, s.outputs, s.groups, s.macs) for s in read(file).shapes if s.macs]
    assert products == [(8, 24, 1, 2 * 5 * 8 * 24), (16, 20, 4, 400), (20, 16, 4, 400)]
    save(
        file,
        [
            node("MatMul", "x m", "k"),
            foreign("MultiHeadAttention", "x k k", "a", num_heads=2),
            node("Relu", "a", "y"),
        ],
        {"m": (8, 8)},
        dims=(2, 5, 8),
    )
    assert [shape.macs for shape in read(file).shapes] == [640, 400, 0, 400]


@pytest.mark.parametrize("packed", [False, True])
def test_grouped_attention_after_a_cache(file: Path, packed: bool) -> None:
    """Four heads of queries share two of keys and values, of size 2; 3 tokens come after 5."""
    grouped = foreign(
        "GroupQueryAttention",
        "q - - pk pv" if packed else "q k v pk pv",
        "a present_k present_v",
        num_heads=4,
        kv_num_heads=2,
        do_rotary=1,
    )
    sizes = onnx.helper.make_tensor("sizes", onnx.TensorProto.INT64, [4], [2, 2, 5, 2])
    nodes = [
        node("MatMul", "x m", "q"),
        node("Slice", "x zero four two", "k"),
        node("Slice", "x zero four two", "v"),
        node("ReduceMax", "x", "one", keepdims=0),
        node("Constant", "", "sizes", value=sizes),
        *(const(name, [value]) for name, value in (("zero", 0), ("four", 4), ("two", 2))),
        *(node("Expand", "one sizes", name) for name in ("pk", "pv")),
        grouped,
        node("Gemm", "flat n", "y"),
    ]
    nodes = [*nodes[4:8], *nodes[:4], *nodes[8:-1], node("Flatten", "a", "flat", axis=2), nodes[-1]]
    save(file, nodes, {"m": (8, 16 if packed else 8), "n": (8, 3)}, dims=(2, 3, 8))
    scores = dict(size=(6, 1), groups=4, dynamic=True)
    products = [shape for shape in read(file).shapes if isinstance(shape, ConvShape) and shape.dynamic]
    assert [replace(shape, name="", chained=True) for shape in products] == [
        ConvShape("", 8, 32, **scores),
        ConvShape("", 32, 8, **scores),
    ]
    assert sum(shape.macs for shape in products) == 2 * 4 * 3 * 8 * (2 + 2)
    assert [shape.kind for shape in read(file).shapes if isinstance(shape, PassShape)][1:] == [
        *("rotate", "rotate", "concat", "concat", "softmax")
    ]


def test_skipped_normalization_gives_its_sum(file: Path) -> None:
    skip = foreign("SkipLayerNormalization", "p x gamma beta bias", "n")
    skip.output.extend(["", "", "sum"])
    nodes = [node("MatMul", "x m", "p"), skip, node("MatMul", "n m", "q"), node("Add", "q sum", "y")]
    weights = {"m": (8, 8), "gamma": (8,), "beta": (8,), "bias": (8,)}
    save(file, nodes, weights, dims=(1, 5, 8))
    linear = dict(channels=8, outputs=8, size=(5, 1))
    assert read(file).shapes == [
        ConvShape("p", **linear, residual="n.add", chained=False),
        PassShape("n", "layernorm", 40, 1, 40),
        ConvShape("q", **linear, residual="y"),
    ]


QUANTIZERS = ("qonnx.custom_op.general", "finn.custom_op.general", "aten", "org.openvinotoolkit")


def test_quantizers_are_formats(file: Path) -> None:
    quantizers = [
        foreign("Quant", "x s s s", "xq", "qonnx.custom_op.general"),
        foreign("BipolarQuant", "w s", "wq", "finn.custom_op.general"),
        node("Conv", "xq wq", "c"),
        foreign("Trunc", "c s s s s", "c1", "qonnx.custom_op.general"),
        foreign("MultiThreshold", "c1 t", "c2", "qonnx.custom_op.general", out_dtype="UINT2"),
        foreign("FloatQuant", "c2 s s s", "c3", "qonnx.custom_op.general"),
        foreign("fake_quantize_per_tensor_affine", "c3 s s", "c4", "aten"),
        foreign("FakeQuantize", "c4 s4 s4 s4 s4", "c5", "org.openvinotoolkit"),
        node("MaxPool", "c5", "y", kernel_shape=[2, 2]),
    ]
    weights = {"w": (4, 3, 3, 3), "s": (), "t": (4, 3), "s4": (1, 4, 1, 1)}
    save(file, quantizers, weights, domains=QUANTIZERS)
    assert [shape.name for shape in read(file).shapes] == ["c", "y"]


def test_a_lowered_convolution_and_a_quantized_average(file: Path) -> None:
    """Im2Col moves elements; its shape comes from the file."""
    nodes = [
        node("Transpose", "x", "t", perm=[0, 2, 3, 1]),
        foreign("Im2Col", "t", "windows", QUANTIZERS[0], stride=[1, 1], kernel_size=[3, 3]),
        node("MatMul", "windows m", "p"),
        node("Transpose", "p", "c", perm=[0, 3, 1, 2]),
        foreign("QuantAvgPool2d", "c", "y", QUANTIZERS[0], stride=2, kernel=2, ibits=4, obits=4, signed=0),
        node("Softmax", "y", "z"),
    ]
    save(file, nodes, {"m": (27, 4)}, domains=QUANTIZERS)
    model = onnx.load(str(file))
    model.graph.value_info.append(helper.make_tensor_value_info("windows", FLOAT, [1, 6, 6, 27]))
    onnx.save(model, str(file))
    assert read(file).shapes == [
        ConvShape("p", 27, 4, size=(36, 1), chained=False),
        PassShape("y", "pool", 4 * 36, 1, 36),
        PassShape("z", "softmax", 36, 1, 36),
    ]


def test_a_quantized_network_is_read_whole(file: Path) -> None:
    q = "s z"
    nodes = [
        node("QuantizeLinear", f"x {q}", "q"),
        node("QLinearConv", f"q {q} w {q} {q}", "c"),
        foreign("QLinearLeakyRelu", f"c {q} {q}", "r"),
        node("QLinearConv", f"r {q} v {q} {q}", "e"),
        foreign("QLinearAdd", f"e {q} r {q} {q}", "sum"),
        foreign("QLinearSigmoid", f"sum {q} {q}", "gate"),
        foreign("QLinearMul", f"sum {q} gate {q} {q}", "gated"),
        foreign("QLinearConcat", f"{q} gated {q} c {q}", "cat", axis=1),
        foreign("QLinearGlobalAveragePool", f"cat {q} {q}", "gap", channels_last=0),
        node("Flatten", "gap", "flat"),
        foreign("QGemm", f"flat {q} m {q} - {q}", "fc", transB=1),
        foreign("QLinearSoftmax", f"fc {q} {q}", "soft", axis=-1, opset=13),
        node("DequantizeLinear", f"soft {q}", "y"),
    ]
    integers = {"z": (), "w": (4, 3, 3, 3), "v": (4, 4, 1, 1), "m": (10, 8)}
    save(file, nodes, {"s": ()}, integers=integers)
    shapes = read(file).shapes
    assert [getattr(shape, "kind", "conv") for shape in shapes] == [
        *("conv", "table", "conv", "table", "concat", "pool", "conv", "softmax")
    ]
    assert sum(shape.macs for shape in shapes) == 36 * 4 * 27 + 36 * 16 + 80


def test_channels_last_is_refused(file: Path) -> None:
    pool = foreign("QLinearGlobalAveragePool", "q s z s z", "p", channels_last=1)
    save(file, [node("QuantizeLinear", "x s z", "q"), pool], {"s": ()}, integers={"z": ()}, type_=UINT8)
    with pytest.raises(InputError, match="node p = 'QLinearGlobalAveragePool': keeps channels last"):
        read(file)


UNKNOWN = [
    foreign("Mixer", "x m", "p", "my"),  # two operands of two dimensions
    foreign("SparseMatMul", "x", "p", "my"),  # one, but the name tells
    foreign("PackedAttention", "x", "p"),
    foreign("QAttentionV2", "x s", "p"),
    foreign("ConvTransposeWithDynamicPads", "x m", "p"),
    foreign("Project", "x", "p", "my", weight=onnx.numpy_helper.from_array(np.ones((8, 4), np.float32))),
    foreign("Classifier", "x", "p", "my", coefficients=[0.5] * 32),
    foreign("MultiHeadAttention", "x", "p", num_heads=2),
    foreign("GroupQueryAttention", "x x x", "p"),  # lacks its numbers of heads
]


@pytest.mark.parametrize("odd", UNKNOWN, ids=lambda odd: odd.op_type)
def test_what_may_multiply_is_no_vector_work(file: Path, odd: Any) -> None:
    save(file, [odd, node("Relu", "p", "y")], {"m": (8, 8), "s": ()}, dims=(1, 5, 8))
    operator = f"{odd.domain}.{odd.op_type}"
    for options in ((), (operator,)):
        with pytest.raises(InputError, match="node p = ") as error:
            read(file, options)
        assert "--treat-as-vector" not in error.value.fix


def test_the_count_is_not_blind_to_what_may_multiply() -> None:
    """Whatever the import of shapes thinks."""
    mixer = foreign("Mixer", "x m", "p", "my")
    with pytest.raises(InputError, match="node p = 'Mixer': may multiply"):
        onnx_macs.count([mixer], {"x": [5, 8], "m": [8, 8], "p": [5, 8]}, ["x"])
    with pytest.raises(InputError, match="node d = 'DeformConv': may multiply"):
        onnx_macs.count([node("DeformConv", "x w o", "d")], {}, ["x"])
    assert onnx_macs.count([mixer], {"x": [5, 8], "m": [8], "p": [5, 8]}, ["x"]) == 0


@pytest.mark.parametrize(
    "odd",
    [
        foreign("MatMulNBits", "x m s", "p", K=8),
        foreign("FusedConv", "x m", "p", activation=b"\xff"),
        foreign("QLinearConcat", "s s x s s", "p"),
    ],
    ids=lambda odd: odd.op_type,
)
def test_attributes_that_do_not_fit(file: Path, odd: Any) -> None:
    save(file, [odd, node("Softmax", "p", "y")], {"m": (8, 8), "s": ()}, dims=(1, 5, 8))
    with pytest.raises(InputError, match=r"node p = .*: its attributes or inputs do not fit"):
        read(file)


def test_sizes_that_do_not_fit_are_refused_by_the_count() -> None:
    attention = foreign("Attention", "x m", "p", num_heads=2)
    with pytest.raises(InputError, match="node p = 'Attention': its sizes or attributes do not fit"):
        onnx_macs.count([attention], {"x": [5, 8], "m": [8, 24], "p": [5, 8]}, ["x"])


def test_known_products_are_no_vector_work_either(file: Path) -> None:
    save(file, [foreign("FusedConv", "x w", "c"), node("Relu", "c", "y")], {"w": (4, 3, 1, 1)})
    with pytest.raises(
        InputError, match=r"com\.microsoft\.FusedConv': this operator has a meaning of its own"
    ):
        read(file, ["com.microsoft.FusedConv"])


def test_all_that_is_missing_is_named_at_once(file: Path) -> None:
    nodes = [
        node("Conv", "x w", "c"),
        *(foreign("Odd", before, after, "my") for before, after in ("ca", "ab")),
        foreign("GatedRelativePositionBias", "b b b", "d"),
        node("Hardmax", "d", "y"),
    ]
    nodes[1].input[0], nodes[1].output[0], nodes[1].name = "c", "a", "a"
    save(file, nodes, {"w": (4, 3, 1, 1)})
    with pytest.raises(InputError) as error:
        read(file)
    message = str(error.value)
    assert message.startswith("network = '3 problems'")
    for part in (
        "nodes a, b (my.Odd)",
        "node d (com.microsoft.GatedRelativePositionBias)",
        "node y (Hardmax)",
    ):
        assert part in message
    assert "--treat-as-vector my.Odd" in message
    assert "--treat-as-vector Hardmax" in message
    assert "--treat-as-vector com.microsoft" not in message


def test_an_operator_treated_as_vector_keeps_the_shape_of_its_input(file: Path) -> None:
    nodes = [node("Conv", "x w", "c"), foreign("Odd", "c", "a", "my"), node("Conv", "a v", "y")]
    save(file, nodes, {"w": (4, 3, 1, 1), "v": (2, 4, 1, 1)})
    found = read(file, ["my.Odd"])
    assert found.shapes[1] == PassShape("a", "other", 256, 1, 256)
    assert found.notes == ("my.Odd a: shape taken as that of its first input",)
