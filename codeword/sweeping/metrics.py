"""What a design is judged by, and the bounds that it must keep."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sim.errors import InputError, nearest
from sim.estimate import Estimate

_PREFIXES = {"p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Metric:
    """A figure of a design on a network, a column of the results.

    Attributes:
        unit: of the column; those of seconds and joules take an SI prefix in a constraint.
        larger: more of it is better.
        of_design: the same on every network.
    """

    name: str
    unit: str
    of: Callable[[Estimate], float | None]
    larger: bool = False
    of_design: bool = False


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


METRICS = {
    metric.name: metric
    for metric in (
        Metric("cycles", "", lambda found: found.cost.cycles),
        Metric("time", "s", lambda found: found.cost.time_s),
        Metric("energy", "J", lambda found: _times(found.cost.total_pj, 1e-12)),
        Metric("energy_without_dram", "J", lambda found: _times(found.cost.total_without_dram_pj, 1e-12)),
        Metric("edp", "Js", lambda found: _times(found.cost.total_pj, found.cost.time_s * 1e-12)),
        Metric("area", "mm2", lambda found: found.cost.total_mm2, of_design=True),
        Metric("utilization", "", lambda found: found.cost.utilization, larger=True),
        Metric("tops", "TOPS", lambda found: found.cost.tops, larger=True),
        Metric("tops_per_watt", "TOPS/W", lambda found: found.cost.tops_per_watt, larger=True),
        Metric(
            "tops_per_watt_with_dram", "TOPS/W", lambda found: found.cost.tops_per_watt_with_dram, larger=True
        ),
    )
}
"""By name. `accuracy`, in percent, is known of a network and not counted: the space gives it."""

ACCURACY = Metric("accuracy", "%", lambda _: None, larger=True)


def metric(field: str, name: str) -> Metric:
    """Raises InputError, naming the field of the space that asked for it, where there is no such metric."""
    known = METRICS | {ACCURACY.name: ACCURACY}
    if name not in known:
        raise InputError(field, name, "is no metric", nearest(name, known))
    return known[name]


@dataclass(frozen=True)
class Constraint:
    """`METRIC <= VALUE UNIT` or `>=`; on every network."""

    text: str
    metric: Metric
    least: bool
    bound: float

    def violation(self, value: float | None) -> float:
        """By how much of the bound a value breaks it; 0 or less where it keeps it. What is unknown breaks it."""
        if value is None:
            return 1.0
        over = self.bound - value if self.least else value - self.bound
        return over / (abs(self.bound) or 1.0)


def constraint(text: object) -> Constraint:
    """Raises InputError where the text is no constraint."""
    match = (
        re.fullmatch(r"\s*(\w+)\s*(<=|>=)\s*([-+.\deE]+)\s*([\w/%]*)\s*", text)
        if isinstance(text, str)
        else None
    )
    fix = 'write for example "area <= 5 mm2" or "time <= 10 ms"'
    if match is None:
        raise InputError("constraints", text, "is not METRIC <= VALUE UNIT", fix)
    name, sign, number, unit = match.groups()
    found = metric("constraints", name)
    try:
        bound = float(number)
    except ValueError:
        raise InputError("constraints", text, f"{number!r} is no number", fix) from None
    scale = _scale(unit, found.unit)
    if scale is None:
        raise InputError("constraints", text, f"{name} is counted in {found.unit or 'plain numbers'}", fix)
    return Constraint(str(text), found, sign == ">=", bound * scale)


def _scale(given: str, unit: str) -> float | None:
    """What a value in the given unit is multiplied by; None for another kind of unit."""
    if given in ("", unit):
        return 1.0
    prefixed = unit in ("s", "J", "") and given.endswith(unit)
    return _PREFIXES.get(given.removesuffix(unit)) if prefixed else None
