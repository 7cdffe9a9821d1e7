"""What a file leaves to the user: the number an If depends on, a branch, sizes that contradict the operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from codeword import api
from sim.errors import InputError
from sim.importers.onnx_file import read
from sim.importers.onnx_reference import results
from tests.sim.importers.test_importers_onnx import node, save

RATE = onnx.helper.make_tensor_value_info("rate", onnx.TensorProto.INT64, [])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "net.onnx"


def number(name: str, value: Any) -> Any:
    return onnx.helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.array(value)))


def branch(name: str, kernel: int) -> onnx.GraphProto:
    """A convolution of its own."""
    weight = onnx.numpy_helper.from_array(np.zeros((4, 4, kernel, kernel), np.float32), f"w{kernel}")
    out = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (None,) * 4)
    nodes = [node("Conv", f"c w{kernel}", name, pads=[kernel // 2] * 4)]
    return onnx.helper.make_graph(nodes, name, [], [out], [weight])


def asked(file: Path, condition: list[Any]) -> Path:
    """A convolution and one of two others behind it."""
    choice = node("If", "wide", "d", then_branch=branch("three", 3), else_branch=branch("five", 5))
    save(file, [node("Conv", "x w", "c"), *condition, choice, node("Relu", "d", "y")], {"w": (4, 3, 1, 1)})
    model = onnx.load(str(file))
    model.graph.input.append(RATE)
    onnx.save(model, str(file))
    return file


OF_THE_RATE = [number("limit", 16000), node("Equal", "rate limit", "wide")]
OF_THE_DATA = [
    node("ReduceMax", "c", "most", keepdims=0),
    node("Cast", "most", "wide", to=onnx.TensorProto.BOOL),
]


@pytest.mark.parametrize(("rate", "taken"), [(16000, "three"), (8000, "five")])
def test_an_input_of_one_number_decides_a_branch(file: Path, rate: int, taken: str) -> None:
    found = read(asked(file, OF_THE_RATE), values={"rate": rate})
    assert [shape.name for shape in found.shapes] == ["c", taken]


@pytest.mark.parametrize(("holds", "taken"), [(1, "three"), (0, "five")])
def test_a_condition_that_data_decide_can_be_given(file: Path, holds: int, taken: str) -> None:
    found = read(asked(file, OF_THE_DATA), values={"wide": holds})
    assert found.shapes[-1].name == taken


@pytest.mark.parametrize(
    ("condition", "fix"), [(OF_THE_RATE, "--value rate=N"), (OF_THE_DATA, "--value wide=1 or =0")]
)
def test_a_refused_branch_says_what_to_give(file: Path, condition: list[Any], fix: str) -> None:
    with pytest.raises(InputError, match=fix):
        read(asked(file, condition))


def test_a_value_of_nothing_that_decides_is_refused(file: Path) -> None:
    with pytest.raises(InputError, match="neither an input of one element nor the condition of an If"):
        read(asked(file, OF_THE_RATE), values={"x": 1})


@pytest.mark.parametrize("rate", [2**63, -(2**64)])
def test_a_value_beyond_the_type_is_refused(file: Path, rate: int) -> None:
    with pytest.raises(InputError, match=r"--value rate = .*: is beyond the input's type"):
        read(asked(file, OF_THE_RATE), values={"rate": rate})


def test_a_topology_takes_no_value(tmp_path: Path) -> None:
    topology = tmp_path / "net.csv"
    topology.write_text(
        "Layer,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides\n"
    )
    with pytest.raises(InputError, match="--value"):
        api.estimate(str(topology), "ews-16", values={"rate": 1})


def test_sizes_that_contradict_the_operators_are_inferred_anew(file: Path) -> None:
    save(file, [node("Conv", "x w", "y")], {"w": (4, 3, 1, 1)}, dims=(1, 3, 8, 8))
    model = onnx.load(str(file))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [7, 4, 8, 8]))
    onnx.save(model, str(file))
    found = read(file)
    assert found.macs == 8 * 8 * 4 * 3
    assert "sizes that the file states contradict its operators: all are inferred anew" in found.notes


@pytest.mark.parametrize("version", [9, 12, 13])
def test_arithmetic_on_shapes_of_every_version(file: Path, version: int) -> None:
    """Unsqueeze took its axes as an attribute before 13: the reference took a bare node for one of 13."""
    first = [
        number("two", 2),
        node("Conv", "x w", "c"),
        node("Shape", "c", "s"),
        node("Gather", "s two", "k"),
    ]
    axes = (
        [node("Unsqueeze", "k", "many", axes=[0])]
        if version < 13
        else [number("zero", [0]), node("Unsqueeze", "k zero", "many")]
    )
    last = [number("rest", [-1]), node("Concat", "rest many", "wish", axis=0), node("Reshape", "c wish", "y")]
    save(file, [*first, *axes, *last], {"w": (4, 3, 1, 1)}, opset=version)
    assert read(file).macs == 8 * 8 * 4 * 3


def test_a_shape_of_an_output_is_known(file: Path) -> None:
    nodes = [
        node("Conv", "x w", "y"),
        node("Shape", "y", "s"),
        number("minus", [-1]),
        node("Equal", "s minus", "open"),
        node("Where", "open minus s", "wish"),
        node("Reshape", "y wish", "z"),
    ]
    save(file, nodes, {"w": (4, 3, 1, 1)}, dims=(1, 3, 8, 8))
    model = onnx.load(str(file))
    del model.graph.value_info[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (None,) * 4))
    onnx.save(model, str(file))
    assert read(file).macs == 8 * 8 * 4 * 3


def test_a_recurrence_quantized_as_it_runs(file: Path) -> None:
    """Of ONNX Runtime, whose weights lie the other way round: as many products as the LSTM of ONNX."""
    steps, inputs, hidden, directions = 5, 6, 7, 2
    gates = 4 * hidden
    weights = {"w": (directions, inputs, gates), "r": (directions, hidden, gates), "ws": (2,), "rs": (2,)}
    quantized = onnx.helper.make_node(
        "DynamicQuantizeLSTM",
        ["x", "w", "r", "", "", "", "", "", "ws", "", "rs", ""],
        ["all", "last"],
        domain="com.microsoft",
        hidden_size=hidden,
        direction="bidirectional",
    )
    save(file, [quantized, node("Relu", "last", "y")], weights, dims=(steps, 1, inputs))
    found = read(file)
    assert found.macs == directions * steps * gates * (inputs + hidden)
    plain = file.with_name("plain.onnx")
    turned = {"w": (directions, gates, inputs), "r": (directions, gates, hidden)}
    lstm = node("LSTM", "x w r", "all last", hidden_size=hidden, direction="bidirectional")
    save(plain, [lstm, node("Relu", "last", "y")], turned, dims=(steps, 1, inputs))
    assert [shape.macs for shape in found.shapes] == [shape.macs for shape in read(plain).shapes]


def test_a_bare_node_runs_as_its_version() -> None:
    unsqueeze = onnx.helper.make_node("Unsqueeze", ["a"], ["b"], axes=[0])
    (found,) = results(unsqueeze, {"a": np.array(5)}, {"": 11})
    assert np.array_equal(found, [5])
