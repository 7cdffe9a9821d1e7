"""Layer shapes: all that mapping, closed form and cost need to know of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from sim.errors import InputError, nearest
from sim.limits import LARGEST, MACS
from sim.names import require_name

PASSES = {
    # kind: lane operations an element, one a cycle and lane. Assumed: one multiply-accumulate,
    # comparison or table look-up is one operation.
    "pool": 1,  # accumulate or compare
    "add": 1,
    "multiply": 1,
    "concat": 1,  # requantized into the common scale
    "upsample": 1,
    "rearrange": 1,  # a value moved
    "constant": 1,  # a value brought from DRAM
    "table": 1,  # any activation by table look-up
    "softmax": 3,  # maximum; exponent and sum; scaling
    "layernorm": 3,  # mean; variance; scaling
    "rmsnorm": 2,  # mean square; scaling
    "rotate": 2,  # rotary position embedding: two products an element
    "scan": 4,  # selective scan, an element = (token, channel, state): decay, input, state, output
    "other": 1,  # what an importer was told to treat as vector work
}
"""Kinds of work on the vector unit, which are the storer's lanes."""

WORD = 8
"""Bytes of a word of L1 and L2."""


def words(first: int, channels: int, size: int = 1) -> int:
    """Words that `channels` channels of a pixel touch, from channel `first` on, of `size` bytes each.

    A pixel begins with a word; there is at least one channel.
    """
    return -(-(first + channels) * size // WORD) - first * size // WORD


def map_bytes(channels: int, pixels: int, size: int = 1) -> int:
    """Bytes of a whole map, each pixel of which fills whole words."""
    return WORD * pixels * words(0, channels, size)


class Axis(NamedTuple):
    """One direction of a convolution: rows or columns of its ifmap, `reach` of them under the kernel, its stride, and
    the padding before the first.
    """

    size: int
    reach: int
    stride: int
    padding: int

    def read(self, first: int, count: int) -> range:
        """Rows or columns of the ifmap that `count` of the ofmap, from `first` on, read; padding is none."""
        begin = first * self.stride - self.padding
        low = max(begin, 0)
        return range(low, max(low, min(begin + (count - 1) * self.stride + self.reach, self.size)))


class Unfolded(NamedTuple):
    """The map of which folding makes an ifmap: its rows and columns as the layer reads them, and how many of them lie
    side by side in the channels of a pixel (docs/timing.md section 7).
    """

    y: Axis
    x: Axis
    high: int
    width: int


@dataclass(frozen=True)
class ConvShape:
    """A convolution, linear layer or matrix product.

    A linear layer is a 1x1 kernel on a map of (tokens, 1). A matrix product of two activations is one
    with `dynamic` weights and one group a head: channels = heads * head size, outputs = heads * keys.

    Attributes:
        channels, outputs: input and output channels, of all groups together.
        kernel, stride, padding, size: (y, x) each; size is the ifmap without padding.
        residual: name of an addition that the storer performs on the fly, or "".
        dilation: (y, x).
        groups: equal parts of channels and outputs that do not mix; `channels` for depth-wise.
        dynamic: the weights are activations: they come from L2, dense INT8, and are no parameters.
        chained: the ifmap is what the layer before it wrote.
        padding_end: (bottom, right) padding where it differs from (top, left).
        line_bytes: of one ifmap row in DRAM where folding makes other ones, or 0.
        unfolded: how the ifmap lies there, where folding makes another one.
        wide: emits 32-bit sums, since nothing requantizes them.
        pool: windows of output rows, of each of which the storer writes the largest values alone.
    """

    name: str
    channels: int
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    size: tuple[int, int] = (1, 1)
    residual: str = ""
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    dynamic: bool = False
    chained: bool = True
    padding_end: tuple[int, int] | None = None
    line_bytes: int = 0
    wide: bool = False
    unfolded: Unfolded | None = None
    pool: Axis | None = None

    def __post_init__(self) -> None:
        if self.wide and self.residual:
            raise InputError(
                f"{self.name}.wide", True, f"the addition {self.residual} requantizes", "use wide = False"
            )
        for field in ("channels", "outputs", "groups"):
            if getattr(self, field) < 1:
                raise InputError(
                    f"{self.name}.{field}",
                    getattr(self, field),
                    "must be positive",
                    "give the layer's real count",
                )
        if self.name:
            require_name("layer name", self.name)
        self._require_sane()
        for field in ("channels", "outputs"):
            if getattr(self, field) % self.groups:
                raise InputError(
                    f"{self.name}.groups",
                    self.groups,
                    f"does not divide {field} = {getattr(self, field)}",
                    "use a divisor of both",
                )
        if self.out_h < 1 or self.out_w < 1:
            raise InputError(
                f"{self.name}.kernel",
                self.kernel,
                f"larger than the padded ifmap {self.size}",
                "pad the ifmap",
            )
        if self.macs > MACS:
            problem = "more multiply-accumulates than any layer has"
            raise InputError(f"{self.name}.macs", self.macs, problem, "correct its sizes")

    def _require_sane(self) -> None:
        """Raises InputError where a size is beyond all bounds, or a stride or dilation is none."""
        sizes: dict[str, tuple[int, ...]] = {
            "channels": (self.channels,),
            "outputs": (self.outputs,),
            "kernel": self.kernel,
            "stride": self.stride,
            "padding": self.padding,
            "size": self.size,
            "dilation": self.dilation,
            "padding_end": self.padding_end or (0, 0),
        }
        for field, values in sizes.items():
            least = 0 if "padding" in field else 1
            if not all(least <= value <= LARGEST for value in values):
                problem = f"must lie in {least}..{LARGEST:,}"
                raise InputError(f"{self.name}.{field}", values, problem, "give the layer's real size")

    def _out(self, axis: int) -> int:
        end = self.padding if self.padding_end is None else self.padding_end
        reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1
        return (self.size[axis] + self.padding[axis] + end[axis] - reach) // self.stride[axis] + 1

    @cached_property
    def out_h(self) -> int:
        return self._out(0)

    @cached_property
    def out_w(self) -> int:
        return self._out(1)

    @cached_property
    def axes(self) -> tuple[Axis, Axis]:
        """(y, x)."""
        reach = [(kernel - 1) * step + 1 for kernel, step in zip(self.kernel, self.dilation, strict=True)]
        y, x = zip(self.size, reach, self.stride, self.padding, strict=True)
        return Axis(*y), Axis(*x)

    @property
    def weights(self) -> int:
        return self.outputs * (self.channels // self.groups) * self.kernel[0] * self.kernel[1]

    @property
    def macs(self) -> int:
        return self.weights * self.out_h * self.out_w

    @cached_property
    def written(self) -> range:
        """Output rows that are written: all, or those with which a window ends."""
        if self.pool is None:
            return range(self.out_h)
        return range(self.pool.reach - 1 - self.pool.padding, self.out_h, self.pool.stride)

    @property
    def merged(self) -> int:
        """Output rows that the storer keeps for later ones in L1, and those that it reads there, together."""
        if self.pool is None:
            return 0
        shared = self.pool.reach > self.pool.stride
        return 2 * self.out_h - 1 if shared else 2 * (self.out_h - len(self.written))

    @property
    def tensor(self) -> str:
        """Name of what it writes."""
        return f"{self.name}, pooled" if self.pool else self.residual or self.name

    @property
    def results(self) -> int:
        """Elements written."""
        return self.outputs * len(self.written) * self.out_w

    @property
    def output_size(self) -> int:
        """Bytes of an element written."""
        return 4 if self.wide else 1

    @property
    def ifmap_bytes(self) -> int:
        return map_bytes(self.channels, self.size[0] * self.size[1])

    @property
    def ofmap_bytes(self) -> int:
        return map_bytes(self.outputs, len(self.written) * self.out_w, self.output_size)

    def with_residual(self, name: str) -> ConvShape:
        return replace(self, residual=name)


@dataclass(frozen=True)
class PassShape:
    """A pass over feature maps on the storer lanes: what is no convolution.

    Attributes:
        kind: one of PASSES.
        elements: read for each operand; of a scan, all (token, channel, state) triples.
        operands: 1 or 2.
        results: elements written.
        chained: the first operand is what the layer before it wrote.
        reads: bytes read in all where that is not `operands` maps of `elements` (a scan), or 0.
        channels: of a pixel of operands and results; 0 where nobody knows, so that no word is filled up.
        stored: the operand is a constant of the network: it comes from DRAM.
        operand: bytes of a map over which windows slide that read it more than once, or 0.
        under: bytes of its lines under a window, and of those that come for the next ones meanwhile: where L1 holds
            them, the operand comes once.
        windows: (y, x) of a max pool that is the only reader of the convolution right before it.
    """

    name: str
    kind: str
    elements: int
    operands: int
    results: int
    chained: bool = True
    reads: int = 0
    channels: int = 0
    stored: bool = False
    operand: int = 0
    under: int = 0
    windows: tuple[Axis, Axis] | None = None

    def __post_init__(self) -> None:
        if self.kind not in PASSES:
            raise InputError(f"{self.name}.kind", self.kind, "unknown", nearest(self.kind, PASSES))
        if self.name:
            require_name("layer name", self.name)
        if self.elements > MACS:
            problem = "more elements than any layer has"
            raise InputError(f"{self.name}.elements", self.elements, problem, "correct its sizes")

    @property
    def operations(self) -> int:
        """Lane operations."""
        return PASSES[self.kind] * self.elements

    def cycles(self, lanes: int) -> int:
        """Cycles of work: a vector of up to `lanes` channels of a pixel each, or `lanes` operations."""
        if not self.channels:
            return -(-self.operations // lanes)
        return -(-self.operations // self.channels) * -(-self.channels // lanes)

    def batches(self, lanes: int) -> tuple[int, tuple[int, ...]]:
        """Pixels of the results, and the words of the batches in which the lanes give each of them."""
        if not self.channels:
            return -(-self.results // lanes), (words(0, min(lanes, self.results)),)
        groups = range(0, self.channels, lanes)
        return -(-self.results // self.channels), tuple(
            words(first, min(lanes, self.channels - first)) for first in groups
        )

    @property
    def ifmap_bytes(self) -> int:
        """Read by the lanes."""
        return self.reads or self._bytes(self.elements) * self.operands

    @property
    def held_bytes(self) -> int:
        """Of all operands, where they lie."""
        return self.operand or self.ifmap_bytes

    def brought_bytes(self, room: int) -> int:
        """Brought into L1, whose share for ifmaps has so much room."""
        return self.operand if self.operand and self.under <= room else self.ifmap_bytes

    @property
    def ofmap_bytes(self) -> int:
        return self._bytes(self.results)

    def _bytes(self, elements: int) -> int:
        return map_bytes(self.channels, elements // self.channels) if self.channels else elements

    @property
    def macs(self) -> int:
        return 0


Shape = ConvShape | PassShape


def pooling(
    name: str,
    channels: int,
    size: tuple[int, int],
    out: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    chained: bool = True,
    windows: tuple[Axis, Axis] | None = None,
) -> PassShape:
    """A pass over windows of a map of `size` (y, x), one for each of `out` results of a channel."""
    pixels = out[0] * out[1]
    line, read = map_bytes(channels, size[1]), map_bytes(channels, pixels * kernel[0] * kernel[1])
    again = size[0] * line < read
    return PassShape(
        name,
        "pool",
        channels * pixels * kernel[0] * kernel[1],
        1,
        channels * pixels,
        chained,
        channels=channels,
        operand=again * size[0] * line,
        under=again * (kernel[0] + stride[0]) * line,
        windows=windows,
    )


def rides(shapes: Sequence[Shape], n: int) -> bool:
    """Whether layer n is a max pool whose windows the storer can follow along y while the layer before it runs.

    It keeps one line: windows follow one another without gaps, share a row at most, and the last one ends with the map.
    """
    of, reader = shapes[n - 1] if n else None, shapes[n]
    if not isinstance(of, ConvShape) or not isinstance(reader, PassShape) or reader.windows is None:
        return False
    y = reader.windows[0]
    return (
        not (of.wide or of.residual or of.dynamic)
        and y.reach >= 2
        and 0 <= y.reach - y.stride <= 1
        and y.padding < y.stride <= y.size
        and y.reach <= y.size + y.padding
        and (y.size + y.padding - y.reach) % y.stride == 0
    )


def ridden(of: ConvShape, reader: PassShape) -> tuple[ConvShape, PassShape]:
    """A convolution whose storer pools along y, and what is left of the pool: its windows along x."""
    assert reader.windows is not None
    y, x = reader.windows
    pooled = replace(of, pool=y)
    high = len(pooled.written)
    out = high, reader.results // (of.outputs * high)
    left = pooling(
        reader.name, of.outputs, (high, of.out_w), out, (1, x.reach), (1, x.stride), reader.chained
    )
    return pooled, left


def with_logits(shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    """Shapes of a network: a convolution at its end emits 32-bit sums, unless an addition rides on it."""
    last = shapes[-1]
    if isinstance(last, ConvShape) and not last.residual:
        last = replace(last, wide=True)
    return (*shapes[:-1], last)
