"""Operators that become products or several passes, against what ONNX defines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.importers.onnx_file import read
from sim.shapes import ConvShape, PassShape
from tests.sim.importers.test_importers_onnx import node, save

FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "net.onnx"


def kinds(file: Path) -> list[str]:
    return [getattr(shape, "kind", "conv") for shape in read(file).shapes]


def convolved(shape: ConvShape, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """[K, OH, OW] of [C, H, W] by the definition of the layer."""
    (top, left), (bottom, right) = shape.padding, shape.padding_end or shape.padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    out = np.zeros((shape.outputs, shape.out_h, shape.out_w))
    inner, per_group = shape.channels // shape.groups, shape.outputs // shape.groups
    for k, y, z in np.ndindex(out.shape):
        first = k // per_group * inner
        rows = slice(y * shape.stride[0], None, shape.dilation[0])
        columns = slice(z * shape.stride[1], None, shape.dilation[1])
        window = padded[first : first + inner, rows, columns][:, : shape.kernel[0], : shape.kernel[1]]
        out[k, y, z] = (window * weight[k]).sum()
    return out


def scattered(x: np.ndarray, weight: np.ndarray, results: list[int], attributes: Any) -> np.ndarray:
    """ConvTranspose by its definition: each element of x [C, H, W] adds a kernel to the result."""
    groups, out = attributes["group"], np.zeros((attributes["group"] * weight.shape[1], *results))
    for c, y, z in np.ndindex(x.shape):
        group = c // (len(x) // groups)
        for k, i, j in np.ndindex(weight.shape[1:]):
            at = [
                n * attributes["strides"][axis]
                + tap * attributes["dilations"][axis]
                - attributes["pads"][axis]
                for axis, (n, tap) in enumerate(((y, i), (z, j)))
            ]
            if all(0 <= n < limit for n, limit in zip(at, results, strict=True)):
                out[group * weight.shape[1] + k, at[0], at[1]] += x[c, y, z] * weight[c, k, i, j]
    return out


@FEW
@given(st.data())
def test_a_transposed_convolution_computes_what_onnx_defines(tmp_path: Path, data: st.DataObject) -> None:
    draw = data.draw
    kernel = [draw(st.integers(1, 4)) for _ in range(2)]
    strides = [draw(st.integers(1, 3)) for _ in range(2)]
    extra = [draw(st.integers(0, s - 1)) for s in strides]
    groups = draw(st.sampled_from([1, 2]))
    attributes = dict(
        strides=strides,
        pads=[draw(st.integers(0, 2)) for _ in range(4)],
        output_padding=extra,
        dilations=[draw(st.integers(1, 2)) for _ in range(2)],
        group=groups,
    )
    size = [draw(st.integers(2, 4)) for _ in range(2)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, attributes["dilations"], strict=True)]
    pads = attributes["pads"]
    results = [(size[i] - 1) * strides[i] + extra[i] + reach[i] - pads[i] - pads[i + 2] for i in range(2)]
    assume(min(results) > 0)
    weight = np.random.default_rng(0).normal(size=(4, 3, *kernel)).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(1, 4, *size)).astype(np.float32)
    path = tmp_path / "net.onnx"
    save(path, [node("ConvTranspose", "x w", "up", **attributes)], {"w": weight.shape}, dims=(1, 4, *size))
    layer = read(path).shapes[-1]
    assert isinstance(layer, ConvShape)
    expected = scattered(x[0], weight, results, attributes)
    if kernel == strides and attributes["dilations"] == [1, 1]:  # blocks of results that do not overlap
        assert (layer.kernel, layer.outputs) == ((1, 1), 3 * groups * kernel[0] * kernel[1])
        return
    spread = np.zeros((4, *((n - 1) * s + 1 for n, s in zip(size, strides, strict=True))))
    spread[:, :: strides[0], :: strides[1]] = x[0]
    if layer.size != spread.shape[1:]:  # what cropping takes away is not computed
        first = [max(0, p - r + 1) for p, r in zip(pads, reach, strict=False)]
        spread = spread[:, first[0] :, first[1] :][:, : layer.size[0], : layer.size[1]]
    parts = weight.reshape(groups, 4 // groups, 3, *kernel)[..., ::-1, ::-1].transpose(0, 2, 1, 3, 4)
    found = convolved(layer, spread, parts.reshape(groups * 3, 4 // groups, *kernel))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_transposed_convolutions(file: Path) -> None:
    save(file, [node("ConvTranspose", "x w", "up", strides=[2, 2])], {"w": (3, 8, 2, 2)})
    assert read(file).shapes == [ConvShape("up", 3, 32, size=(8, 8), chained=False)]
    save(file, [node("ConvTranspose", "x w", "up", strides=[2])], {"w": (3, 8, 4)}, dims=(2, 3, 16))
    assert read(file).shapes == [
        PassShape("up.zeros", "upsample", 2 * 3 * 31, 1, 2 * 3 * 31, chained=False),
        ConvShape("up", 3, 8, (4, 1), padding=(3, 0), size=(31, 1)),
        ConvShape("up#2", 3, 8, (4, 1), padding=(3, 0), size=(31, 1), chained=False),
    ]
    save(
        file,
        [node("ConvTranspose", "x w", "up", strides=[2], dilations=[2])],
        {"w": (3, 8, 2)},
        dims=(1, 3, 8),
    )
    dilated = dict(kernel=(2, 1), dilation=(2, 1), padding=(2, 0), size=(15, 1))
    assert read(file).shapes[1] == ConvShape("up", 3, 8, **dilated)


@pytest.mark.parametrize(
    ("attributes", "begin", "end"),
    [
        ({"auto_pad": "SAME_UPPER"}, 3, 2),  # of 19 rows one is cropped at the begin, two at the end
        ({"auto_pad": "SAME_LOWER"}, 2, 3),
        ({"output_shape": [16, 16]}, 2, 3),
        ({"output_padding": [1, 1]}, 4, 5),
        ({"pads": [1, 1, 0, 0]}, 3, 4),
    ],
)
def test_where_a_transposed_convolution_is_cropped(
    file: Path, attributes: dict[str, Any], begin: int, end: int
) -> None:
    save(file, [node("ConvTranspose", "x w", "up", strides=[2, 2], **attributes)], {"w": (3, 8, 5, 5)})
    layer = read(file).shapes[1]
    assert isinstance(layer, ConvShape)
    assert (layer.padding, layer.padding_end) == ((begin, begin), (end, end))


def test_a_convolution_in_three_dimensions_is_one_for_each_frame(file: Path) -> None:
    """Five frames, three of which a kernel spans: 3 results, and 5 with padding."""
    cube = node("Conv", "x w", "c", pads=[0, 1, 1, 0, 1, 1])
    save(file, [cube], {"w": (4, 2, 3, 3, 3)}, dims=(1, 2, 5, 8, 8))
    same = dict(channels=6, outputs=4, kernel=(3, 3), padding=(1, 1))
    assert read(file).shapes == [ConvShape("c", **same, size=(3 * 8, 8), chained=False)]
    cube = node("Conv", "x w", "c", pads=[1, 0, 0, 1, 0, 0], group=2)
    save(file, [cube], {"w": (4, 1, 3, 3, 3)}, dims=(2, 2, 5, 8, 8))
    assert len(read(file).shapes) == 10
    assert read(file).macs == 2 * 5 * 36 * 4 * 27


def test_a_transposed_convolution_in_three_dimensions(file: Path) -> None:
    save(
        file,
        [node("ConvTranspose", "x w", "up", strides=[2, 2, 2])],
        {"w": (4, 8, 2, 2, 2)},
        dims=(1, 4, 3, 8, 8),
    )
    assert read(file).shapes == [ConvShape("up", 4, 64, size=(3 * 8, 8), chained=False)]
    save(
        file,
        [node("ConvTranspose", "x w", "up", strides=[2, 2, 2])],
        {"w": (4, 8, 3, 3, 3)},
        dims=(1, 4, 3, 8, 8),
    )
    assert read(file).macs == 7 * 17 * 17 * 8 * 4 * 27
    assert len(read(file).shapes) == 1 + 7


EQUATIONS = [
    ("bnc,cd->bnd", (2, 5, 8), (8, 6), ConvShape("e", 8, 6, size=(10, 1), chained=False)),
    ("bcn,dc->bdn", (2, 8, 5), (6, 8), ConvShape("e", 8, 6, size=(10, 1), chained=False)),
    ("bhnd,hde->bhne", (1, 2, 5, 4), (2, 4, 6), ConvShape("e", 8, 12, size=(5, 1), groups=2, chained=False)),
    ("...ij,jk", (2, 5, 8), (8, 6), ConvShape("e", 8, 6, size=(10, 1), chained=False)),
    ("...nd,...dm", (4, 5, 8), (1, 8, 6), ConvShape("e", 8, 6, size=(20, 1), chained=False)),
    ("bxyc,cde->bxyde", (1, 3, 4, 8), (8, 2, 6), ConvShape("e", 8, 12, size=(12, 1), chained=False)),
]


@pytest.mark.parametrize(("equation", "left", "right", "shape"), EQUATIONS)
@pytest.mark.parametrize("dynamic", [False, True])
def test_einsum(file: Path, equation: str, left: Any, right: Any, shape: ConvShape, dynamic: bool) -> None:
    nodes = [node("Einsum", "x v" if dynamic else "x m", "e", equation=equation)]
    if dynamic:  # the other operand, of the network's own
        sizes = onnx.helper.make_tensor("sizes", 7, [len(right)], right)
        nodes = [
            node("Constant", "", "sizes", value=sizes),
            node("ReduceMax", "x", "one", keepdims=0),
            node("Expand", "one sizes", "v"),
            *nodes,
        ]
    save(file, nodes, {"m": right}, dims=left)
    *_, found = read(file).shapes
    assert isinstance(found, ConvShape)
    assert (found.macs, found.results, found.dynamic) == (shape.macs, shape.results, dynamic)
    if not dynamic:
        assert found == shape


def test_einsum_that_sums_nothing(file: Path) -> None:
    save(
        file,
        [
            node("Einsum", "x", "e", equation="bnc->bcn"),
            node("Relu", "e", "r"),
            node("Einsum", "r m", "y", equation="bcn,cn->bcn"),
            node("Softmax", "y", "z"),
        ],
        {"m": (8, 5)},
        dims=(1, 5, 8),
    )
    assert kinds(file) == ["multiply", "softmax"]
    save(file, [node("Einsum", "x", "e", equation="bnc->bc")], {}, dims=(1, 5, 8))
    assert read(file).shapes == [PassShape("e", "pool", 40, 1, 8, chained=False)]


@pytest.mark.parametrize(
    ("equation", "inputs", "message"),
    [
        ("bnc,dc->bd", "x m", "sums n of one operand alone.* Fix: write it as ReduceSum"),
        ("bnc,cd,de->bne", "x m m", "a product of 3 operands. Fix: write it as products of two"),
        ("bii,cd->bcd", "x m", "takes a diagonal"),
    ],
)
def test_einsum_that_is_no_matrix_product(file: Path, equation: str, inputs: str, message: str) -> None:
    save(file, [node("Einsum", inputs, "e", equation=equation)], {"m": (8, 8)}, dims=(1, 8, 8))
    with pytest.raises(InputError, match=f"node e = '{equation}': {message}"):
        read(file)


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("operator", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_operators(file: Path, operator: str, gates: int, direction: str, layout: int) -> None:
    steps, batch, channels, hidden = 6, 2, 4, 8
    both = 2 if direction == "bidirectional" else 1
    recurrent = node(operator, "x w r", "all last", hidden_size=hidden, direction=direction, layout=layout)
    dims = (batch, steps, channels) if layout else (steps, batch, channels)
    weights = {"w": (both, gates * hidden, channels), "r": (both, gates * hidden, hidden)}
    save(file, [recurrent, node("MaxPool", "all", "y", kernel_shape=[1, 1])], weights, dims=dims)
    shapes = [shape for shape in read(file).shapes if isinstance(shape, ConvShape)]
    assert sum(shape.macs for shape in shapes) == both * steps * batch * gates * hidden * (channels + hidden)
    whole = [shape for shape in shapes if shape.size == (steps * batch, 1)]
    assert [(shape.channels, shape.outputs) for shape in whole] == [(channels, gates * hidden)] * both
    assert all(shape.size == (batch, 1) for shape in shapes if shape not in whole)
    assert not any(shape.dynamic for shape in shapes)


def test_one_step_of_an_lstm(file: Path) -> None:
    """With the initial state of earlier steps, as streaming networks have it; only the last state read."""
    lstm = node("LSTM", "x w r b - h c", "all last memory", hidden_size=8)
    lstm.input[4], lstm.output[0] = "", ""
    reshape = onnx.helper.make_tensor("state", 7, [3], [1, 1, 8])
    nodes = [
        node("Constant", "", "state", value=reshape),
        node("MatMul", "x m", "state0"),
        node("Reshape", "state0 state", "h"),
        node("Reshape", "state0 state", "c"),
        lstm,
        node("Gemm", "flat n", "y"),
    ]
    nodes.insert(5, node("Flatten", "last", "flat", axis=2))
    weights = {"w": (1, 32, 4), "r": (1, 32, 8), "b": (1, 64), "m": (4, 8), "n": (8, 3)}
    save(file, nodes, weights, dims=(1, 1, 4))
    name = lstm.name
    step = f"{name}.step0"
    assert read(file).shapes == [
        ConvShape("state0", 4, 8, chained=False),
        ConvShape(f"{name}.input", 4, 32, chained=False),
        ConvShape(f"{step}.gates", 8, 32, residual=f"{step}.gates.add", chained=False),
        PassShape(f"{step}.activations", "table", 32, 1, 32),
        PassShape(f"{step}.forget", "multiply", 8, 2, 8),
        PassShape(f"{step}.write", "multiply", 8, 2, 8, chained=False),
        PassShape(f"{step}.memory", "add", 8, 2, 8, chained=False),
        PassShape(f"{step}.tanh", "table", 8, 1, 8),
        PassShape(f"{step}.state", "multiply", 8, 2, 8, chained=False),
        ConvShape("y", 8, 3),
    ]


def test_peepholes_are_a_pass_and_an_addition_each_step(file: Path) -> None:
    lstm = node("LSTM", "x w r b - - - p", "all", hidden_size=8)
    lstm.input[:] = ["" if name == "-" else name for name in lstm.input]
    weights = {"w": (1, 32, 4), "r": (1, 32, 8), "b": (1, 64), "p": (1, 24)}
    save(file, [lstm, node("Relu", "all", "y")], weights, dims=(2, 1, 4))
    passes = [shape for shape in read(file).shapes if "peepholes" in shape.name]
    assert [(shape.kind, shape.elements) for shape in passes] == [("multiply", 24), ("add", 24)] * 2  # type: ignore[union-attr]


@pytest.mark.parametrize("before", [0, 1])
def test_the_reset_gate_costs_the_same_on_both_sides_of_the_product(file: Path, before: int) -> None:
    gru = node("GRU", "x w r", "all", hidden_size=8, linear_before_reset=before)
    save(file, [gru, node("Relu", "all", "y")], {"w": (1, 24, 4), "r": (1, 24, 8)}, dims=(3, 1, 4))
    recurrent = [s for s in read(file).shapes if isinstance(s, ConvShape) and s.channels == 8]
    assert sorted(shape.outputs for shape in recurrent) == [8, 8, 8, 16, 16, 16]


def test_attention_of_opset_23(file: Path) -> None:
    """Four heads of queries share two of keys and values; 3 tokens come after 5 in a cache."""
    attention = node("Attention", "x k v - pk pv", "a present_k present_v")
    attention.input[3] = ""
    split = onnx.helper.make_tensor("parts", 7, [3], [4, 2, 2])
    past = onnx.helper.make_tensor("past", 7, [4], [1, 2, 5, 8])
    nodes = [
        node("Constant", "", "parts", value=split),
        node("Constant", "", "past", value=past),
        node("Split", "t parts", "q k v", axis=1),
        node("ReduceMax", "t", "one", keepdims=0),
        *(node("Expand", "one past", name) for name in ("pk", "pv")),
        attention,
        node("Softmax", "a", "y"),
    ]
    nodes.insert(0, node("Transpose", "x", "t", perm=[0, 2, 1, 3]))
    attention.input[0] = "q"
    save(file, nodes, {}, dims=(1, 3, 8, 8), opset=23)
    products = [shape for shape in read(file).shapes if isinstance(shape, ConvShape)]
    assert products == [
        ConvShape("a.scores", 32, 32, size=(3, 1), groups=4, dynamic=True, chained=False),
        ConvShape("a.values", 32, 32, size=(3, 1), groups=4, dynamic=True),
    ]
    assert kinds(file) == ["pool", "concat", "concat", "conv", "softmax", "conv", "softmax"]


def test_attention_of_rows_of_heads(file: Path) -> None:
    attention = node("Attention", "x x x m", "a", q_num_heads=2, kv_num_heads=2, softcap=30.0)
    save(file, [attention, node("Softmax", "a", "y")], {"m": (5, 5)}, dims=(2, 5, 8), opset=23)
    assert read(file).macs == 2 * 2 * 5 * 5 * (4 + 4)
    assert kinds(file) == ["conv", "add", "softmax", "conv", "softmax"]  # the cap's table is free


def test_passes_of_several_operators(file: Path) -> None:
    head = node("Conv", "x w", "c")
    save(file, [head, node("LRN", "c", "y", size=5)], {"w": (4, 3, 1, 1)})
    assert [(s.kind, s.elements) for s in read(file).shapes[1:]] == [  # type: ignore[union-attr]
        *(("table", 256), ("pool", 1280), ("table", 256), ("multiply", 256))
    ]
    save(file, [head, node("Pow", "c e", "y")], {"w": (4, 3, 1, 1), "e": (4, 1, 1)})
    assert kinds(file) == ["conv", "multiply", "table"]
    save(file, [head, node("Pow", "two c", "y")], {"w": (4, 3, 1, 1), "two": ()})
    assert kinds(file) == ["conv"]
    masked = [head, node("Greater", "c two", "mask"), node("Where", "mask c two", "y")]
    save(file, masked, {"w": (4, 3, 1, 1), "two": ()})
    assert kinds(file) == ["conv", "table", "pool"]


@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
def test_the_largest_of_a_row_is_a_pass_over_it(file: Path, operator: str) -> None:
    save(
        file,
        [node("Conv", "x w", "c"), node(operator, "c", "y", axis=1)],
        {"w": (4, 3, 1, 1)},
        type_=onnx.TensorProto.INT64,
    )
    assert read(file).shapes[1] == PassShape("y", "pool", 256, 1, 64)


def test_work_of_a_host_is_named_as_such(file: Path) -> None:
    save(
        file,
        [node("Conv", "x w", "c"), node("NonZero", "c", "y")],
        {"w": (4, 3, 1, 1)},
        type_=onnx.TensorProto.INT64,
    )
    with pytest.raises(InputError, match=r"node y = 'NonZero': .*host.* Fix: end the network before it"):
        read(file)


def test_an_operator_does_not_become_any_number_of_layers(file: Path) -> None:
    lstm = node("LSTM", "x w r", "all", hidden_size=8)
    save(file, [lstm, node("Relu", "all", "y")], {"w": (1, 32, 4), "r": (1, 32, 8)}, dims=(2**31, 1, 4))
    with pytest.raises(InputError, match="node all = 2147483648: more than 10000 steps"):
        read(file)
    save(file, [node("Conv", "x w", "c")], {"w": (4, 3, 3, 3)}, dims=(2**31, 3, 8, 8))
    with pytest.raises(InputError, match="node c = 2147483648: more than 10000 images"):
        read(file)
