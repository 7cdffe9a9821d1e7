"""Energy of each component's events as a linear function of statistics of its operands."""

from __future__ import annotations

import datetime
import importlib.metadata
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rtl import verilog
from rtl.block import module_name
from rtl.power.components import TOKENS, Bench, Event, Words, benches
from rtl.power.energy import Energy, EnergyModel
from rtl.power.netlist import flatten
from rtl.power.streams import NETWORK, Layers
from rtl.power.tables import Tables
from rtl.synth import Library, Synthesis, synthesize_modules
from sim.errors import InputError

SAMPLES = 2
"""Chunks of each layer."""
_COMPONENT = re.compile(r"^(?=\[components\.\w+\]$)", re.M)
LEAST_RANGE = 0.1
"""Of a statistic over all samples; one that varies less would get a coefficient that is mostly noise."""


@dataclass(frozen=True)
class Fit:
    """joules = intercept + sum of coefficient times statistic.

    Attributes:
        mean_j: over all samples.
        ranges: least, mean and greatest value of each statistic.
        error_mean, error_max: relative, of samples of a layer by a fit without that layer.
    """

    event: Event
    intercept_j: float
    coefficients_j: dict[str, float]
    mean_j: float
    ranges: dict[str, tuple[float, float, float]]
    error_mean: float
    error_max: float
    samples: int


@dataclass(frozen=True)
class Characterization:
    """A component's figures: netlist, layers that fed it, joules a cycle of its clock while it works, how many
    flip-flops have a pulse in such a cycle, leakage."""

    bench: Bench
    synthesis: Synthesis
    layers: tuple[str, ...]
    clock_j: float
    clock_pulses: float
    leakage_w: float
    fits: tuple[Fit, ...]


def characterize(
    library: Library,
    *,
    kinds: Iterable[str] | None = None,
    layers: int | None = None,
    wire_farads: float = 0.0,
) -> Iterator[Characterization]:
    """All components on one library, one after the other.

    Args:
        kinds: only these; layers: only so many of the network, evenly spread.

    Raises:
        InputError: a library without what the mapper or the energy needs.
    """
    tables = Tables(library)
    streams: dict[str, Layers] = {}
    for bench in benches():
        if kinds is None or bench.name in kinds:
            source = streams.setdefault(bench.layers.name, Layers(bench.layers))
            yield _component(bench, library, tables, source, layers, wire_farads)


def _component(
    bench: Bench, library: Library, tables: Tables, source: Layers, layers: int | None, wire_farads: float
) -> Characterization:
    gated = bench.machine.clock_gating and library.clock_gate is not None
    found = verilog.hierarchy(bench.block, gated=gated)
    texts = {module_name(kind): text for kind, (_, text) in found.items()}
    top = module_name(bench.block.kind)
    synthesis = synthesize_modules(texts, top, library, 1e9 / bench.machine.clock_hz, gated=gated)
    netlist = flatten(synthesis.netlist, top, library)
    model = EnergyModel(netlist, tables, wire_farads=wire_farads)
    names = list(source.layers)
    if layers is not None:
        names = [names[n] for n in np.unique(np.linspace(0, len(names) - 1, layers).astype(int))]
    energies: dict[str, list[float]] = {event.name: [] for event in bench.events}
    statistics: list[Mapping[str, float]] = []
    of_layer: list[str] = []
    clocks, pulses, leakages = [], [], []
    for name in names:
        for dense in (False, True) if bench.dense else (False,):
            for sample in source.samples(name, SAMPLES, TOKENS, dense=dense):
                runs, counts = _runs(bench, model, bench.phases(bench, sample))
                for event in bench.events:
                    before = _spent(runs[event.phase - 1], event, bench) if event.phase else 0.0
                    joules = _spent(runs[event.phase], event, bench) - before
                    energies[event.name].append(joules / counts[event.phase][event.counted_by])
                statistics.append(bench.statistics(bench, sample))
                of_layer.append(name)
                clocks.append(runs[-1].clock.sum() / runs[-1].cycles)
                pulses.append(runs[-1].pulses / runs[-1].cycles)
                leakages.append(runs[-1].leakage.sum())
    fits = tuple(_fit(event, np.array(energies[event.name]), statistics, of_layer) for event in bench.events)
    return Characterization(
        bench,
        synthesis,
        tuple(names),
        float(np.mean(clocks)),
        float(np.mean(pulses)),
        float(np.mean(leakages)),
        fits,
    )


def _runs(
    bench: Bench, model: EnergyModel, phases: Iterable[tuple[Words, Mapping[str, int]]]
) -> tuple[list[Energy], list[Mapping[str, int]]]:
    """Energy of the stimulus up to the end of each phase; ports keep what they had, but enables end."""
    stimuli, counts = zip(*phases, strict=True)
    ends = np.cumsum([len(next(iter(stimulus.values()))) for stimulus in stimuli]).tolist()
    measured = min(event.phase for event in bench.events)
    activities = model.evaluator.runs(
        joined(list(stimuli), model.netlist.inputs), ends, first=ends[measured - 1] if measured else 1
    )
    return [model.energy(activity) for activity in activities], list(counts)


def joined(parts: list[Words], ports: Mapping[str, tuple[int, ...]]) -> Words:
    found = {}
    for port, nets in ports.items():
        held = np.zeros((1, len(nets)), np.uint64)
        pieces = []
        for part in parts:
            cycles = len(next(iter(part.values())))
            pieces.append(part.get(port, np.broadcast_to(held, (cycles, len(nets)))))
            held = pieces[-1][-1:]
        if any(piece.any() for piece in pieces):
            found[port] = np.concatenate(pieces)
    return found


