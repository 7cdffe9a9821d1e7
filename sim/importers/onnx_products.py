"""ONNX operators with multiply-accumulates: convolutions, matrix products, attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil, prod

from sim.errors import InputError
from sim.importers.onnx_graph import Node
from sim.importers.steps import (
    Form,
    Step,
    Tensor,
    arithmetic,
    attention,
    convolutions,
    pointwise,
    product,
    view,
    work,
)


def _refusal(node: Node, value: object, problem: str, fix: str) -> InputError:
    return InputError(f"node {node.name}", value, problem, fix)


def _weight(node: Node, position: int) -> Tensor:
    weight = node.input(position)
    if not weight.constant:
        raise _refusal(
            node, weight.name, "the weights are computed by the network", "make them an initializer"
        )
    return weight


def _padding(
    node: Node, size: Sequence[int], stride: Sequence[int], reach: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Padding at the begin and the end of each axis."""
    axes = len(size)
    pads = list(node.attributes.get("pads", [0] * 2 * axes))
    automatic = node.attributes.get("auto_pad", b"NOTSET").decode()
    if not automatic.startswith("SAME"):
        return pads[:axes], pads[axes:]
    total = [max(0, (ceil(n / s) - 1) * s + r - n) for n, s, r in zip(size, stride, reach, strict=True)]
    less, more = [t // 2 for t in total], [t - t // 2 for t in total]
    return (less, more) if automatic == "SAME_UPPER" else (more, less)


def _convolution(node: Node) -> list[Step]:
    source, weight = node.input(0), _weight(node, 3 if node.operator == "QLinearConv" else 1)
    size, kernel = source.extent[2:], weight.extent[2:]
    get = node.attributes.get
    stride, dilation = list(get("strides", [1] * len(size))), list(get("dilations", [1] * len(size)))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    begin, end = _padding(node, size, stride, reach)
    groups, out = get("group", 1), node.outputs[0]
    window = dict(stride=stride, dilation=dilation, begin=begin, end=end)
    return convolutions(node.name, source, weight.extent, out, groups, **window)


def _transposed_convolution(node: Node) -> list[Step]:
    """Each element of the source times the kernel, or a convolution of the source with zeros between.

    Where the kernel is as large as the stride, results are sums over channels alone: a 1x1 convolution
    that gives the elements of a block as channels, and a view that puts them in their places.
    """
    source, weight, out = node.input(0), _weight(node, 1), node.outputs[0]
    (batch, channels, *size), (_, outputs, *kernel) = source.extent, weight.extent
    get = node.attributes.get
    ones, groups = [1] * len(size), get("group", 1)
    stride, dilation = list(get("strides", ones)), list(get("dilations", ones))
    window = dict(stride=ones, dilation=dilation)
    if stride == kernel and dilation == ones:
        blocks = Tensor(f"{out.name}/blocks", (batch, outputs * groups * prod(kernel), *size))
        shape, none = (blocks.extent[1], channels // groups, *ones), [0] * len(size)
        steps = convolutions(node.name, source, shape, blocks, groups, begin=none, end=none, **window)
        return [*steps, view(f"{node.name}.places", blocks, out)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    wide = ((n - 1) * s + 1 for n, s in zip(size, stride, strict=True))
    spread = Tensor(f"{out.name}/spread", (batch, channels, *wide))
    begin, end = _around(node, spread, reach)
    between = [work(f"{node.name}.zeros", "upsample", [source], spread)]
    if spread.elements == source.elements:  # a stride of 1 leaves nothing between
        between, spread = [], source
    shape = (outputs * groups, channels // groups, *kernel)
    return [*between, *convolutions(node.name, spread, shape, out, groups, begin=begin, end=end, **window)]


def _around(node: Node, spread: Tensor, reach: Sequence[int]) -> tuple[list[int], list[int]]:
    """Padding of the spread source, from `pads` at the begin and from the size of the result."""
    size, results, get = spread.extent[2:], node.outputs[0].extent[2:], node.attributes.get
    automatic = get("auto_pad", b"NOTSET")
    cropped = list(get("pads", [0] * len(size)))[: len(size)]  # at the begin
    if automatic.startswith(b"SAME") or "output_shape" in node.attributes:
        both = [s + r - 1 - n for s, r, n in zip(size, reach, results, strict=True)]
        cropped = [c // 2 if automatic == b"SAME_UPPER" else c - c // 2 for c in both]
    begin = [r - 1 - c for r, c in zip(reach, cropped, strict=True)]
    return begin, [n + r - 1 - s - b for n, r, s, b in zip(results, reach, size, begin, strict=True)]


def _product(node: Node) -> list[Step]:
    left, right = node.input(0), node.input(3 if node.operator == "QLinearMatMul" else 1)
    a, b = left.extent, right.extent
    return [
        product(
            node.name,
            Tensor(left.name, (1,) * (2 - len(a)) + a, left.constant),
            Tensor(right.name, (*b, 1) if len(b) == 1 else b, right.constant),
            node.outputs[0],
        )
    ]


def _gemm(node: Node) -> list[Step]:
    def turned(tensor: Tensor, attribute: str) -> Tensor:
        extent = tensor.extent[::-1] if node.attributes.get(attribute) else tensor.extent
        return Tensor(tensor.name, extent, tensor.constant)

    left, right, out = turned(node.input(0), "transA"), turned(node.input(1), "transB"), node.outputs[0]
    added = node.optional(2)
    if added is None or added.constant:
        return [product(node.name, left, right, out)]
    inner = Tensor(f"{out.name}/product", out.extent)
    return [product(node.name, left, right, inner), arithmetic(f"{node.name}.add", "add", inner, added, out)]


def _einsum(node: Node) -> list[Step]:
    """A matrix product, a product element by element, or a permutation."""
    terms, result, sizes = _indices(node)
    operands, out = [tensor for tensor in node.inputs if tensor is not None], node.outputs[0]
    if len(operands) == 1:
        if set(terms[0]) == set(result):
            return [view(node.name, operands[0], out)]
        return [work(node.name, "pool", operands, out, operands[0].elements)]
    left, right = terms
    alone = (set(left) ^ set(right)) - set(result)
    if alone:
        raise _refusal(
            node,
            node.attributes["equation"].decode(),
            f"sums {''.join(sorted(alone))} of one operand alone",
            "write it as ReduceSum and MatMul",
        )
    both = [index for index in left if index in right]
    summed = [index for index in both if index not in result]
    if not summed:
        return [arithmetic(node.name, "multiply", operands[0], operands[1], out)]

    def extent(*indices: Sequence[str]) -> tuple[int, ...]:
        return tuple(prod(sizes[index] for index in part) for part in indices)

    batch = [index for index in both if index in result]
    rows, columns = ([index for index in term if index not in both] for term in terms)
    return [
        product(
            node.name,
            replace(operands[0], extent=extent(batch, rows, summed)),
            replace(operands[1], extent=extent(batch, summed, columns)),
            out,
        )
    ]


def _indices(node: Node) -> tuple[list[str], str, dict[str, int]]:
    """Indices of the operands and the result, one character a dimension, and the size of each.

    Dimensions under an ellipsis are digits, counted from the right; one of size 1 that broadcasts is
    left out.
    """
    equation = node.attributes["equation"].decode().replace(" ", "")
    operands = [tensor for tensor in node.inputs if tensor is not None]
    inputs, arrow, result = equation.partition("->")
    terms, sizes = inputs.split(","), dict[str, int]()
    if len(operands) > 2 or len(operands) != len(terms):
        raise _refusal(
            node, equation, f"a product of {len(operands)} operands", "write it as products of two"
        )
    found = []
    for term, operand in zip(terms, operands, strict=True):
        hidden = len(operand.extent) - len(term.replace("...", ""))
        term = term.replace("...", "".join(str(i) for i in reversed(range(hidden))))
        if len(set(term)) < len(term):
            raise _refusal(node, equation, "takes a diagonal", "write it without a repeated index")
        found.append(term)
        for index, n in zip(term, operand.extent, strict=True):
            sizes[index] = max(sizes.get(index, 1), n)
    hidden_indices = "".join(sorted((i for i in sizes if i.isdigit()), reverse=True))
    if not arrow:
        counts = Counter("".join(terms).replace(".", ""))
        result = ("..." if hidden_indices else "") + "".join(sorted(i for i in counts if counts[i] == 1))
    result = result.replace("...", hidden_indices)
    kept = [
        "".join(i for i, n in zip(term, operand.extent, strict=True) if n == sizes[i])
        for term, operand in zip(found, operands, strict=True)
    ]
    return kept, result, sizes


def _attention(node: Node) -> list[Step]:
    """Attention of opset 23: with a cache, fewer heads of keys and values, or all heads in a row.

    Keys that are padding (nonpad_kv_seqlen) are computed all the same.
    """
    query, key, value = (_by_heads(node, node.input(i), "kv_" if i else "q_") for i in range(3))
    steps: list[Step] = []
    past_key, past_value = node.optional(4), node.optional(5)
    if past_key is not None and past_value is not None:
        key = _after(node, past_key, key, 1, steps)
        value = _after(node, past_value, value, 2, steps)
    steps += attention(node.name, query, key, value, node.outputs[0], node.optional(3))
    if node.attributes.get("softcap"):
        steps = _capped(node, query, key, steps)
    return steps


def _by_heads(node: Node, tensor: Tensor, kind: str) -> Tensor:
    """[batch, heads, tokens, size] of [batch, tokens, heads * size]."""
    if len(tensor.extent) == 4:
        return tensor
    batch, tokens, channels = tensor.extent
    heads = node.attributes[f"{kind}num_heads"]
    return replace(tensor, extent=(batch, heads, tokens, channels // heads))


def _after(node: Node, past: Tensor, tensor: Tensor, output: int, steps: list[Step]) -> Tensor:
    """Keys or values after those of earlier tokens, which are written into one map with them."""
    batch, heads, tokens, size = tensor.extent
    extent = (batch, heads, past.extent[2] + tokens, size)
    given = node.outputs[output].name if output < len(node.outputs) else ""
    result = Tensor(given or f"{node.name}/present{output}", extent)
    steps.append(work(f"{node.name}.cache{output}", "concat", [tensor], result, tensor.elements))
    return result


def _capped(node: Node, query: Tensor, key: Tensor, steps: list[Step]) -> list[Step]:
    """The scores through cap * tanh(x / cap), a table, before the mask."""
    scores = f"{node.outputs[0].name}/scores"
    extent = (*query.extent[:-1], key.extent[-2])
    raw, capped = Tensor(f"{scores}/raw", extent), Tensor(scores, extent)
    cap = pointwise(f"{node.name}.softcap", Form.TABLE, raw, capped)
    result = []
    for step in steps:
        result += [replace(step, output=raw.name), cap] if step.output == scores else [step]
    return result


PRODUCTS: dict[str, Callable[[Node], list[Step]]] = {
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), _convolution),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _product),
    "ConvTranspose": _transposed_convolution,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Attention": _attention,
}
"""Steps of a node, by operator."""
