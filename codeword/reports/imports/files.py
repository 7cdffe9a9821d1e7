"""Files of ONNX and SCALE-Sim, imported, and counted by other means."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

from sim.importers import scalesim


@dataclass(frozen=True)
class File:
    """A network; `counts` gives the multiply-accumulates of its layers, and those counted by other means."""

    name: str
    counts: Callable[[], tuple[int, int | None]]


def light(work: Path) -> Iterator[File]:
    """The zoo's networks without their weights."""
    yield from _models("light/*.onnx")


def exported(work: Path) -> Iterator[File]:
    """Single modules and small networks."""
    for folder in ("pytorch-converted", "pytorch-operator", "simple"):
        yield from _models(f"{folder}/*/model.onnx")


def _models(pattern: str) -> Iterator[File]:
    test = import_module("onnx.backend.test")
    for path in sorted((Path(test.__file__ or "").parent / "data").glob(pattern)):
        name = path.stem if path.stem != "model" else path.parent.name
        yield File(name, lambda path=path: _counts(path))  # type: ignore[misc]


_PRODUCTS = (
    *("Attention", "Conv", "ConvInteger", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "MatMul"),
    *("MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN"),
)
"""ONNX operators that multiply and accumulate."""

_RECURRENT = ("GRU", "LSTM", "RNN")

_COMPOSED = ("Attention", "Einsum", *_RECURRENT)
"""Those whose products their operands' shapes alone do not tell."""


def operators(work: Path) -> Iterator[File]:
    """The tests that define operators, those with products."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the arithmetic in the tests
        cases = import_module("onnx.backend.test.case.node").collect_testcases(None)
    known = {case.name: case for case in cases}
    for case in cases:
        if any(node.op_type in _PRODUCTS for node in case.model.graph.node):
            spelled = known.get(f"{case.name}_expanded")
            yield File(case.name, lambda case=case, spelled=spelled: _either(case, spelled))  # type: ignore[misc]


def _either(case: Any, spelled: Any) -> tuple[int, int | None]:
    """A test; where its shapes do not tell, ONNX's own definition of the operator in smaller ones counts."""
    found, counted = _operator(case)
    return found, _operator(spelled)[1] if counted is None and spelled is not None else counted


def _operator(case: Any) -> tuple[int, int | None]:
    """A test's model; what a layer with weights reads besides its map is a constant."""
    helper = import_module("onnx.numpy_helper")
    inputs, _ = case.data_sets[0]
    graph, given = case.model.graph, dict(zip([v.name for v in case.model.graph.input], inputs, strict=True))
    layers = [node for node in graph.node if "Conv" in node.op_type or node.op_type in _RECURRENT]
    fixed = {name for node in layers for name in node.input[1:] if name in given}
    for value in [value for value in graph.input if value.name in fixed]:
        graph.input.remove(value)
        graph.initializer.append(helper.from_array(given[value.name], value.name))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(case.model.SerializeToString())
        return _counts(path, {name: value for name, value in given.items() if name not in fixed})


def _counts(path: Path, given: dict[str, Any] | None = None) -> tuple[int, int | None]:
    from sim.importers import onnx_file

    return onnx_file.read(path).macs, _shapes_count(path, given)


def _shapes_count(path: Path, given: dict[str, Any] | None) -> int | None:
    """Products by the shapes of all tensors, in a run or as ONNX infers them; None where they do not tell."""
    onnx = import_module("onnx")
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    graph = model.graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    } | {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    if given is not None:
        run = import_module("onnx.reference").ReferenceEvaluator(model)
        shapes |= {
            name: list(v.shape)
            for name, v in run.run(None, given, intermediate=True).items()
            if hasattr(v, "shape")
        }
    total = 0
    for node in graph.node:
        if node.op_type in _COMPOSED or node.domain not in ("", "ai.onnx"):
            return None
        if node.op_type in _PRODUCTS:
            second = 3 if node.op_type.startswith("QLinear") else 1
            found = [shapes.get(name, []) for name in (node.input[0], node.input[second], node.output[0])]
            if any(not shape or 0 in shape for shape in found):
                return None
            total += _terms(node, *found)
    return total


def _terms(node: Any, first: list[int], weight: list[int], result: list[int]) -> int:
    """Multiply-accumulates of one node; a transposed convolution reads a map with zeros put in between.

    Where kernels do not overlap it is a product at each of its inputs.
    """
    attributes = {a.name: list(a.ints) or a.i for a in node.attribute}
    apart = node.op_type == "ConvTranspose" and attributes.get("strides") == weight[2:]
    if "Conv" in node.op_type:
        return int(result[0] * prod(weight) * prod((first if apart else result)[2:]))
    return int(prod(result) * (first[-2] if attributes.get("transA") else first[-1]))


def topologies(work: Path) -> Iterator[File]:
    """SCALE-Sim's files, against its own loader."""
    for path in sorted((work / "scalesim").rglob("*.csv")):
        yield File(path.stem, lambda path=path: _topology(path))  # type: ignore[misc]


def _topology(path: Path) -> tuple[int, int | None]:
    """As SCALE-Sim counts: with windows that reach beyond the map, which the importer names and leaves out."""
    loader = import_module("scalesim.topology_utils").topologies()
    found = scalesim.read(path).source_macs
    products = "Layer,M" in path.read_text(errors="replace").replace(" ", "")[:200]
    try:
        loader.load_arrays(str(path), mnk_inputs=products)
        return found, sum(loader.get_layer_mac_ops(layer) for layer in range(loader.get_num_layers()))
    except (IndexError, ValueError):  # a form of file that SCALE-Sim itself does not read
        return found, None
