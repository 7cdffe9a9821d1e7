"""What each ONNX operator is to the hardware."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sim.importers.onnx_graph import Node
from sim.importers.onnx_products import PRODUCTS
from sim.importers.onnx_recurrent import RECURRENT
from sim.importers.steps import Form, Step, Tensor, arithmetic, pointwise, view, windows, work

SAME = (
    "Identity",
    "Dropout",
    "Cast",
    "CastLike",
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
)
"""Operators whose first result is their first input: the number format is the accelerator's own."""

_CLAMPS = ("Relu", "Clip")
_TABLES = (
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitwiseNot",
    "Ceil",
    "Celu",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Log",
    "Mish",
    "Not",
    "Reciprocal",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
)
_VIEWS = (
    "Reshape",
    "Transpose",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Split",
    "Expand",
    "Tile",
    "Gather",
    "GatherElements",
    "GatherND",
    "ReverseSequence",
    "DepthToSpace",
    "SpaceToDepth",
)
_ARITHMETIC = {
    "Add": "add",
    "Sum": "add",
    "Sub": "subtract",
    "Mul": "multiply",
    "Div": "divide",
    "Max": "compare",
    "Min": "compare",
}
_COMPARISONS = (
    "And",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Mod",
    "Or",
    "Xor",
)
_COPIES = (
    "Concat",
    "MaxUnpool",
    "OneHot",
    "Pad",
    "Scatter",
    "ScatterElements",
    "ScatterND",
    "TensorScatter",
    "Trilu",
    "CenterCropPad",
)
"""Operators that copy next to what is constant or there already."""

_REDUCTIONS = (
    "CumProd",
    "ArgMax",
    "ArgMin",
    "CumSum",
    "GlobalLpPool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "ReduceMean",
    "ReduceProd",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "TopK",
)
_NORMALIZATIONS = {
    "Softmax": "softmax",
    "LogSoftmax": "softmax",
    "LayerNormalization": "layernorm",
    "InstanceNormalization": "layernorm",
    "GroupNormalization": "layernorm",
    "LpNormalization": "rmsnorm",
    "MeanVarianceNormalization": "layernorm",
    "RMSNormalization": "rmsnorm",
    "SimplifiedLayerNormalization": "rmsnorm",
    "RotaryEmbedding": "rotate",
}
_UPSAMPLING = {
    "nearest": 1,
    "linear": 4,
    "bilinear": 4,
    "cubic": 16,
    "bicubic": 16,
}  # elements a result is made of


def _arithmetic(node: Node) -> list[Step]:
    """Two operands at a time."""
    out, operation = node.outputs[0], _ARITHMETIC[node.operator]
    left, *rest = [tensor for tensor in node.inputs if tensor is not None]
    if not rest:
        return [view(node.name, left, out)]
    steps = []
    for number, right in enumerate(rest, 1):
        result = (
            out
            if number == len(rest)
            else Tensor(f"{out.name}/{number}", out.extent, left.constant and right.constant)
        )
        if not result.constant:
            steps.append(arithmetic(node.name, operation, left, right, result))
        left = result
    return steps


def _mean(node: Node) -> list[Step]:
    """The sum, whose factor is free."""
    return _arithmetic(replace(node, operator="Sum"))


def _power(node: Node) -> list[Step]:
    """x^e by table where either is one number, else as exp(e log x)."""
    base, exponent, out = node.input(0), node.input(1), node.outputs[0]
    if base.constant and base.elements == 1:
        return [pointwise(node.name, Form.TABLE, exponent, out)]
    if exponent.constant and exponent.elements == 1:
        return [pointwise(node.name, Form.TABLE, base, out)]
    steps, factor = [], Tensor(f"{out.name}/log", base.extent, base.constant)
    if not base.constant:
        steps.append(pointwise(f"{node.name}.log", Form.TABLE, base, factor))
    scaled = Tensor(f"{out.name}/scaled", out.extent)
    return [
        *steps,
        arithmetic(f"{node.name}.multiply", "multiply", factor, exponent, scaled),
        pointwise(f"{node.name}.exp", Form.TABLE, scaled, out),
    ]


