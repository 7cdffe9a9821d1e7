"""One operator of an imported graph, reduced to what the hardware sees of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from math import prod

from sim.errors import InputError
from sim.shapes import ConvShape, PassShape, Shape

Extent = Sequence[int]
"""Shape of a tensor."""


class Form(Enum):
    """How a step relates to the layer whose result it reads."""

    VIEW = auto()  # the same elements, or some of them, elsewhere
    CLAMP = auto()  # element by element, part of any requantization: clamp, scale, zero point
    TABLE = auto()  # element by element, by table
    AFFINE = auto()  # a factor and an offset a channel, folded into a convolution right before it
    BINARY = auto()  # element by element of two activations
    WORK = auto()  # always a layer


@dataclass(frozen=True)
class Step:
    """An operator in execution order.

    Attributes:
        inputs: names of the activations it reads, the first operand first; no parameters.
        output: name of the one it gives.
        shape: the layer it is where it is not free; None for a VIEW.
    """

    name: str
    form: Form
    inputs: tuple[str, ...]
    output: str
    shape: Shape | None = None


class UnknownOperator(InputError):
    """An operator no importer knows; the fix is to treat it as work of the vector unit."""

    def __init__(self, node: str, operator: str, fix: str) -> None:
        super().__init__(f"node {node}", operator, "this operator is not supported", fix)


def view(name: str, source: str, output: str) -> Step:
    return Step(name, Form.VIEW, (source,), output)


def pointwise(name: str, form: Form, source: str, output: str, extent: Extent) -> Step:
    """A function of one element: CLAMP, TABLE or AFFINE."""
    kind = "multiply" if form is Form.AFFINE else "table"
    return Step(name, form, (source,), output, PassShape(name, kind, prod(extent), 1, prod(extent)))


def binary(
    name: str, kind: str, sources: tuple[str, str], output: str, extent: Extent,
    extents: tuple[Extent, Extent],
) -> Step:
    """An addition or product of two activations, one of which may be broadcast."""
    elements, reads = prod(extent), sum(map(prod, extents))
    shape = PassShape(name, kind, elements, 2, elements, reads=0 if reads == 2 * elements else reads)
    return Step(name, Form.BINARY, sources, output, shape)


def work(
    name: str, kind: str, sources: tuple[str, ...], output: str, elements: int, results: int,
    operands: int = 1,
) -> Step:
    """A pass of the vector unit."""
    return Step(name, Form.WORK, sources, output,
                PassShape(name, kind, elements, operands, results))


def vector(
    name: str, sources: tuple[str, ...], output: str, extents: Sequence[Extent], results: int
) -> Step:
    """What the user told the importer to treat as one operation an element."""
    elements = max([results, *map(prod, extents)])
    return work(name, "other", sources, output, elements, results, min(2, max(1, len(sources))))


def convolution(
    name: str, source: str, output: str, ifmap: Extent, weight: Extent, *, stride: Extent,
    dilation: Extent, begin: Extent, end: Extent, groups: int,
) -> Step:
    """A convolution of one or two dimensions.

    Args:
        ifmap: [1, C, (H,) W].
        weight: [K, C / groups, (kh,) kw].
        stride, dilation, begin, end: one number a dimension; the last two are padding.

    Raises:
        InputError: more than one image, or another number of dimensions.
    """
    batch, channels, *size = ifmap
    if len(size) not in (1, 2):
        raise InputError(f"{name}: ifmap", list(ifmap), f"a convolution of {len(size)} dimensions",
                         "give a network of 1-D or 2-D convolutions")
    if batch != 1:
        raise InputError(f"{name}: batch", batch, "layer shapes describe one image",
                         "export the network with a batch of 1")

    def pair(values: Extent, missing: int) -> tuple[int, int]:
        """(y, x) of a 2-D map; one dimension lies along y, as tokens do."""
        y, x = (*values, missing)[:2]
        return y, x

    first, last = pair(begin, 0), pair(end, 0)
    return Step(name, Form.WORK, (source,), output, ConvShape(
        name, channels, weight[0], pair(weight[2:], 1), pair(stride, 1), first, pair(size, 1),
        dilation=pair(dilation, 1), groups=groups, padding_end=None if first == last else last))


def product(
    name: str, sources: tuple[str, ...], output: str, left: Extent, right: Extent, *,
    constant: int | None = None,
) -> Step:
    """Matrix product [..., M, K] x [..., K, N] -> [..., M, N]; leading dimensions broadcast.

    Args:
        sources: the activations among the operands.
        constant: 0 or 1 where that operand is a parameter, None for two activations.
    """
    rows, inner, columns = left[-2], left[-1], right[-1]
    batch = _broadcast(left[:-2], right[:-2])
    if constant == 0:  # (A x)^T = x^T A^T: the parameter belongs on the right
        rows, columns, left, right = columns, rows, right, left
    shared = prod(right[:-2]) == 1  # all matrices on the left meet the same one on the right
    groups, tokens = (1, batch * rows) if shared else (batch, rows)
    return Step(name, Form.WORK, sources, output, ConvShape(
        name, groups * inner, groups * columns, size=(tokens, 1), groups=groups,
        dynamic=constant is None))


def attention(
    name: str, sources: tuple[str, str, str], output: str, query: Extent, key: Extent, value: Extent,
    mask: str | None = None,
) -> list[Step]:
    """softmax(query key^T) value of [..., tokens, head size] each; a mask is added to the scores.

    Fewer heads of keys and values than of queries are repeated.
    """
    heads, tokens, keys = prod(query[:-2]), query[-2], key[-2]
    count = heads * tokens * keys
    scores, softmax = f"{output}/scores", f"{output}/softmax"
    steps = [Step(f"{name}.scores", Form.WORK, sources[:2], scores, ConvShape(
        f"{name}.scores", heads * query[-1], heads * keys, size=(tokens, 1), groups=heads, dynamic=True))]
    if mask is not None:
        masked, scores = scores, f"{output}/masked"
        steps.append(binary(f"{name}.mask", "add", (masked, mask), scores, (count,), ((count,), (count,))))
    steps.append(work(f"{name}.softmax", "softmax", (scores,), softmax, count, count))
    steps.append(Step(f"{name}.values", Form.WORK, (softmax, sources[2]), output, ConvShape(
        f"{name}.values", heads * keys, heads * value[-1], size=(tokens, 1), groups=heads, dynamic=True)))
    return steps


def _broadcast(left: Extent, right: Extent) -> int:
    """Number of matrices of a broadcast product."""
    short, long = sorted((tuple(left), tuple(right)), key=len)
    padded = (1,) * (len(long) - len(short)) + short
    return prod(max(a, b) for a, b in zip(padded, long, strict=True))
