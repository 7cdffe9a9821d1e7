"""One operator of an imported graph, reduced to what the hardware sees of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from math import prod

from sim.errors import InputError
from sim.shapes import ConvShape, PassShape, Shape


class Form(Enum):
    """How a step relates to the layer whose result it reads."""

    VIEW = auto()  # the same elements, or some of them, elsewhere
    CLAMP = auto()  # element by element, part of any requantization: clamp
    SCALE = auto()  # a factor or an offset of the whole tensor: part of any requantization, and linear
    TABLE = auto()  # element by element, by table
    AFFINE = auto()  # a factor and an offset a channel, folded into a convolution right before it
    BINARY = auto()  # element by element of two tensors
    WORK = auto()  # always a layer


@dataclass(frozen=True)
class Tensor:
    """A tensor of the imported graph.

    Attributes:
        extent: its shape.
        constant: known before the network runs: a parameter or computed from parameters alone.
    """

    name: str
    extent: tuple[int, ...]
    constant: bool = False

    @property
    def elements(self) -> int:
        return prod(self.extent)


@dataclass(frozen=True)
class Step:
    """An operator in execution order.

    Attributes:
        inputs: names of the tensors it reads, the first operand first; no weights.
        output: name of the one it gives.
        shape: the layer it is where it is not free; None for a VIEW.
    """

    name: str
    form: Form
    inputs: tuple[str, ...]
    output: str
    shape: Shape | None = None


def view(name: str, source: Tensor, out: Tensor, *others: Tensor) -> Step:
    """The same elements elsewhere; those of several tensors where layers write parts of one map."""
    return Step(name, Form.VIEW, (source.name, *(other.name for other in others)), out.name)


def pointwise(name: str, form: Form, source: Tensor, out: Tensor) -> Step:
    """A function of one element: CLAMP, SCALE, TABLE or AFFINE."""
    kind = "multiply" if form is Form.AFFINE else "table"
    n = out.elements
    return Step(name, form, (source.name,), out.name, PassShape(name, kind, n, 1, n))


def work(
    name: str, kind: str, sources: Sequence[Tensor], out: Tensor, elements: int = 0, operands: int = 1
) -> Step:
    """A pass of the vector unit over `elements`, by default as many as it writes."""
    return Step(
        name,
        Form.WORK,
        tuple(source.name for source in sources),
        out.name,
        PassShape(name, kind, elements or out.elements, operands, out.elements),
    )


def windows(name: str, source: Tensor, out: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Step:
    """A pooling of [1, C, ..] over windows, kernel and stride by axis."""
    step = work(name, "pool", [source], out, out.elements * prod(kernel))
    assert isinstance(step.shape, PassShape)
    if source.elements >= step.shape.elements:
        return step
    under = (kernel[0] + stride[0]) * (source.elements // source.extent[2])
    return replace(step, shape=replace(step.shape, operand=source.elements, under=under))


_KINDS = {"add": "add", "subtract": "add", "multiply": "multiply", "divide": "multiply", "compare": "pool"}


def arithmetic(name: str, operation: str, left: Tensor, right: Tensor, out: Tensor) -> Step:
    """An operation on two tensors, one of which may be constant or broadcast.

    Args:
        operation: add, subtract, multiply, divide (by the reciprocal, from a table) or compare.
    """
    if left.constant or right.constant:
        value, constant = (right, left) if left.constant else (left, right)
        inverse = operation == "divide" and left.constant
        if constant.elements == 1:
            return pointwise(name, _of_a_number(operation, inverse), value, out)
        factor = operation != "compare" and not inverse and value.extent == out.extent
        if factor and _a_channel(constant, out):
            return pointwise(name, Form.AFFINE, value, out)
        left, right = value, constant
    reads = left.elements + right.elements
    return Step(
        name,
        Form.BINARY,
        (left.name, right.name),
        out.name,
        PassShape(
            name,
            _KINDS[operation],
            out.elements,
            2,
            out.elements,
            reads=0 if reads == 2 * out.elements else reads,
        ),
    )


def _of_a_number(operation: str, inverse: bool) -> Form:
    if inverse:
        return Form.TABLE
    return Form.CLAMP if operation == "compare" else Form.SCALE


def _a_channel(constant: Tensor, out: Tensor) -> bool:
    """Whether a constant has one value a channel: along axis 1 of maps, the last one of tokens."""
    missing = len(out.extent) - len(constant.extent)
    axes = [axis + missing for axis, n in enumerate(constant.extent) if n > 1]
    return len(axes) == 1 and axes[0] in (1, len(out.extent) - 1)


def convolution(
    name: str,
    source: Tensor,
    weight: tuple[int, ...],
    out: Tensor,
    *,
    stride: Sequence[int],
    dilation: Sequence[int],
    begin: Sequence[int],
    end: Sequence[int],
    groups: int,
) -> Step:
    """A convolution of one or two dimensions.

    Args:
        source: [1, C, (H,) W].
        weight: shape [K, C / groups, (kh,) kw].
        stride, dilation, begin, end: one number a dimension; the last two are padding.

    Raises:
        InputError: more than one image, another number of dimensions, or weights that do not fit.
    """
    _, channels, *size = source.extent
    _check(name, source, weight, groups)
    cut = [min(0, b) + min(0, e) for b, e in zip(begin, end, strict=True)]  # negative padding
    first, last = (_pair([max(0, n) for n in side], 0) for side in (begin, end))
    return Step(
        name,
        Form.WORK,
        (source.name,),
        out.name,
        ConvShape(
            name,
            channels,
            weight[0],
            _pair(weight[2:], 1),
            _pair(stride, 1),
            first,
            _pair([n + c for n, c in zip(size, cut, strict=True)], 1),
            dilation=_pair(dilation, 1),
            groups=groups,
            padding_end=None if first == last else last,
        ),
    )


def _pair(values: Sequence[int], missing: int) -> tuple[int, int]:
    """(y, x) of a 2-D map; one dimension lies along y, as tokens do."""
    y, x = (*values, missing)[:2]
    return y, x


def _check(name: str, source: Tensor, weight: tuple[int, ...], groups: int) -> None:
    """Refuses what no layer shape describes."""
    batch, channels, *size = source.extent
    if len(size) not in (1, 2):
        raise InputError(
            f"{name}: ifmap",
            list(source.extent),
            f"a convolution of {len(size)} dimensions",
            "give a network of 1-D or 2-D convolutions",
        )
    if weight[1] * groups != channels:
        raise InputError(
            f"node {name}",
            list(source.extent),
            f"the weights are for {weight[1] * groups} channels in {groups} groups",
            "export the network again",
        )
    if batch != 1:
        raise InputError(
            f"{name}: batch", batch, "layer shapes describe one image", "export the network with a batch of 1"
        )


MOST_LAYERS = 10_000
"""Layers that one operator may become: what people want to read, and what takes seconds."""


def require_few(name: str, layers: int, of: str) -> None:
    """Refuses an operator that would become too many layers.

    Args:
        of: what there are so many of.
    """
    if layers > MOST_LAYERS:
        raise InputError(
            f"node {name}",
            layers,
            f"more than {MOST_LAYERS} {of}, each of which would be a layer of its own",
            f"give at most {MOST_LAYERS}, and multiply the result",
        )


def images(step: Step, count: int, out: Tensor) -> list[Step]:
    """A convolution of one image for a batch: the images lie under each other, or follow one another.

    Under each other they are one map, where that reads as many rows as there are: at the seams the
    kernel then reads the neighbour's rows in the place of padding. MACs and results are `count` times
    those of one image either way.

    Raises:
        InputError: too many images that cannot be one map.
    """
    shape = step.shape
    if count == 1:
        return [step]
    assert isinstance(shape, ConvShape)
    reach = (shape.kernel[0] - 1) * shape.dilation[0] + 1
    bottom = (shape.padding_end or shape.padding)[0]
    rows = (count * shape.out_h - 1) * shape.stride[0] + reach - shape.padding[0] - bottom
    unread = count * shape.size[0] - rows
    if 0 <= unread < shape.stride[0]:
        stacked = replace(shape, size=(rows, shape.size[1]))
        assert stacked.out_h == count * shape.out_h
        return [replace(step, shape=stacked)]
    require_few(step.name, count, "images")
    parts = [Tensor(f"{out.name}/{number}", out.extent) for number in range(count)]
    return [
        *(replace(step, output=part.name) for part in parts),
        view(f"{step.name}.images", parts[0], out, *parts[1:]),
    ]


def convolutions(
    name: str, source: Tensor, weight: Sequence[int], out: Tensor, groups: int, **window: list[int]
) -> list[Step]:
    """A convolution in one or two dimensions; one in three is one in two for each frame of the result.

    A frame is then an image of all channels of the frames that the kernel spans, in depth.
    """
    batch, channels, *size = source.extent
    outputs, inner, *kernel = weight
    frames, depth = 1, 1
    if len(size) == 3:
        begin, end = window["begin"][0], window["end"][0]
        reach = (kernel[0] - 1) * window["dilation"][0] + 1
        frames, depth = (size[0] + begin + end - reach) // window["stride"][0] + 1, kernel[0]
        size, kernel = size[1:], kernel[1:]
        window = {kind: values[1:] for kind, values in window.items()}
    image = Tensor(source.name, (1, channels * depth, *size))
    step = convolution(name, image, (outputs, inner * depth, *kernel), out, groups=groups, **window)
    return images(step, batch * frames, out)


def product(name: str, left: Tensor, right: Tensor, out: Tensor) -> Step:
    """Matrix product [..., M, K] x [..., K, N] -> [..., M, N]; leading dimensions broadcast.

    With a constant operand it is a linear layer, else one with dynamic weights.
    """
    a, b = left.extent, right.extent
    (rows, inner), columns = a[-2:], b[-1]
    batch = _broadcast(a[:-2], b[:-2])
    if left.constant:  # (A x)^T = x^T A^T: the parameter belongs on the right
        rows, columns, a, b = columns, rows, b, a
    shared = prod(b[:-2]) == 1  # all matrices on the left meet the same one on the right
    groups, tokens = (1, batch * rows) if shared else (batch, rows)
    sources = tuple(tensor.name for tensor in (left, right) if not tensor.constant)
    return Step(
        name,
        Form.WORK,
        sources,
        out.name,
        ConvShape(
            name, groups * inner, groups * columns, size=(tokens, 1), groups=groups, dynamic=len(sources) == 2
        ),
    )


def _broadcast(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """Number of matrices of a broadcast product."""
    short, long = sorted((left, right), key=len)
    padded = (1,) * (len(long) - len(short)) + short
    return prod(max(a, b) for a, b in zip(padded, long, strict=True))


def attention(
    name: str, query: Tensor, key: Tensor, value: Tensor, out: Tensor, mask: Tensor | None = None
) -> list[Step]:
    """softmax(query key^T) value of [..., tokens, head size] each; a mask is added to the scores.

    Fewer heads of keys and values than of queries are repeated.
    """
    *heads, tokens, size = query.extent
    keys, values = value.extent[-2:]
    scores = Tensor(f"{out.name}/scores", (*heads, tokens, keys))
    softmax = Tensor(f"{out.name}/softmax", scores.extent)
    steps = [product(f"{name}.scores", query, Tensor(key.name, (*heads, size, keys)), scores)]
    if mask is not None:
        masked, scores = scores, Tensor(f"{out.name}/masked", scores.extent)
        steps.append(arithmetic(f"{name}.mask", "add", masked, Tensor(mask.name, mask.extent), scores))
    return [
        *steps,
        work(f"{name}.softmax", "softmax", [scores], softmax),
        product(f"{name}.values", softmax, Tensor(value.name, (*heads, keys, values)), out),
    ]
