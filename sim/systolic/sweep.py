"""Networks on many machines by the compiled closed form: the plans that `sim.systolic.plan` compares, and their counts.

What a network takes there is what `Systolic.count` says, to the bit; here nothing is made but totals.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.network import Network as IntegerNetwork
from sim.results import Totals
from sim.shapes import ConvShape, Shape, with_logits
from sim.systolic import mapping, remembered
from sim.systolic.bulk.accesses import ACCESSES
from sim.systolic.bulk.chain import HEAD, chains, runs
from sim.systolic.bulk.counts import layers as count_layers
from sim.systolic.bulk.problem import (
    ENERGIES,
    HOW,
    PASS,
    PROBLEM,
    SOURCES,
    array_of,
    energies,
    joined,
    machine_row,
    pass_fields,
    problems,
)
from sim.systolic.bulk.search import FOUND, searches
from sim.systolic.bulk.walk import LEFT, SPENT
from sim.systolic.layers import Layers
from sim.systolic.mapping import OBJECTIVES
from sim.systolic.plan import pooling_where_better, smaller
from sim.systolic.streams import native_formats, network_formats
from sim.technology import mapping_energy

_L1, _L2, _DRAM = range(len(SOURCES))
FIELDS = HOW.names or ()
"""Of a way to run a layer."""
_ARRAYS = 1024
_layers: dict[tuple[int, Any], tuple[Any, Layers]] = {}
"""Layers by network and array, with that network."""


class _Ways:
    """Ways to run layers on a machine, HOW by number; equal ones are one."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, ...]] = []
        self.of: list[tuple[int, int]] = []
        self._numbers: dict[tuple[int, ...], int] = {}

    def number(self, problem: int, number: int, row: tuple[int, ...]) -> int:
        key = (problem, number, *row)
        found = self._numbers.setdefault(key, len(self.rows))
        if found == len(self.rows):
            self.rows.append(row)
            self.of.append((problem, number))
        return found


class _Choice(NamedTuple):
    """A way to run a layer, its gap, and whether its ofmap leaves strip by strip."""

    how: int
    gap: float
    strips: bool


class _Shares(NamedTuple):
    """Energy and cycles of a network, by whose shares a schedule of a layer is chosen (`plan._Totals`)."""

    energy: float
    cycles: float


