"""Many runs that together say whether the Verilog of an accelerator is right: random networks, and misuse."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rtl.bus.command_buffer import COMMAND_BURST
from rtl.geometry import Geometry
from rtl.verify import build, misuse, simulators
from rtl.verify.bench import LATE
from rtl.verify.random_network import Case, random_case
from rtl.verify.result import VerifyResult
from rtl.verify.run import Conditions
from rtl.verify.session import Session, Start, run_session
from rtl.verify.verify import compare
from sim.accelerator import Accelerator
from sim.steps import steps
from sim.systolic.engine import Simulation, simulate

NETWORKS = 24
"""By default; `python -m evidence.mutation.lines` shows what fewer miss."""
AT_ONCE, TOGETHER = 2, 8
"""Networks of the first simulation and of the others, one start after the other."""
ICARUS_SECONDS = 120
"""Up to which "auto" is Icarus."""
PATIENCE = 500
"""Cycles of the watchdog beyond those of the network."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A case with what the engine says of it."""

    seed: int
    case: Case
    expected: Simulation

    @property
    def cycles(self) -> int:
        return sum(layer.total_cycles for layer in self.expected.layers)

    @property
    def patience(self) -> int:
        """Cycles of the watchdog that are enough, commands that come late before the run begins included."""
        bursts = sum(-(-stream.words // COMMAND_BURST) for stream in self.case.image.streams.values())
        return 2 * self.cycles + PATIENCE + LATE * bursts


def prepare(accelerator: Accelerator, seed: int, l2_holds_all: bool = False) -> Prepared:
    case = random_case(accelerator, seed, l2_holds_all)
    expected = simulate(
        case.network, accelerator, case.images, compare=False, plans=case.plans, l2_holds_all=l2_holds_all
    )
    return Prepared(seed, case, expected)


def verify_many(
    accelerator: Accelerator,
    seed: int = 0,
    networks: int = NETWORKS,
    simulator: str = "auto",
    rtl_dir: str | Path | None = None,
    *,
    stalls: bool = False,
    l2_holds_all: bool = False,
) -> VerifyResult:
    """Random networks one after the other, some again with stalls, wrong starts, error responses, registers.

    It stops at the first difference.

    Args:
        seed: of the first network; the next one has the next.
        stalls: all with stalls; cycles are then not compared.

    Raises:
        InputError: the hardware cannot be, or the simulator or the export is missing.
    """
    Geometry(accelerator)
    seeds = steps(range(seed, seed + networks), "drawing networks", networks)
    prepared = [prepare(accelerator, one, l2_holds_all) for one in seeds]
    return run_campaign(prepared, simulator, Path(rtl_dir) if rtl_dir else None, stalls)


def run_campaign(
    prepared: Sequence[Prepared], simulator: str, rtl_dir: Path | None, stalls: bool = False
) -> VerifyResult:
    """`verify_many` on networks that are drawn."""
    begin = time.perf_counter()
    accelerator = prepared[0].case.image.accelerator
    chosen = _chosen(simulator, accelerator, 2 * sum(one.cycles for one in prepared))
    results: list[VerifyResult] = []
    changed: set[int] = set()
    for found, session in _runs(prepared, chosen, rtl_dir, stalls, begin):
        results.append(found)
        changed |= session.changed
        if not found.equal:
            break
    whole = summed(results)
    return replace(
        whole,
        networks=len(prepared),
        simulator=chosen,
        wall_s=time.perf_counter() - begin,
        idle=build.idle_ports(accelerator, chosen, rtl_dir, changed) if whole.equal else None,
    )


def _chosen(simulator: str, accelerator: Accelerator, cycles: int) -> str:
    """Icarus, which names idle ports and builds at once, as long as it takes no minutes."""
    if simulator == "auto" and simulators.seconds("icarus", accelerator, cycles) < ICARUS_SECONDS:
        return "icarus"
    return simulators.choose(simulator, accelerator, cycles)


def _runs(
    prepared: Sequence[Prepared], simulator: str, rtl_dir: Path | None, stalls: bool, begin: float
) -> Iterator[tuple[VerifyResult, Session]]:
    """A result for each start, cheap and telling ones first."""
    first, rest = prepared[:AT_ONCE], prepared[AT_ONCE:]
    groups = [first, *(rest[n : n + TOGETHER] for n in range(0, len(rest), TOGETHER))]
    for number, group in enumerate(groups):
        conditions = Conditions(group[0].seed if stalls else None, late=True)
        yield from _networks(group, simulator, rtl_dir, conditions, begin)
        if number == 0:
            yield from _misuses(group[0], simulator, rtl_dir, begin)
    yield from _networks(groups[-1], simulator, rtl_dir, Conditions(prepared[0].seed + 1), begin)


def _networks(
    group: Sequence[Prepared], simulator: str, rtl_dir: Path | None, conditions: Conditions, begin: float
) -> Iterator[tuple[VerifyResult, Session]]:
    """Each of them, and the first one again: nothing may be left of a run."""
    ways = [*group, group[0]]
    orders = (("maps", "weights", "commands"), ("commands", "maps", "weights"))
    starts = [
        Start(one.case.image, one.case.images[0], {"watchdog": one.patience}, order=orders[number % 2])
        for number, one in enumerate(ways)
    ]
    limit = sum(4 * one.patience + 8 * PATIENCE for one in ways)
    session = run_session(starts, limit, simulator, rtl_dir, conditions)
    stalled = conditions.stalls is not None
    for one, run in zip(ways, session.runs, strict=False):
        found = compare(one.case.image, one.expected, run, stalled, simulator, begin)
        yield named(found, f"seed {one.seed}{', stalls' if stalled else ''}: "), session
    if session.limited or session.strays or len(session.runs) < len(ways):
        yield (
            _failed("the runs did not end" if session.limited else "a word beyond all maps has changed"),
            session,
        )


def _misuses(
    one: Prepared, simulator: str, rtl_dir: Path | None, begin: float
) -> Iterator[tuple[VerifyResult, Session]]:
    image, inputs = one.case.image, one.case.images[0]
    words = len(image.write_input(inputs))
    built = build.build(image.accelerator, simulator, rtl_dir, words)
    problem, session = misuse.registers(image, built, inputs, simulator)
    yield _failed(problem), session
    patience = one.cycles + PATIENCE
    wrong = list(misuse.wrong_starts(image, patience))
    starts = [Start(image, inputs, bad.registers, bad.flips) for bad in wrong]
    session = run_session(
        [*starts, Start(image, inputs)], (len(wrong) + 2) * 2 * (patience + 4 * PATIENCE), simulator, rtl_dir
    )
    for bad, run, bases in zip(wrong, session.runs, session.bases, strict=False):
        problem = bad.problem(run, bases)
        yield _failed(problem and f"start with {bad.says}: {problem}"), session
    if len(session.runs) <= len(wrong):
        yield _failed("a start that must fail does not end"), session
    else:
        found = compare(image, one.expected, session.runs[-1], False, simulator, begin)
        yield named(found, f"seed {one.seed}, after wrong starts: "), session
    limit = 4 * one.cycles + 10 * PATIENCE
    for problem, session in misuse.answers(image, inputs, limit, simulator, rtl_dir):
        yield _failed(problem), session


def named(found: VerifyResult, place: str) -> VerifyResult:
    """The result with `place` before the names of its layers and its first mismatch."""
    named = replace(found, layers=tuple(replace(layer, name=place + layer.name) for layer in found.layers))
    return replace(named, first_mismatch=place + found.first_mismatch if found.first_mismatch else "")


def _failed(problem: str) -> VerifyResult:
    """A run of which nothing is compared but how it ends; "" for one that ends well."""
    return VerifyResult(0, int(bool(problem)), 0, 0, {}, {}, (), problem, "", 0.0, 0.0, 0.0)


def summed(results: Sequence[VerifyResult]) -> VerifyResult:
    """Of several runs as of one; the first mismatch of all. Simulator and seconds are the caller's."""

    def counters(which: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for one in results:
            for name, count in getattr(one, which).items():
                found[name] = found.get(name, 0) + count
        return found

    speeds = [one.cycles_per_second for one in results if one.cycles_per_second]
    return VerifyResult(
        words_compared=sum(one.words_compared for one in results),
        mismatches=sum(one.mismatches for one in results),
        cycles_model=sum(one.cycles_model for one in results),
        cycles_rtl=sum(one.cycles_rtl for one in results),
        counters_model=counters("counters_model"),
        counters_rtl=counters("counters_rtl"),
        layers=tuple(layer for one in results for layer in one.layers),
        first_mismatch=next((one.first_mismatch for one in results if one.first_mismatch), ""),
        simulator="",
        wall_s=0.0,
        build_s=sum(one.build_s for one in results),
        cycles_per_second=sum(speeds) / len(speeds) if speeds else 0.0,
        warnings=tuple(dict.fromkeys(warning for one in results for warning in one.warnings)),
    )
