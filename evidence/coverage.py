"""Functional coverage: which corners of docs/timing.md and docs/hardware.md random networks have met."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from cocotb_coverage.coverage import CoverCross, CoverPoint, coverage_db, coverage_section

from rtl.compiler import Layer
from rtl.verify.random_network import Case
from sim import network as functional
from sim.formats import FORMATS, LAYOUTS
from sim.network import Add, AveragePool, Conv, Network, Pool, TensorSpec
from sim.systolic.engine import simulate
from sim.systolic.results import CAUSES
from sim.systolic.schedule import Schedule

ROOT = "accelerator"
AXES = ("neither", "y", "x", "both")

BINS: Mapping[str, tuple[str, ...]] = {
    "format": (*FORMATS, *LAYOUTS),
    "banks": ("overlap", "serial"),
    "A": ("1", "2", "3", "4"),
    "B": ("1", "2", "3"),
    "D": ("1", "2", "3", "4 and more"),
    "U": ("1", "more"),
    "tails": ("A", "B", "D", "rows", "columns", "part"),
    "kernel": ("point", "column", "row", "window"),
    "stride": AXES,
    "padding": AXES,
    "dilation": AXES,
    "folded": ("no", "yes"),
    "parts": ("one", "one group each", "groups on the diagonal"),
    "tiles": ("one", "several", "the last one shorter"),
    "strips": ("one", "several", "the last one narrower"),
    "halo": ("none", "tiles overlap", "strips overlap", "padding above and below"),
    "order": ("tiles outside", "outputs outside"),
    "channels": ("whole", "split"),
    "ifmap_buffers": ("1", "2"),
    "ofmap_buffers": ("1", "2"),
    "source": ("l1", "l2", "dram"),
    "psums": ("finished by one chunk", "stored"),
    "fence": ("no", "yes"),
    "weights": ("once", "again from DRAM", "again from L2"),
    "addition": ("none", "first operand", "second operand", "own pass"),
    "output": ("8 bits", "32 bits"),
    "clamp": ("INT8", "ReLU", "narrower"),
    "requantization": ("inside", "saturates low", "saturates high", "tie below zero", "tie above zero"),
    "pass": ("maximum", "average"),
    "pass_source": ("l1", "l2"),
    "cause": CAUSES,
}
"""Points and their bins. A point of one layer has the bins that the layer is in, maybe several."""
CROSSES = {"format_banks": ("format", "banks"), "order_channels": ("order", "channels")}
UNREACHABLE = {
    ("addition", "own pass"): "the compiler refuses an addition that rides on no convolution",
    ("pass_source", "l2"): "the compiler refuses a pass whose operand is not in L1",
}
"""Bins that no network can reach, and why."""
Seen = Mapping[str, set[str]]


def _section() -> Callable[[Seen], None]:
    points = [
        CoverPoint(
            f"{ROOT}.{name}", xf=_of(name), rel=lambda seen, label: label in seen, bins=list(bins), inj=False
        )
        for name, bins in BINS.items()
    ]
    crosses = [
        CoverCross(f"{ROOT}.{name}", items=[f"{ROOT}.{item}" for item in items])
        for name, items in CROSSES.items()
    ]

    @coverage_section(*points, *crosses)
    def sample_layer(seen: Seen) -> None:
        """One layer."""

    return sample_layer  # type: ignore[no-any-return]


def _of(name: str) -> Callable[[Seen], set[str]]:
    return lambda seen: seen.get(name, set())


_sample = _section()


def sample(case: Case) -> None:
    """Counts the bins that the layers of a case are in."""
    acc = case.image.accelerator
    found = simulate(case.network, acc, case.images, compare=False, plans=case.plans)
    for layer, counts in zip(case.image.layers, found.layers, strict=True):
        seen: dict[str, set[str]] = defaultdict(set)
        seen["cause"] = {cause for cause, cycles in counts.cycles.items() if cycles}
        if layer.program is None:
            _pass(case.network, layer, seen)
        else:
            _convolution(case, layer, seen)
            conv = case.network[layer.name]
            assert isinstance(conv, Conv)
            _values(case.network, conv, found.tensors[conv.input], seen)
        _sample(seen)


def hits() -> dict[str, dict[str, int]]:
    """Hits by point and bin, since the last `clear`."""
    found = {name: coverage_db[f"{ROOT}.{name}"].detailed_coverage for name in (*BINS, *CROSSES)}
    return {name: {str(label): count for label, count in bins.items()} for name, bins in found.items()}


def missed() -> list[tuple[str, str]]:
    """Points and bins without a hit."""
    return [(name, label) for name, bins in hits().items() for label, count in bins.items() if not count]


def clear() -> None:
    """Forgets every hit."""
    for name in (*BINS, *CROSSES):
        bins = coverage_db[f"{ROOT}.{name}"].detailed_coverage
        for label in bins:
            bins[label] = 0


def report() -> str:
    """A Markdown table of points, bins and hits."""
    lines = ["| point | bin | hits | |", "|---|---|---|---|"]
    for name, bins in hits().items():
        for n, (label, count) in enumerate(bins.items()):
            note = UNREACHABLE.get((name, label), "")
            lines.append(f"| {name if n == 0 else ''} | {label} | {count} | {note} |")
    return "\n".join(lines) + "\n"


def _pass(network: Network, layer: Layer, seen: dict[str, set[str]]) -> None:
    node = network[layer.name]
    assert isinstance(node, Pool | AveragePool | Add)
    if isinstance(node, Add):
        seen["addition"] = {"own pass"}
        return
    seen["pass"] = {"maximum" if isinstance(node, Pool) else "average"}
    seen["pass_source"] = {str(layer.how)}


def _convolution(case: Case, layer: Layer, seen: dict[str, set[str]]) -> None:
    assert isinstance(layer.how, Schedule)
    assert layer.program is not None
    schedule, shape, chunks = layer.how, layer.how.shape, layer.program.chunks
    node = case.network[layer.name]
    assert isinstance(node, Conv)
    ridden = layer.tensor != layer.name and not shape.pool
    adds = case.network[layer.tensor] if ridden else None
    seen |= {
        "format": {schedule.format},
        "banks": {"overlap" if schedule.overlap else "serial"},
        "A": {str(n) for n in chunks["A"]},
        "B": {str(n) for n in chunks["B"]},
        "D": {str(n) if n < 4 else "4 and more" for n in chunks["D"]},
        "U": {"more" if schedule.split > 1 else "1"},
        "tails": set(_tails(schedule, chunks)),
        "kernel": {("point", "row", "column", "window")[2 * (shape.kernel[0] > 1) + (shape.kernel[1] > 1)]},
        "stride": _axes(n > 1 for n in shape.stride),
        "padding": _axes(n > 0 for n in shape.padding),
        "dilation": _axes(n > 1 for n in shape.dilation),
        "folded": {"yes" if shape.line_bytes else "no"},
        "parts": {
            "groups on the diagonal"
            if schedule.stream.diagonal
            else "one group each"
            if schedule.parts > 1
            else "one"
        },
        "tiles": set(_tiles(schedule)),
        "strips": set(_strips(schedule)),
        "halo": set(_halo(schedule)),
        "order": {"outputs outside" if schedule.outputs_outer else "tiles outside"},
        "channels": {"split" if schedule.split_channels else "whole"},
        "ifmap_buffers": {str(schedule.tiling.ifmap_buffers)},
        "ofmap_buffers": {str(schedule.tiling.ofmap_buffers)},
        "source": {schedule.source},
        "psums": {"stored" if schedule.trips[1] * schedule.trips[2] > 1 else "finished by one chunk"},
        "fence": {"yes" if fence else "no" for fence in chunks["fence"]},
        "weights": set(_weights(schedule, chunks)),
        "addition": {
            ("first operand", "second operand")[adds.inputs.index(layer.name)]
            if isinstance(adds, Add)
            else "none"
        },
        "output": {"32 bits" if node.requantization is None else "8 bits"},
    }


def _axes(axes: Iterable[bool]) -> set[str]:
    y, x = axes
    return {AXES[y + 2 * x]}


def _tails(schedule: Schedule, chunks: np.ndarray) -> Iterator[str]:
    acc = schedule.accelerator
    yield from (name for name in "ABD" if len(set(chunks[name])) > 1)
    if (chunks["rows_tail"] < acc.rows).any():
        yield "rows"
    if (chunks["columns_tail"] < acc.columns).any():
        yield "columns"
    if schedule.tail_groups < schedule.packed:
        yield "part"


def _tiles(schedule: Schedule) -> Iterator[str]:
    yield "several" if schedule.row_tiles > 1 else "one"
    if schedule.shape.out_h % schedule.tile_rows:
        yield "the last one shorter"


def _strips(schedule: Schedule) -> Iterator[str]:
    yield "several" if schedule.strips > 1 else "one"
    if schedule.shape.out_w % schedule.tile_width:
        yield "the last one narrower"


def _halo(schedule: Schedule) -> Iterator[str]:
    y, x = schedule.shape.axes
    lines, columns = schedule.row_tiles > 1 and y.reach > y.stride, schedule.strips > 1 and x.reach > x.stride
    if y.padding:
        yield "padding above and below"
    if lines:
        yield "tiles overlap"
    if columns:
        yield "strips overlap"
    if not lines and not columns:
        yield "none"


def _weights(schedule: Schedule, chunks: np.ndarray) -> Iterator[str]:
    again = len(chunks) > len(set(chunks["beat"].tolist()))
    if not again:
        yield "once"
    else:
        yield "again from L2" if schedule.tiling.keeps_weights else "again from DRAM"


def _values(network: Network, layer: Conv, ifmap: np.ndarray, seen: dict[str, set[str]]) -> None:
    """What requantization did to the sums of a layer, from the functional model."""
    rule = layer.requantization
    if rule is None:
        return
    spec = TensorSpec(network.maps[layer.input], zero_point=network.zero_point(layer.input))
    bare = replace(layer, input="input", requantization=None)
    sums = functional.run(Network("sums", spec, (bare,)), ifmap)[layer.name][0].astype(np.int64)
    multiplier = rule.multiplier.astype(np.int64)[:, None, None]
    shift = rule.shift.astype(np.int64)[:, None, None]
    product = sums * multiplier
    half = np.int64(1) << (shift - 1)
    tie = product & ((half << 1) - 1) == half
    y = ((product + half) >> shift) + rule.zero_point
    clamps = {(-128, 127): "INT8", (rule.zero_point, 127): "ReLU"}
    seen["clamp"] = {clamps.get((rule.low, rule.high), "narrower")}
    events = {
        "inside": (y >= rule.low) & (y <= rule.high),
        "saturates low": y < rule.low,
        "saturates high": y > rule.high,
        "tie below zero": tie & (product < 0),
        "tie above zero": tie & (product > 0),
    }
    seen["requantization"] = {name for name, event in events.items() if event.any()}