class Network:
    """A network on one machine, and its plans."""

    def __init__(self, layers: Layers, accelerator: Accelerator) -> None:
        self.layers, self.accelerator = layers, accelerator
        self.prices = mapping_energy(accelerator)[1]
        self.energies = energies(accelerator)
        self.problems = problems(accelerator, layers.convolutions)
        self.first = np.cumsum([0, *(len(of) for of in self.problems)]).tolist()
        self.machine = machine_row(accelerator)
        self.every = joined([*self.problems, self.machine])
        lanes = accelerator.requant_lanes
        self.passes = np.array([pass_fields(shape, lanes) for shape in layers.passes], PASS)
        self.map_bytes, self.ofmap_bytes = accelerator.map_bytes, accelerator.ofmap_bytes
        self.needed = self.every["needed"].tolist()
        self.ways = _Ways()
        self._runs_here: dict[tuple[int, tuple[int, ...]], bool] = {}
        self._found: dict[tuple[int, int], list[tuple[Any, ...]]] = {}

    def depends_on(self) -> bytes:
        """All that counts and searches of this machine depend on."""
        token = np.float64(self.prices["token"]).tobytes()
        return b"".join((self.every.tobytes(), self.passes.tobytes(), self.energies.tobytes(), token))

    def _likely(self) -> list[tuple[int, int]]:
        """Convolutions and where their ifmaps are, if no layer before leaves strips."""
        layers = self.layers
        found: dict[tuple[int, int], None] = {}
        for n, kind in enumerate(layers.kinds):
            if kind < len(layers.convolutions):
                left = layers.written[n - 1] if n else 0
                found[kind, _DRAM if layers.unread[n] else self.source(n, left)] = None
        return list(found)

    def source(self, n: int, left: int) -> int:
        """Where a layer finds what the one before it left."""
        return _L1 if self.layers.chained[n] and 0 < left <= self.ofmap_bytes else _L2

    def _search(self, wanted: list[tuple[int, int]]) -> None:
        weights, missing = self.energies.tobytes(), []
        for kind, source in wanted:
            key = b"".join((self.problems[kind].tobytes(), bytes((source,)), weights))
            if key in remembered.searches:
                self._keep(kind, source, remembered.searches[key])
            else:
                missing.append((kind, source, key))
        if not missing:
            return
        of = [self.problems[kind] for kind, _, _ in missing]
        edges = np.cumsum([0, *map(len, of)])
        best = np.zeros((len(missing), len(OBJECTIVES)), FOUND)
        sources = np.array([source for _, source, _ in missing])
        load()
        searches(joined(of), edges, sources, np.tile(self.energies, (len(missing), 1)), best)
        if len(remembered.searches) + len(missing) > remembered.MOST:
            remembered.searches.clear()
        for (kind, source, key), found in zip(missing, best, strict=True):
            remembered.searches[key] = found
            self._keep(kind, source, found)

    def _keep(self, kind: int, source: int, found: np.ndarray) -> None:
        self._found[kind, source] = found.tolist()

    def found(self, kind: int, source: int) -> list[tuple[Any, ...]]:
        """FOUND [OBJECTIVES] of a convolution, as plain tuples.

        Raises:
            InputError: no schedule fits; as the search says it.
        """
        if (kind, source) not in self._found:
            likely = () if self._found else self._likely()
            self._search(list(dict.fromkeys([*likely, (kind, source)])))
        best = self._found[kind, source]
        if not best[0][0]:
            shape, form, codewords = self.layers.convolutions[kind]
            named = replace(shape, name=self.layers.name(kind).name)
            mapping.search(named, self.accelerator, form, codewords, source=SOURCES[source])  # type: ignore[arg-type]
            raise AssertionError(f"the compiled search finds no schedule of {named.name}")
        return best

    def totals(self, plans: Sequence[Sequence[int]]) -> np.ndarray:
        """Cycles, tokens and accesses by plans, the output of the network included; int64 [n, HEAD + ACCESSES]."""
        found = np.zeros((len(plans), HEAD + ACCESSES), np.int64)
        hows, of = np.array(self.ways.rows, HOW), np.array(self.ways.of, np.int64)
        chains(self.every, self.machine, self.passes, hows, of, np.array(plans, np.int64), found)
        for memory in ("dram", "l2"):
            found[:, HEAD + ENERGIES.index(memory)] += [self._output(plan[-1]) for plan in plans]
        return found

    def _output(self, way: int) -> int:
        """Bytes of the network's output on their way to DRAM; a way to run the last layer that spills counts them."""
        place, number = self.ways.of[way]
        needed = self.needed[place] if place >= 0 else int(self.passes[number]["needed"])
        return 0 if needed > self.map_bytes else self.layers.written[-1]

    def scores(self, totals: np.ndarray) -> list[tuple[float, float, float]]:
        """Each objective of totals, as `mapping.score` adds it up."""
        return [
            mapping.score(cycles, dict(zip(ENERGIES, accesses, strict=False)), self.prices, tokens)
            for cycles, tokens, *accesses in totals.tolist()
        ]

    def by_layer(self, searched: Network, goal: int | _Shares) -> tuple[list[int], float]:
        """Ways by layer as a machine that has no more of anything chooses them, and the largest gap.

        Raises:
            InputError: a layer does not run, there or here.
        """
        layers, known = self.layers, {}
        found, left, gap = [], 0, 0.0
        for n, kind in enumerate(layers.kinds):
            source = _DRAM if layers.unread[n] else self.source(n, left)
            there = _DRAM if source == _DRAM else searched.source(n, left)
            key = kind, source, there
            if key not in known:
                known[key] = self._choice(kind, searched, goal, source, there)
                gap = max(gap, known[key].gap)
            choice = known[key]
            found.append(choice.how)
            left = 0 if choice.strips else layers.written[n]
        return found, gap

    def _choice(self, kind: int, searched: Network, goal: int | _Shares, source: int, there: int) -> _Choice:
        layers = self.layers
        if kind >= len(layers.convolutions):
            number = kind - len(layers.convolutions)
            needed, stored, operands = self.passes[number][["needed", "stored", "operands"]].item()
            if stored or needed > self.map_bytes:
                source = _DRAM
            elif source == _L1 and operands > 1:
                source = _L2
            return _Choice(self.ways.number(-1, number, (0, 0, 0, 0, 0, 0, 0, 0, source, 0)), 0.0, False)
        best = searched.found(kind, there)
        row = best[goal] if isinstance(goal, int) else min(best, key=lambda one: _share(searched, one, goal))
        how = dict(zip(FIELDS, row, strict=False))
        place = self.first[kind] + how["folded"]
        shape = layers.convolutions[kind][0]
        whole = how["columns"] == shape.out_w
        if searched is not self:
            one = whole and how["rows"] >= shape.out_h and not how["split"] and not how["folded"]
            spills = source == _DRAM or self.needed[place] > self.map_bytes
            how["source"] = _DRAM if spills else _L1 if source == _L1 and one else _L2
            if not self._runs(place, tuple(how.values())):
                raise InputError(
                    "schedule", layers.name(kind).name, "needs more than this machine has", "map anew"
                )
        return _Choice(self.ways.number(place, 0, tuple(how.values())), row[len(FIELDS)], not whole)

    def _runs(self, place: int, how: tuple[int, ...]) -> bool:
        """Whether a schedule of a smaller machine runs here."""
        if (place, how) not in self._runs_here:
            found = np.zeros(1, np.bool_)
            runs(self.every[place : place + 1], np.array([how], HOW), found)
            self._runs_here[place, how] = bool(found[0])
        return self._runs_here[place, how]

    def machines(self) -> list[Network]:
        """This one, and the network on smaller machines, whose plans it may take."""
        return [self, *(Network(self.layers, machine) for machine in smaller(self.accelerator))]

    def convolution(self, place: int) -> tuple[ConvShape, str, int]:
        """Shape, stream format and k of a problem by its number."""
        return self.layers.convolutions[bisect(self.first, place) - 1]

    def best(self, goal: int, machines: Sequence[Network]) -> tuple[list[int], np.ndarray, float]:
        """The plan that `plan.planned` finds, its totals, and the gap of the objective's own."""
        own, gap = self.by_layer(self, goal)
        plans = [own, *self._others(goal, machines)]
        totals = self.totals(plans)
        keys = [
            (score[goal], cycles)
            for score, cycles in zip(self.scores(totals), totals[:, 0].tolist(), strict=True)
        ]
        chosen = keys.index(min(keys))
        return plans[chosen], totals[chosen], gap

    def _others(self, goal: int, machines: Sequence[Network]) -> Iterator[list[int]]:
        for searched in machines:
            for other in (*range(len(OBJECTIVES)), None):
                if searched is self and other == goal:
                    continue
                try:
                    yield self.by_layer(searched, _shares(searched) if other is None else other)[0]
                except InputError:  # a smaller machine, or a schedule that a rounding keeps from this one
                    continue


