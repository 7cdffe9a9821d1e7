"""What each ATen operator is to the hardware."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from sim.errors import InputError
from sim.importers.steps import (
    Form,
    Step,
    Tensor,
    arithmetic,
    attention,
    convolution,
    pointwise,
    product,
    view,
    work,
)


@dataclass(frozen=True)
class Call:
    """A call of an operator: its arguments by name, tensors as `Tensor`."""

    name: str
    operator: str
    arguments: dict[str, Any]
    out: Tensor

    def __getitem__(self, argument: str) -> Any:
        return self.arguments[argument]

    @property
    def source(self) -> Tensor:
        """The first tensor among the arguments."""
        return next(value for value in self.arguments.values() if isinstance(value, Tensor))


SAME = tuple(
    f"aten.{name}"
    for name in (
        "contiguous",
        "clone",
        "detach",
        "detach_",
        "alias",
        "lift_fresh_copy",
        "dropout",
        "dropout_",
        "feature_dropout",
        "to",
        "_to_copy",
        "type_as",
        "float",
        "positive",
        "copy",
    )
)
"""Operators whose result is their first input."""

PARTS = tuple(f"aten.{name}" for name in ("chunk", "split", "split_with_sizes", "unbind", "tensor_split"))
"""Operators that list parts of their first input, which `getitem` takes out."""

HIDDEN = {
    "aten.lstm": "unroll it into linear layers and element-wise operators",
    "aten.gru": "unroll it into linear layers and element-wise operators",
    "aten.conv3d": "give a network of 1-D or 2-D convolutions",
    "aten.conv_transpose1d": "use nn.Upsample and nn.Conv1d",
    "aten.conv_transpose2d": "use nn.Upsample and nn.Conv2d",
    "aten.conv_transpose3d": "use nn.Upsample and nn.Conv2d",
    "aten._native_multi_head_attention": "torch.backends.mha.set_fastpath_enabled(False)",
}
"""Operators with products inside: what to do instead."""

_CLAMPS = (
    "relu",
    "relu_",
    "relu6",
    "hardtanh",
    "hardtanh_",
    "clamp",
    "clamp_min",
    "clamp_max",
    "clamp_",
    "neg",
)
_TABLES = (
    "abs",
    "ceil",
    "celu",
    "cos",
    "elu",
    "elu_",
    "erf",
    "exp",
    "floor",
    "gelu",
    "hardsigmoid",
    "hardsigmoid_",
    "hardswish",
    "hardswish_",
    "leaky_relu",
    "leaky_relu_",
    "log",
    "log_sigmoid",
    "mish",
    "mish_",
    "reciprocal",
    "round",
    "rsqrt",
    "selu",
    "selu_",
    "sigmoid",
    "sigmoid_",
    "sign",
    "silu",
    "silu_",
    "sin",
    "softplus",
    "sqrt",
    "square",
    "tanh",
    "tanh_",
)
_VIEWS = (
    "view",
    "_unsafe_view",
    "reshape",
    "flatten",
    "unflatten",
    "transpose",
    "permute",
    "t",
    "squeeze",
    "unsqueeze",
    "expand",
    "expand_as",
    "slice",
    "select",
    "narrow",
    "repeat",
    "pixel_shuffle",
    "pixel_unshuffle",
    "channel_shuffle",
    "movedim",
    "numpy_T",
    "swapaxes",
    "view_as",
    "roll",
    "flip",
    "unfold",
    "index_select",
    "embedding",
)
_ARITHMETIC = {
    "add": "add",
    "add_": "add",
    "sub": "subtract",
    "sub_": "subtract",
    "rsub": "subtract",
    "mul": "multiply",
    "mul_": "multiply",
    "div": "divide",
    "div_": "divide",
    "maximum": "compare",
    "minimum": "compare",
}
_REDUCTIONS = ("mean", "sum", "amax", "amin", "max", "min", "var", "std")
_WINDOWS = ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "max_pool2d_with_indices")
_ADAPTIVE = (
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "_adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
)
_NORMALIZATIONS = {
    "softmax": "softmax",
    "_softmax": "softmax",
    "log_softmax": "softmax",
    "_log_softmax": "softmax",
    "layer_norm": "layernorm",
    "native_layer_norm": "layernorm",
    "group_norm": "layernorm",
    "instance_norm": "layernorm",
    "rms_norm": "rmsnorm",
}
_UPSAMPLING = {
    "upsample_nearest1d": 1,
    "upsample_nearest2d": 1,
    "upsample_linear1d": 2,
    "upsample_bilinear2d": 4,
    "upsample_bicubic2d": 16,
}  # elements a result is made of


def _convolution(call: Call) -> list[Step]:
    weight = call["weight"]
    axes = len(weight.extent) - 2
    if call.arguments.get("transposed"):
        raise InputError(
            f"node {call.name}",
            call.operator,
            "transposed convolutions are not supported",
            "use nn.Upsample and a convolution",
        )
    if not weight.constant:
        raise InputError(
            f"node {call.name}",
            weight.name,
            "the weights are computed by the network",
            "make them a parameter",
        )

    def each(argument: str) -> list[int]:
        """One number an axis; torch lets one stand for all."""
        value = call[argument]
        values = value if isinstance(value, list) else [value]
        return values * axes if len(values) == 1 else values

    dilation, padding = each("dilation"), call["padding"]
    if isinstance(padding, str):  # "same" has the odd row at the end
        total = [
            (k - 1) * d if padding == "same" else 0 for k, d in zip(weight.extent[2:], dilation, strict=True)
        ]
        begin, end = [t // 2 for t in total], [t - t // 2 for t in total]
    else:
        begin = end = each("padding")
    return [
        convolution(
            call.name,
            call["input"],
            weight.extent,
            call.out,
            stride=each("stride"),
            dilation=dilation,
            begin=begin,
            end=end,
            groups=call["groups"],
        )
    ]


def _linear(call: Call) -> list[Step]:
    weight = call["weight"]
    turned = Tensor(weight.name, weight.extent[::-1], weight.constant)
    return _biased(call, call["input"], turned, call["bias"])


def _product(call: Call) -> list[Step]:
    left, right = (value for value in call.arguments.values() if isinstance(value, Tensor))
    return _biased(call, left, right, None)


def _added_product(call: Call) -> list[Step]:
    """addmm and baddbmm: input + left x right."""
    added, left, right = (value for value in call.arguments.values() if isinstance(value, Tensor))
    return _biased(call, left, right, added)


def _biased(call: Call, left: Tensor, right: Tensor, bias: Tensor | None) -> list[Step]:
    a, b = left.extent, right.extent
    left = Tensor(left.name, (1,) * (2 - len(a)) + a, left.constant)
    right = Tensor(right.name, (*b, 1) if len(b) == 1 else b, right.constant)
    if bias is None or bias.constant:
        return [product(call.name, left, right, call.out)]
    inner = Tensor(f"{call.out.name}/product", call.out.extent)
    return [
        product(call.name, left, right, inner),
        arithmetic(f"{call.name}.add", "add", inner, bias, call.out),
    ]


def _attention(call: Call) -> list[Step]:
    return attention(call.name, call["query"], call["key"], call["value"], call.out, call["attn_mask"])


def _arithmetic(call: Call) -> list[Step]:
    operation = _ARITHMETIC[call.operator.removeprefix("aten.")]
    left, right = (
        value if isinstance(value, Tensor) else Tensor("", (), True)  # a number
        for value in list(call.arguments.values())[:2]
    )
    if call.operator == "aten.rsub":
        left, right = right, left
    return [arithmetic(call.name, operation, left, right, call.out)]


def _power(call: Call) -> list[Step]:
    exponent = call["exponent"]
    if not isinstance(call["self"], Tensor) or (isinstance(exponent, Tensor) and not exponent.constant):
        raise InputError(
            f"node {call.name}", call.operator, "the exponent is computed by the network", "make it a number"
        )
    return _table(call)


def _clamp(call: Call) -> list[Step]:
    return [pointwise(call.name, Form.CLAMP, call.source, call.out)]


def _table(call: Call) -> list[Step]:
    return [pointwise(call.name, Form.TABLE, call.source, call.out)]


def _slopes(call: Call) -> list[Step]:
    """PReLU: a table where all channels share it, else a product an element."""
    if call["weight"].elements == 1:
        return _table(call)
    return [work(call.name, "multiply", [call["self"]], call.out)]


def _affine(call: Call) -> list[Step]:
    return [pointwise(call.name, Form.AFFINE, call["input"], call.out)]


def _view(call: Call) -> list[Step]:
    return [view(call.name, call.source, call.out)]


def _window(call: Call) -> list[Step]:
    kernel = call["kernel_size"]
    axes = int(call.operator.removesuffix("_with_indices")[-2])
    window = kernel[0] ** axes if len(kernel) == 1 else prod(kernel)
    return [work(call.name, "pool", [call["self"]], call.out, call.out.elements * window)]


def _adaptive(call: Call) -> list[Step]:
    """Windows of about equal size that overlap where the sizes do not divide."""
    source, axes = call["self"], int(call.operator[-2])
    elements = prod(source.extent[:-axes])
    for n, results in zip(source.extent[-axes:], call.out.extent[-axes:], strict=True):
        elements *= sum(-(-(i + 1) * n // results) - i * n // results for i in range(results))
    return [work(call.name, "pool", [source], call.out, elements)]


def _reduction(call: Call) -> list[Step]:
    return [work(call.name, "pool", [call.source], call.out, call.source.elements)]


def _concat(call: Call) -> list[Step]:
    sources = [tensor for tensor in call["tensors"] if not tensor.constant]
    return [work(call.name, "concat", sources, call.out)]


def _pad(call: Call) -> list[Step]:
    """Copying next to constants."""
    return [work(call.name, "concat", [call["self"]], call.out)]


def _upsample(call: Call) -> list[Step]:
    parts = _UPSAMPLING[call.operator.removeprefix("aten.")]
    return [work(call.name, "upsample", [call.source], call.out, call.out.elements * parts)]


def _normalization(call: Call) -> list[Step]:
    kind = _NORMALIZATIONS[call.operator.removeprefix("aten.")]
    return [work(call.name, kind, [call.source], call.out)]


_HANDLERS: dict[str, Callable[[Call], list[Step]]] = {
    **dict.fromkeys(("conv1d", "conv2d", "convolution"), _convolution),
    "linear": _linear,
    **dict.fromkeys(("mm", "bmm", "matmul"), _product),
    **dict.fromkeys(("addmm", "baddbmm"), _added_product),
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    "pow": _power,
    **dict.fromkeys(_CLAMPS, _clamp),
    **dict.fromkeys(_TABLES, _table),
    "prelu": _slopes,
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _affine),
    **dict.fromkeys(_VIEWS, _view),
    **dict.fromkeys(_WINDOWS, _window),
    **dict.fromkeys(_ADAPTIVE, _adaptive),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(("cat", "stack"), _concat),
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    **dict.fromkeys(_UPSAMPLING, _upsample),
    **dict.fromkeys(_NORMALIZATIONS, _normalization),
}

OPERATORS = {f"aten.{name}": handler for name, handler in _HANDLERS.items()}
"""Steps of a call, by operator."""
