"""Files as exporters write them: without values, without domains, old, with batches and open sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.importers.onnx_file import read
from sim.shapes import ConvShape, PassShape
from tests.sim.importers.test_importers_onnx import const, node, save
from tests.sim.importers.test_onnx_foreign import foreign

BLOCK = [
    node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
    node("Unsqueeze", "gain axes", "factor"),
    node("Mul", "c factor", "scaled"),
    node("Relu", "scaled", "r"),
    node("Shape", "r", "shape"),
    node("Gather", "shape zero", "first"),
    node("Concat", "first rest", "wish", axis=0),
    node("Reshape", "r wish", "flat"),
    node("Gemm", "flat m", "y"),
]
WEIGHTS = {"w": (4, 3, 3, 3), "m": (256, 10), "gain": (4,)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    nodes = [const("zero", [0]), const("rest", [-1]), const("axes", [1, 2]), *BLOCK]
    return save(tmp_path / "net.onnx", nodes, WEIGHTS, dims=(1, 3, 8, 8))


def changed(file: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    model = onnx.load(str(file))
    change(model)
    onnx.save(model, str(file))
    return file


def strip(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")


def old(model: onnx.ModelProto) -> None:
    model.ir_version = 3
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in model.graph.initializer
    )


def external(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "weights.bin"


@pytest.mark.parametrize("change", [strip, old, external])
def test_the_same_layers_however_weights_are_kept(
    file: Path, change: Callable[[onnx.ModelProto], None]
) -> None:
    expected = read(file)
    found = read(changed(file, change))
    assert found.shapes == expected.shapes
    assert found.macs == 64 * 27 * 4 + 2560
    missing = ("values of 3 of the parameters are not in the file: only their shapes are used",)
    assert found.notes == (missing if change is strip else ())


@pytest.mark.parametrize("batch", [-1, 0])
def test_a_size_below_one_is_unknown(file: Path, batch: int) -> None:
    def change(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
            if value.type.tensor_type.shape.dim:
                value.type.tensor_type.shape.dim[0].dim_value = batch

    expected = read(file).shapes
    found = read(changed(file, change))
    assert found.shapes == expected
    assert found.notes == ("input x: batch ? taken as 1",)


@pytest.mark.parametrize("domain", ["com.microsoft", "qonnx.custom_op.general", "finn.custom_op.general"])
def test_domains_of_known_producers_need_no_declaration(file: Path, domain: str) -> None:
    operator = "QuickGelu" if domain == "com.microsoft" else "Quant"
    nodes = [node("Conv", "x w", "c"), foreign(operator, "c", "q", domain), node("Conv", "q v", "y")]
    save(file, nodes, {"w": (4, 3, 1, 1), "v": (4, 4, 1, 1)}, domains=(domain,))
    expected = read(file)
    found = read(changed(file, lambda model: model.opset_import.pop()))
    assert expected.notes == ()
    assert found.notes == (f"domain {domain} is not declared in the file: its version taken as 1",)
    assert found.shapes == expected.shapes
    assert [shape.name for shape in found.shapes] == ["c", "y"]


def test_input_shapes(file: Path) -> None:
    convolution = [node("Conv", "x w", "c", strides=[2, 2]), node("Relu", "c", "y")]
    save(file, convolution, {"w": (4, 3, 3, 3)}, dims=("n", 3, "h", "h"))
    (shape,) = read(file, input_shapes={"x": [1, 3, 33, 33]}).shapes
    assert (shape.size, shape.results) == ((33, 33), 4 * 16 * 16)  # type: ignore[union-attr]
    save(file, convolution, {"w": (4, 3, 3, 3)})  # a size in the file is replaced, with all that follows
    assert read(file, input_shapes={"x": [1, 3, 33, 33]}).shapes == [shape]


def test_sizes_without_names_need_not_be_equal(file: Path) -> None:
    save(file, [node("Conv", "x w", "c")], {"w": (4, 3, 3, 3)}, dims=("?", 3, "?", "?"))
    (shape,) = read(file, input_shapes={"x": (1, 3, 9, 7)}).shapes
    assert shape.size == (9, 7)  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"Fix: give numbers for --input-shape x=1,3,\?,\? "):
        read(file)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"y": [1]}, "--input-shape = 'y': is no input of the network. Fix: use one of x"),
        ({"x": [1, 3, 8]}, "--input-shape x = '1,3,8': the input has 4 dimensions. Fix: give 4 positive"),
        ({"x": [1, 3, 8, 0]}, "--input-shape x = '1,3,8,0': .* Fix: give 4 positive"),
        ({"x": [1, 3, 8, True]}, "--input-shape x = '1,3,8,True': .* Fix: give 4 positive"),
        ({"x": [1, 5, 8, 8]}, "node c = .*3 channels"),
    ],
)
def test_input_shapes_that_do_not_fit(file: Path, shapes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(file, input_shapes=shapes)


FURTHER = [
    node("Dropout", "c", "d mask"),
    node("MaxPool", "c", "d at", kernel_shape=[2, 2], strides=[2, 2]),
    node("BatchNormalization", "c s s s s", "d mean var", training_mode=1),
    node("TopK", "c k", "d at", axis=3),
]


@pytest.mark.parametrize("further", FURTHER, ids=lambda n: n.op_type)
@pytest.mark.parametrize("kind", ["unread", "read", "returned"])
def test_further_results_carry_no_arithmetic(file: Path, further: Any, kind: str) -> None:
    def shapes(outputs: int, kind: str) -> list[Any]:
        first = onnx.NodeProto.FromString(further.SerializeToString())
        del first.output[outputs:]
        extra = first.output[-1]
        nodes = [node("Conv", "x w", "c"), first]
        if kind == "read":
            nodes.append(node("Cast", extra, "seen", to=onnx.TensorProto.FLOAT))
        nodes.append(node("MaxPool", "d", "y", kernel_shape=[1, 1]))
        save(file, nodes, {"w": (4, 3, 1, 1), "s": (4,)}, domains=())
        changed(file, lambda model: model.graph.initializer.append(onnx.helper.make_tensor("k", 7, [1], [2])))
        if kind != "unread":
            name = "seen" if kind == "read" else extra
            kinds = {"mask": onnx.TensorProto.BOOL, "at": onnx.TensorProto.INT64}
            type_ = onnx.TensorProto.FLOAT if kind == "read" else kinds.get(name, onnx.TensorProto.FLOAT)
            value = onnx.helper.make_tensor_value_info(name, type_, None)
            value.type.tensor_type.shape.SetInParent()
            changed(file, lambda model: model.graph.output.append(value))
        return read(file).shapes

    least = {"BatchNormalization": 3, "TopK": 2}.get(further.op_type, 1)  # as ONNX demands
    assert shapes(len(further.output), kind) == shapes(least, "unread")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_batch_is_so_many_times_the_work(tmp_path: Path, data: st.DataObject) -> None:
    numbers = st.integers(0, 2)
    kernel, stride = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    attributes = dict(
        pads=[data.draw(numbers) for _ in range(4)],
        strides=[stride, data.draw(st.integers(1, 2))],
        dilations=[data.draw(st.integers(1, 2))] * 2,
    )
    batch, rows = data.draw(st.integers(2, 5)), data.draw(st.integers(5, 9))

    def layers(images: int) -> list[Any]:
        nodes = [node("Conv", "x w", "c", **attributes), node("Relu", "c", "y")]
        save(tmp_path / "net.onnx", nodes, {"w": (4, 3, kernel, 3)}, dims=(images, 3, rows, 7))
        return read(tmp_path / "net.onnx").shapes

    (one,), found = layers(1), layers(batch)
    assert sum(shape.macs for shape in found) == batch * one.macs
    assert sum(shape.results for shape in found) == batch * one.results
    if len(found) == 1:  # under each other: every row is there, but the last ones that no result needs
        assert batch * rows - stride < found[0].size[0] <= batch * rows
    else:
        assert [shape.size for shape in found] == [one.size] * batch


def test_an_odd_row_below_each_image_but_the_last_stays_unread(file: Path) -> None:
    """With a stride of 2 the seams fall on rows that nobody reads."""
    save(file, [node("Conv", "x w", "c", strides=[2, 2])], {"w": (4, 3, 1, 1)}, dims=(3, 3, 8, 8))
    assert read(file).shapes == [ConvShape("c", 3, 4, stride=(2, 2), size=(23, 8), chained=False)]


def test_a_batch_of_a_network(file: Path) -> None:
    """The addition rides and the table is free where the images are one map."""
    nodes = [
        node("Conv", "x w", "stem", pads=[1, 1, 1, 1]),
        node("Conv", "stem v", "a"),
        node("Add", "a stem", "sum"),
        node("Conv", "sum w2", "valid"),
        node("Sigmoid", "valid", "act"),
        node("GlobalAveragePool", "act", "gap"),
        node("Flatten", "gap", "flat"),
        node("Gemm", "flat m", "y"),
    ]
    weights = {"w": (4, 3, 3, 3), "v": (4, 4, 1, 1), "w2": (4, 4, 3, 3), "m": (4, 10)}
    save(file, nodes, weights, dims=(2, 3, 8, 8))
    assert read(file).shapes == [
        ConvShape("stem", 3, 4, (3, 3), padding=(1, 1), size=(16, 8), chained=False),
        ConvShape("a", 4, 4, size=(16, 8), residual="sum"),
        ConvShape("valid", 4, 4, (3, 3), size=(8, 8)),
        ConvShape("valid#2", 4, 4, (3, 3), size=(8, 8), chained=False),
        PassShape("gap", "pool", 2 * 4 * 36, 1, 8, chained=False),
        ConvShape("y", 4, 10, size=(2, 1)),
    ]


def test_node_names_that_come_twice(file: Path) -> None:
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Conv", "r v", "y")]
    nodes[2].name = "c"
    save(file, nodes, {"w": (4, 3, 1, 1), "v": (4, 4, 1, 1)})
    assert [shape.name for shape in read(file).shapes] == ["c", "c#2"]


def test_values_of_weights_change_nothing(file: Path) -> None:
    """Small tensors are read as arithmetic on shapes, weights never."""

    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            tensor.raw_data = np.full(tensor.dims, np.nan, np.float32).tobytes()

    expected = read(file)
    assert read(changed(file, change)) == expected


@pytest.mark.parametrize("square", [True, False])
def test_a_branch_that_shapes_decide_is_taken(file: Path, square: bool) -> None:
    """As torch writes `squeeze`; each branch reads what is outside of it and has constants of its own."""

    def branch(name: str, nodes: list[Any], weights: dict[str, tuple[int, ...]]) -> Any:
        out = onnx.helper.make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.FLOAT, None)
        values = [onnx.numpy_helper.from_array(np.ones(s, np.float32), n) for n, s in weights.items()]
        return onnx.helper.make_graph(nodes, name, [], [out], values)

    one = branch("one", [node("Conv", "c a", "left")], {"a": (4, 4, 1, 1)})
    other = branch("other", [node("Conv", "c b", "right")], {"b": (4, 4, 3, 3)})
    nodes = [
        const("last", [3]),
        const("eight", [8]),
        node("Conv", "x w", "c"),
        node("Shape", "c", "shape"),
        node("Gather", "shape last", "width"),
        node("Equal", "width eight", "condition"),
        node("If", "condition", "d", then_branch=one, else_branch=other),
        node("Relu", "d", "y"),
    ]
    save(file, nodes, {"w": (4, 3, 1, 1)}, dims=(1, 3, 8, 8 if square else 7))
    assert [shape.name for shape in read(file).shapes] == ["c", "left" if square else "right"]


def test_a_branch_that_data_decide_is_refused(file: Path) -> None:
    one = onnx.helper.make_graph(
        [node("Relu", "c", "left")], "one", [], [onnx.helper.make_tensor_value_info("left", 1, None)]
    )
    nodes = [
        node("Conv", "x w", "c"),
        node("ReduceMax", "c", "most", keepdims=0),
        node("Greater", "most zero", "condition"),
        node("If", "condition", "d", then_branch=one, else_branch=one),
        node("Relu", "d", "y"),
    ]
    save(file, nodes, {"w": (4, 3, 1, 1), "zero": ()})
    with pytest.raises(InputError, match=r"node d = 'If': .* Fix: say whether its condition holds"):
        read(file)


def test_negative_padding_takes_rows_away(file: Path) -> None:
    save(file, [node("Conv", "x w", "c", pads=[-1, 1, -2, 0])], {"w": (4, 3, 3, 3)})
    window = dict(kernel=(3, 3), padding=(0, 1), padding_end=(0, 0), size=(5, 8))
    assert read(file).shapes == [ConvShape("c", 3, 4, **window, chained=False)]
