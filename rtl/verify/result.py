"""What a comparison of RTL and engine found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sim.saved import Result


@dataclass(frozen=True)
class LayerResult:
    """One layer.

    Attributes:
        words_compared: channels of the pixels that it wrote.
        cycles_model, cycles_rtl: from its cycle 0 to its last one.
        counters_model, counters_rtl: by name; without what the weight loader counts, which runs ahead.
    """

    name: str
    words_compared: int
    cycles_model: int
    cycles_rtl: int
    counters_model: dict[str, int]
    counters_rtl: dict[str, int]


@dataclass(frozen=True)
class VerifyResult(Result):
    """The comparison of one run.

    Attributes:
        words_compared: values in memory, of every layer.
        mismatches: values that differ, counters and cycles that differ, layers missing, breaches of protocol.
        cycles_model, cycles_rtl: of all layers.
        counters_model, counters_rtl: by name, of the whole run.
        layers: layer by layer.
        first_mismatch: says where, expected and found; "" if all is equal.
        simulator: which one ran.
        wall_s: seconds in all; build_s of them exporting and building.
        cycles_per_second: of the simulation.
        warnings: why cycles may differ; see `rtl.compiler.Image`.
        networks: how many ran.
        idle: what the runs say nothing about: COMPONENT.PORT whose value never changed, or COMPONENT where none
            did; None where that was not watched (Icarus does), or where something differs.
        waves: files of the RTL's signals and of the engine's; shown: the cycles in them, first and end.
        first_cycle: what differs first in time, where waves were asked for.
    """

    words_compared: int
    mismatches: int
    cycles_model: int
    cycles_rtl: int
    counters_model: dict[str, int]
    counters_rtl: dict[str, int]
    layers: tuple[LayerResult, ...]
    first_mismatch: str
    simulator: str
    wall_s: float
    build_s: float
    cycles_per_second: float
    warnings: tuple[str, ...] = ()
    networks: int = 1
    idle: tuple[str, ...] | None = None
    waves: tuple[str, ...] = ()
    shown: tuple[int, int] | None = None
    first_cycle: str = ""

    @property
    def verb(self) -> str:
        return "verify"

    @property
    def equal(self) -> bool:
        return self.mismatches == 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