def _comparison(node: Node) -> list[Step]:
    """True and false of two tensors; against one number it is a table."""
    left, right, out = node.input(0), node.input(1), node.outputs[0]
    for value, constant in ((left, right), (right, left)):
        if constant.constant and constant.elements == 1:
            return [pointwise(node.name, Form.TABLE, value, out)]
    return [arithmetic(node.name, "compare", left, right, out)]


def _choice(node: Node) -> list[Step]:
    """Where: reads the mask and one tensor; what is one number costs nothing."""
    tensors = [t for t in node.inputs if t is not None and (not t.constant or t.elements > 1)]
    return [work(node.name, "pool", node.active, node.outputs[0], operands=min(2, max(1, len(tensors))))]


def _local_response(node: Node) -> list[Step]:
    """LRN: x times a power of the sum of squares over neighbouring channels."""
    x, out = node.input(0), node.outputs[0]
    squares, sums, factors = (Tensor(f"{out.name}/{kind}", x.extent) for kind in ("squares", "sums", "power"))
    return [
        pointwise(f"{node.name}.squares", Form.TABLE, x, squares),
        work(f"{node.name}.sums", "pool", [squares], sums, x.elements * node.attributes["size"]),
        pointwise(f"{node.name}.power", Form.TABLE, sums, factors),
        arithmetic(node.name, "multiply", x, factors, out),
    ]


def _clamp(node: Node) -> list[Step]:
    return [pointwise(node.name, Form.CLAMP, node.input(0), node.outputs[0])]


def _negation(node: Node) -> list[Step]:
    return [pointwise(node.name, Form.SCALE, node.input(0), node.outputs[0])]


def _table(node: Node) -> list[Step]:
    return [pointwise(node.name, Form.TABLE, node.input(0), node.outputs[0])]


def _slopes(node: Node) -> list[Step]:
    """PRelu: a table where all channels share it, else a product an element."""
    if node.input(1).elements == 1:
        return _table(node)
    return [work(node.name, "multiply", [node.input(0)], node.outputs[0])]


def _affine(node: Node) -> list[Step]:
    return [pointwise(node.name, Form.AFFINE, node.input(0), node.outputs[0])]


def _views(node: Node) -> list[Step]:
    return [view(node.name, node.input(0), out) for out in node.outputs if out.name]


def _window(node: Node) -> list[Step]:
    kernel = node.attributes["kernel_shape"]
    return [
        windows(
            node.name,
            node.input(0),
            node.outputs[0],
            kernel,
            node.attributes.get("strides", [1] * len(kernel)),
        )
    ]


def _reduction(node: Node) -> list[Step]:
    source = node.input(0)
    return [work(node.name, "pool", [source], node.outputs[0], source.elements)]


def _concat(node: Node) -> list[Step]:
    return [work(node.name, "concat", node.active, node.outputs[0])]


def _upsample(node: Node) -> list[Step]:
    default = b"linear" if node.operator == "GridSample" else b"nearest"
    out, mode = node.outputs[0], node.attributes.get("mode", default).decode()
    return [work(node.name, "upsample", [node.input(0)], out, out.elements * _UPSAMPLING[mode])]


def _normalization(node: Node) -> list[Step]:
    return [work(node.name, _NORMALIZATIONS[node.operator], [node.input(0)], node.outputs[0])]


OPERATORS: dict[str, Callable[[Node], list[Step]]] = {
    **PRODUCTS,
    **RECURRENT,
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    **dict.fromkeys(_COMPARISONS, _comparison),
    **dict.fromkeys(_CLAMPS, _clamp),
    **dict.fromkeys(_TABLES, _table),
    **dict.fromkeys(_VIEWS, _views),
    **dict.fromkeys((f"{domain}.custom_op.general.Im2Col" for domain in ("qonnx", "finn")), _views),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _window),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(_COPIES, _concat),
    **dict.fromkeys(("Resize", "Upsample", "GridSample"), _upsample),
    **dict.fromkeys(_NORMALIZATIONS, _normalization),
    "Neg": _negation,
    "LRN": _local_response,
    "Pow": _power,
    "Where": _choice,
    "Mean": _mean,
    "PRelu": _slopes,
    "BatchNormalization": _affine,
}
"""Steps of a node, by operator."""

KEEPING = (*_TABLES, *_CLAMPS, *_NORMALIZATIONS)
"""Operators whose result has the shape of their first input."""
