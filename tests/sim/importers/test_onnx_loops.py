"""Loops with a known number of turns, and lists of tensors, whose products are those of what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from sim.errors import InputError
from sim.importers.onnx_file import read
from tests.sim.importers.test_importers_onnx import node, save
from tests.sim.importers.test_onnx_given import number

FLOAT, helper = onnx.TensorProto.FLOAT, onnx.helper
WIDTH, TURNS = 6, 4


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "net.onnx"


def loop(inputs: str, output: str, ends: list[Any], goes_on: str) -> Any:
    """state = relu(state @ m); the body gives every state, too."""
    nodes = [
        node("MatMul", "state m", "product"),
        node("Relu", "product", "next"),
        node("Identity", "next", "each"),
        *ends,
    ]
    values = {
        "turn": helper.make_tensor_value_info("turn", onnx.TensorProto.INT64, []),
        "before": helper.make_tensor_value_info("before", onnx.TensorProto.BOOL, []),
        "state": helper.make_tensor_value_info("state", FLOAT, (1, WIDTH)),
        goes_on: helper.make_tensor_value_info(goes_on, onnx.TensorProto.BOOL, []),
        "next": helper.make_tensor_value_info("next", FLOAT, (1, WIDTH)),
        "each": helper.make_tensor_value_info("each", FLOAT, (1, WIDTH)),
    }
    weight = onnx.numpy_helper.from_array(np.ones((WIDTH, WIDTH), np.float32), "m")
    body = helper.make_graph(
        nodes,
        "body",
        [values[name] for name in ("turn", "before", "state")],
        [values[name] for name in (goes_on, "next", "each")],
        [weight],
    )
    return node("Loop", inputs, output, body=body)


KEPT = [node("Identity", "before", "goes_on")]


@pytest.mark.parametrize("opset", [11, 21])
def test_a_loop_turn_by_turn(file: Path, opset: int) -> None:
    nodes = [
        number("turns", TURNS),
        number("yes", True),
        loop("turns yes x", "last all", KEPT, "goes_on"),
        node("Flatten", "all", "flat"),
        node("Gemm", "flat g", "y"),
    ]
    save(file, nodes, {"g": (WIDTH, 3)}, dims=(1, WIDTH), opset=opset)
    found = read(file)
    assert found.macs == TURNS * WIDTH * WIDTH + TURNS * WIDTH * 3
    assert sum("product" in shape.name for shape in found.shapes) == TURNS


def test_a_number_of_turns_that_is_a_size(file: Path) -> None:
    nodes = [
        node("Shape", "x", "s"),
        number("one", 1),
        node("Gather", "s one", "turns"),
        number("yes", True),
        loop("turns yes x", "last all", [number("goes_on", True)], "goes_on"),
        node("Relu", "last", "y"),
    ]
    save(file, nodes, {}, dims=(1, WIDTH))
    assert read(file).macs == WIDTH * WIDTH * WIDTH


@pytest.mark.parametrize(
    "ends",
    [
        [
            node("ReduceMax", "next", "most", keepdims=0),
            node("Cast", "most", "goes_on", to=onnx.TensorProto.BOOL),
        ],
        [number("goes_on", False)],
    ],
)
def test_a_loop_that_may_end_before_is_refused(file: Path, ends: list[Any]) -> None:
    nodes = [
        number("turns", TURNS),
        number("yes", True),
        loop("turns yes x", "last all", ends, "goes_on"),
        node("Relu", "last", "y"),
    ]
    save(file, nodes, {}, dims=(1, WIDTH))
    with pytest.raises(InputError, match="constant number of turns"):
        read(file)


LISTS: dict[str, tuple[list[Any], int]] = {
    "construct and pick": (
        [node("SequenceConstruct", "a b", "l"), number("p", -1), node("SequenceAt", "l p", "t")],
        WIDTH * 5,
    ),
    "insert, erase and join": (
        [
            node("SequenceEmpty", "", "l0"),
            node("SequenceInsert", "l0 a", "l1"),
            node("SequenceInsert", "l1 b", "l2"),
            number("first", 0),
            node("SequenceInsert", "l2 b first", "l3"),
            node("SequenceErase", "l3 first", "l4"),
            node("ConcatFromSequence", "l4", "t", axis=1),
        ],
        2 * WIDTH * 5,
    ),
    "split by size": (
        [
            number("two", 2),
            node("SplitToSequence", "a two", "l", axis=1),
            number("last", 2),
            node("SequenceAt", "l last", "t"),
        ],
        2 * 5,
    ),
    "split by sizes": (
        [
            number("sizes", [1, 4, 1]),
            node("SplitToSequence", "a sizes", "l", axis=1),
            number("one", 1),
            node("SequenceAt", "l one", "t"),
        ],
        4 * 5,
    ),
    "slices without their axis, stacked": (
        [
            node("SplitToSequence", "a", "l", axis=0, keepdims=0),
            node("ConcatFromSequence", "l", "t", axis=0, new_axis=1),
        ],
        WIDTH * 5,
    ),
    "a length that is a size": (
        [
            node("SequenceConstruct", "a b b", "l"),
            node("SequenceLength", "l", "n"),
            number("zero", [0]),
            node("Unsqueeze", "n zero", "many"),
            number("rest", [-1]),
            node("Concat", "many rest", "wish", axis=0),
            node("Concat", "a b b", "abb", axis=0),
            node("Reshape", "abb wish", "t"),
        ],
        3 * WIDTH * 5,
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_tensors(file: Path, name: str) -> None:
    nodes, macs = LISTS[name]
    columns = macs // 5 if name != "a length that is a size" else WIDTH
    first = [node("Relu", "x", "a"), node("Sigmoid", "x", "b")]
    last = [node("MatMul", "t g", "y")]
    save(file, [*first, *nodes, *last], {"g": (columns, 5)}, dims=(1, WIDTH), opset=21)
    assert read(file).macs == macs


def test_a_list_of_which_data_take_is_refused(file: Path) -> None:
    nodes = [
        node("SequenceConstruct", "x x", "l"),
        node("ReduceMax", "x", "most", keepdims=0),
        node("Cast", "most", "place", to=onnx.TensorProto.INT64),
        node("SequenceAt", "l place", "t"),
        node("MatMul", "t g", "y"),
    ]
    save(file, nodes, {"g": (WIDTH, 5)}, dims=(1, WIDTH))
    with pytest.raises(InputError, match="SequenceAt"):
        read(file)


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("last", [(), (1,)])
def test_a_short_transform_is_a_convolution_with_waves(
    file: Path, onesided: int, last: tuple[int, ...]
) -> None:
    """As many frames as ONNX's reference gives, each number of which sums over a frame."""
    samples, step, frame = 100, 8, 12
    nodes = [
        number("step", step),
        number("window", np.hanning(frame).astype(np.float32)),
        node("STFT", "x step window", "s", onesided=onesided),
        node("Relu", "s", "y"),
    ]
    save(file, nodes, {}, dims=(1, samples, *last))
    numbers = (1 + (samples - frame) // step) * (frame // 2 + 1 if onesided else frame) * 2
    if last:  # the reference takes no other
        given = {"x": np.ones((1, samples, *last), np.float32)}
        assert ReferenceEvaluator(onnx.load(str(file))).run(None, given)[0].size == numbers
    found = read(file)
    assert found.macs == numbers * frame
    assert found.shapes[0].macs == found.macs


def test_a_transform_of_unknown_frames_is_refused(file: Path) -> None:
    nodes = [
        node("ReduceMax", "x", "most", keepdims=0),
        node("Cast", "most", "step", to=onnx.TensorProto.INT64),
        number("window", np.ones(12, np.float32)),
        node("STFT", "x step window", "s"),
        node("Relu", "s", "y"),
    ]
    save(file, nodes, {}, dims=(1, 100))
    with pytest.raises(InputError, match="step and the length of its frames are no constants"):
        read(file)