def _spent(energy: Energy, event: Event, bench: Bench) -> float:
    """Without clock and leakage."""
    others = [other.inside for other in bench.events if other.phase == event.phase and other.inside]
    if event.inside:
        return energy.part(event.inside)
    whole = energy.total - float(energy.clock.sum())
    return whole - sum(energy.part(text) for text in others)


def _fit(
    event: Event, energies: np.ndarray, statistics: list[Mapping[str, float]], of_layer: list[str]
) -> Fit:
    seen = np.array([[found[name] for name in event.statistics] for found in statistics]).reshape(
        len(statistics), -1
    )
    varies = np.ptp(seen, 0) >= LEAST_RANGE
    seen, names = seen[:, varies], [name for name, kept in zip(event.statistics, varies, strict=True) if kept]
    matrix = np.column_stack([np.ones(len(seen)), seen])
    solution = np.linalg.lstsq(matrix, energies, rcond=None)[0]
    layers = np.array(of_layer)
    errors = []
    for layer in dict.fromkeys(of_layer):
        out = layers == layer
        if out.all():
            continue
        without = np.linalg.lstsq(matrix[~out], energies[~out], rcond=None)[0]
        errors += (np.abs(matrix[out] @ without - energies[out]) / energies[out]).tolist()
    return Fit(
        event,
        float(solution[0]),
        dict(zip(names, map(float, solution[1:]), strict=True)),
        float(energies.mean()),
        {
            name: (float(column.min()), float(column.mean()), float(column.max()))
            for name, column in zip(names, seen.T, strict=True)
        },
        float(np.mean(errors)) if errors else float("nan"),
        float(np.max(errors)) if errors else float("nan"),
        len(energies),
    )


def to_toml(library: Library, found: list[Characterization], *, wire_farads: float = 0.0) -> str:
    """A table of coefficients, with where it comes from."""
    tables = Tables(library)
    timing = found[0].synthesis.timing
    lines = [
        f"# Energy, area and leakage of components on {library.name}.",
        "# Made by: python -m rtl.power --liberty FILE... Measured: synthesis of our own RTL, zero-delay",
        "# simulation of the netlist. No glitches: multipliers and adders are lower bounds. No clock tree.",
        "# Energy = intercept_j + sum of NAME_j * NAME, within the ranges seen. Clock and leakage are apart.",
        "",
        "[provenance]",
        f"library = {_text(library.name)}",
        f"files = [{', '.join(_text(file.name) for file in library.files)}]",
        f"revision = {_text(tables.revision)}",
        f"volts = {tables.volts}",
        f"codeword = {_text(importlib.metadata.version('codeword'))}",
        *(f"{name} = {_text(importlib.metadata.version(name))}" for name in ("pyosys", "amaranth", "numpy")),
        f"operands = {_text(f'{NETWORK}, test images')}",
        f"mapped_for_ns = {found[0].synthesis.period_ns:.4g}",
        f"timing = {_text(timing)}" + ("  # within one module" if timing == "abc" else ""),
        f"wire_farads_per_input = {wire_farads:g}  # assumed",
        'errors = "relative; samples of a layer by a fit without that layer"',
        "",
    ]
    for part in found:
        lines += _component_lines(part)
    return "\n".join(lines)


def merged(earlier: str, later: str) -> str:
    """The later table, with those components of the earlier one that it lacks.

    Raises:
        InputError: tables of different libraries.
    """
    old, new = (tomllib.loads(text)["provenance"]["library"] for text in (earlier, later))
    if old != new:
        raise InputError("--out", old, f"holds another library than {new}", "write to another file")
    (_, before), (head, after) = _blocks(earlier), _blocks(later)
    return "\n".join(part.rstrip() + "\n" for part in (head, *(before | after).values()))


def _blocks(table: str) -> tuple[str, dict[str, str]]:
    """What precedes the components of a table, and the text of each."""
    head, *parts = _COMPONENT.split(table)
    return head, {part[len("[components.") : part.index("]")]: part for part in parts}


def _component_lines(part: Characterization) -> list[str]:
    bench, synthesis = part.bench, part.synthesis
    path = synthesis.by_kind[synthesis.top].path_ns if synthesis.timing == "opensta" else synthesis.path_ns
    size = ", ".join(f"{name} = {value}" for name, value in bench.size.items())
    lines = [
        f"[components.{bench.name}]",
        f"size = {{ {size} }}",
        f"date = {_text(datetime.date.today().isoformat())}",
        f"layers = {len(part.layers)}",
        f"area_um2 = {synthesis.area:.6g}",
        f"flip_flop_area_um2 = {synthesis.flip_flop_area:.6g}",
        f"flip_flops = {synthesis.flip_flops}",
        f"cells = {synthesis.cells}",
        f"path_ns = {path:.4g}" if path is not None else "",
        f"clock_j_per_cycle = {part.clock_j:.4g}",
        f"clock_pulses_per_cycle = {part.clock_pulses:.4g}",
        f"leakage_w = {part.leakage_w:.4g}",
        "",
    ]
    for fit in part.fits:
        lines += [
            f"[components.{bench.name}.events.{fit.event.name}]",
            f"per = {_text(fit.event.counted_by)}",
            f"mean_j = {fit.mean_j:.4g}",
            f"intercept_j = {fit.intercept_j:.4g}",
            *(f"{name}_j = {value:.4g}" for name, value in fit.coefficients_j.items()),
            *(
                f"{name}_seen = [{', '.join(f'{value:.3g}' for value in values)}]  # least, mean, greatest"
                for name, values in fit.ranges.items()
            ),
            f"error_mean = {fit.error_mean:.3g}",
            f"error_max = {fit.error_max:.3g}",
            f"samples = {fit.samples}",
            "",
        ]
    return [line for line in lines if line] + [""]


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