def _shares(machine: Network) -> _Shares:
    """What a machine takes for the network, mapped by EDP."""
    plan, _ = machine.by_layer(machine, OBJECTIVES.index("edp"))
    ((_, energy, cycles),) = machine.scores(machine.totals([plan]))
    return _Shares(energy, cycles)


def _share(machine: Network, found: tuple[Any, ...], of: _Shares) -> float:
    """What a layer alone adds to both, as shares."""
    *_, cycles, accesses = found
    counts = dict(zip(ENERGIES, np.asarray(accesses).tolist(), strict=False))
    _, spent, taken = mapping.score(cycles, counts, machine.prices)
    return float(spent / of.energy + taken / of.cycles)


class Counting:
    """A network on a machine, to be counted.

    Attributes:
        key: of all that its totals depend on; 16 bytes.
    """

    def __init__(self, layers: Layers, accelerator: Accelerator, objective: str) -> None:
        self._network, self._objective = Network(layers, accelerator), objective
        self._machines = self._network.machines()
        hashed = blake2b(layers.key + objective.encode(), digest_size=16)
        for machine in self._machines:
            hashed.update(machine.depends_on())
        self.key = hashed.digest()

    def totals(self) -> Totals:
        """What the network takes, its output included.

        Raises:
            InputError: a layer cannot be mapped; the message names it and the limit that it breaks.
        """
        goal = OBJECTIVES.index(self._objective)

        def way(pools: Sequence[int]) -> tuple[Network, list[int], np.ndarray, float]:
            network, machines = self._network, self._machines
            if pools:
                network = Network(network.layers.riding(pools), network.accelerator)
                machines = network.machines()
            return network, *network.best(goal, machines)

        def key(found: tuple[Network, list[int], np.ndarray, float]) -> tuple[float, int]:
            network, _, totals, _ = found
            return network.scores(totals[None])[0][goal], int(totals[0])

        network, _, found, gap = pooling_where_better(self._network.layers.shapes, way, key)
        cycles, tokens, *accesses = found.tolist()
        counts = dict(zip(ENERGIES, accesses, strict=False))
        return Totals(network.layers.macs, cycles, tokens, counts, gap)


def load() -> None:
    """Loads all that single estimates take too, so that none of them waits for the compiler."""
    if not remembered.ready:
        count_layers(
            np.zeros(0, PROBLEM),
            np.zeros(0, HOW),
            np.zeros((0, LEFT), np.int64),
            np.zeros((0, len(SPENT)), np.int64),
            np.zeros((0, ACCESSES), np.int64),
        )
        remembered.ready = True


def layers_of(network: IntegerNetwork | Sequence[Shape], accelerator: Accelerator) -> Layers:
    """A network as the accelerator's array sees it; the same object as before for arrays alike.

    Raises:
        InputError: the machine cannot run a layer's weights.
    """
    key = id(network), array_of(accelerator)
    if key not in _layers:
        if isinstance(network, IntegerNetwork):
            shapes, formats = network.shapes, network_formats(network, accelerator)
        else:
            shapes = with_logits(network)
            native = native_formats(shapes, accelerator)
            formats = {layer: found[:2] for layer, found in native.items()}
        if len(_layers) >= _ARRAYS:
            _layers.clear()
        _layers[key] = network, Layers(shapes, formats)  # with the network, so that no other one has its id
    return _layers[key][1]


def forget() -> None:
    """Empties the memory of past searches; for benchmarks."""
    remembered.searches.clear()
    _layers.clear()
