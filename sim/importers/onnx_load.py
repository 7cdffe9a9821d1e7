"""An ONNX file made ready for the inference of shapes: no large values, declared domains, known inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import checker, inliner

from sim.errors import InputError, nearest

PRODUCERS = ("com.microsoft", "qonnx.", "finn.", "onnx.brevitas", "brevitas")
"""Domains, or what they begin with, whose operators are known here."""

LARGEST = 1024
"""Elements of a tensor that may be arithmetic on shapes; the values of larger ones are never read."""

_STRAYS = ("SimplifiedLayerNormalization",)
"""Operators of ONNX Runtime that its exporters write without a domain."""

_NAMELESS = ("?", "-1", "None", "*")
"""What exporters write for a size without a name: two of them need not be equal."""

_VALUES = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


@dataclass
class Loaded:
    """A valid model.

    Attributes:
        weights: shapes of the parameters, by name; those without values here are inputs of the model.
        notes: what was assumed on the way.
    """

    model: onnx.ModelProto
    weights: dict[str, list[int]]
    notes: list[str] = field(default_factory=list)


def load(
    path: str | Path,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, int] | None = None,
) -> Loaded:
    """The model of a file, with functions inlined.

    Args:
        input_shapes: sizes of inputs by name, instead of those in the file.
        values: of inputs of one element, and of conditions of Ifs, by name; they become constants.

    Raises:
        InputError: an unreadable or invalid file, or sizes or values of what it does not have.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (OSError, DecodeError, ValueError) as error:
        problem = str(error) if isinstance(error, OSError) else "is no ONNX model, or damaged"
        raise InputError("network", str(path), problem, "give a readable .onnx file") from None
    graph = model.graph
    loaded = Loaded(model, {tensor.name: list(tensor.dims) for tensor in graph.initializer})
    loaded.weights |= {tensor.values.name: list(tensor.dims) for tensor in graph.sparse_initializer}
    _declare(loaded)
    _set_values_aside(loaded)
    try:
        checker.check_model(model)
        if model.functions:
            loaded.model = inliner.inline_local_functions(model)
    except (checker.ValidationError, RuntimeError) as error:
        line = " ".join(str(error).split())
        raise InputError(
            "network", str(path), f"is no valid ONNX model: {line}", "export the network again"
        ) from None
    # Folded constants will be initializers that are no inputs, which files up to version 3 may not have.
    loaded.model.ir_version = max(loaded.model.ir_version, 4)
    _clear_unknown(loaded.model.graph)
    _set_values(loaded, values or {})
    _set_sizes(loaded, input_shapes or {})
    _fix_batch(loaded)
    return loaded


def free_inputs(loaded: Loaded) -> Iterable[onnx.ValueInfoProto]:
    """What the user gives, no weights."""
    return (value for value in loaded.model.graph.input if value.name not in loaded.weights)


def _declare(loaded: Loaded) -> None:
    """Declares the domains of known producers where the exporter forgot it."""
    model = loaded.model
    for node in model.graph.node:
        if not node.domain and node.op_type in _STRAYS:
            node.domain = "com.microsoft"
    declared = {entry.domain for entry in model.opset_import}
    missing = {node.domain for node in model.graph.node} - declared
    for domain in sorted(missing):
        if domain.startswith(PRODUCERS):
            model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
            loaded.notes.append(f"domain {domain} is not declared in the file: its version taken as 1")


def _set_values_aside(loaded: Loaded) -> None:
    """Parameters that are large, or whose values are not in the file, become inputs."""
    graph = loaded.model.graph
    listed = {value.name for value in graph.input}
    kept, missing = [], 0
    for tensor in graph.initializer:
        external = tensor.data_location == onnx.TensorProto.EXTERNAL
        stripped = not external and prod(tensor.dims) > 0 and not any(map(len, _contents(tensor)))
        missing += stripped
        if not (external or stripped or prod(tensor.dims) > LARGEST):
            kept.append(tensor)
        elif tensor.name not in listed:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    if len(kept) < len(graph.initializer):
        small = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
        del graph.initializer[:]
        graph.initializer.extend(small)
    if missing:
        loaded.notes.append(
            f"values of {missing} of the parameters are not in the file: only their shapes are used"
        )


def _contents(tensor: onnx.TensorProto) -> list[Sequence[object]]:
    return [getattr(tensor, name) for name in _VALUES]


def _clear_unknown(graph: onnx.GraphProto) -> None:
    """Sizes of 0 and -1 mean unknown, as results without dimensions do; what is unknown is inferred."""
    for value in (*graph.input, *graph.value_info, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if (dim.HasField("dim_value") and dim.dim_value < 1) or dim.dim_param in _NAMELESS:
                dim.Clear()
    for value in graph.output:
        if not value.type.tensor_type.shape.dim:
            value.type.tensor_type.ClearField("shape")
    for value in [value for value in graph.value_info if symbolic(value)]:
        graph.value_info.remove(value)


def symbolic(value: onnx.ValueInfoProto) -> bool:
    """Whether a size is unknown."""
    return any(dim.dim_value < 1 for dim in value.type.tensor_type.shape.dim)


def forget_sizes(graph: onnx.GraphProto) -> None:
    """Leaves the sizes of the inputs alone; what the file says of other tensors is about other sizes."""
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")


def scalars(loaded: Loaded) -> dict[str, onnx.ValueInfoProto]:
    """The inputs of one element, such as a rate of samples, by name."""
    inputs = {value.name: value for value in free_inputs(loaded)}
    return {
        name: value
        for name, value in inputs.items()
        if value.type.tensor_type.HasField("shape")
        and all(dim.dim_value == 1 for dim in value.type.tensor_type.shape.dim)
    }


def conditions(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """The Ifs by the tensor that decides them."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        if node.op_type == "If":
            found.setdefault(node.input[0], []).append(node)
    return found


def _constant(source: onnx.ValueInfoProto, value: int) -> onnx.TensorProto:
    """An input of one element as a constant.

    Raises:
        InputError: the input's type has no such number.
    """
    kind = source.type.tensor_type
    extent = [1] * len(kind.shape.dim)
    try:
        array = np.full(extent, value, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    except (OverflowError, ValueError, TypeError):
        type_ = onnx.TensorProto.DataType.Name(kind.elem_type)
        fix = f"give a number of type {type_}"
        raise InputError(f"--value {source.name}", value, "is beyond the input's type", fix) from None
    return onnx.numpy_helper.from_array(array, source.name)


def _set_values(loaded: Loaded, values: Mapping[str, int]) -> None:
    graph, inputs, branches = loaded.model.graph, scalars(loaded), conditions(loaded.model.graph)
    for name, value in values.items():
        if name in inputs:
            constant = _constant(inputs[name], value)
            graph.initializer.append(constant)
            graph.input.remove(inputs[name])
            loaded.weights[name] = list(constant.dims)
        elif name in branches:
            constant = onnx.helper.make_tensor(f"{name}/given", onnx.TensorProto.BOOL, [], [bool(value)])
            graph.initializer.append(constant)
            loaded.weights[constant.name] = []
            for node in branches[name]:
                node.input[0] = constant.name
        else:
            problem = "is neither an input of one element nor the condition of an If"
            raise InputError("--value", name, problem, nearest(name, [*inputs, *branches]))


def _set_sizes(loaded: Loaded, input_shapes: Mapping[str, Sequence[int]]) -> None:
    inputs = {value.name: value for value in free_inputs(loaded)}
    graph, fixed = loaded.model.graph, False
    for name, sizes in input_shapes.items():
        if name not in inputs:
            raise InputError("--input-shape", name, "is no input of the network", nearest(name, inputs))
        dims = inputs[name].type.tensor_type.shape.dim
        ok = len(dims) == len(sizes) and all(type(size) is int and size >= 1 for size in sizes)
        if not ok:
            raise InputError(
                f"--input-shape {name}",
                ",".join(map(str, sizes)),
                f"the input has {len(dims)} dimensions",
                f"give {len(dims)} positive sizes, separated by commas",
            )
        symbols = {}
        for dim, size in zip(dims, sizes, strict=True):
            fixed |= dim.dim_value not in (0, size)
            if dim.dim_param:
                symbols[dim.dim_param] = size
            dim.dim_value = size
        _replace(graph, symbols)
    if fixed:
        forget_sizes(graph)


def _replace(graph: onnx.GraphProto, symbols: Mapping[str, int]) -> None:
    """Names of sizes become numbers, wherever they occur."""
    for value in (*graph.input, *graph.value_info, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in symbols:
                dim.dim_value = symbols[dim.dim_param]


def _fix_batch(loaded: Loaded) -> None:
    """An unknown first dimension of an input is a batch of 1."""
    symbols = {}
    for value in free_inputs(loaded):
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_value < 1:
            loaded.notes.append(f"input {value.name}: batch {dims[0].dim_param or '?'} taken as 1")
            if dims[0].dim_param:
                symbols[dims[0].dim_param] = 1
            dims[0].dim_value = 1
    _replace(loaded.model.graph, symbols)
