"""The designs of a sweep: a TOML file of what may be chosen.

    networks = ["resnet50", "mobilenet-v2"]
    objectives = ["energy", "area"]
    constraints = ["area <= 5 mm2", "time <= 10 ms"]

    [accelerator]
    family = ["ews", "ews-cms"]                      # with size; or preset = ["ews-16", "mine.toml"]
    size = [16, 32]
    l1_bytes = {from = 65536, to = 524288, factor = 2}
    wrf_depth = {from = 4, to = 32, step = 4}
    technology = "sg13g2"

    [mapping]
    objective = ["edp", "energy"]

    [accuracy]                                       # percent; only for the objective `accuracy`
    resnet50 = 76.1

A value is one choice, a list several, a table a range with both ends. Files that a method made with different settings
are one network whose name has the settings in braces, and `[method]` says which there are:

    networks = ["mvq-{k}-{d}.safetensors"]

    [method]
    k = [64, 256]
    d = [8, 16]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from pathlib import Path
from string import Formatter
from typing import Any

from codeword.sweeping.metrics import ACCURACY, Constraint, Metric, constraint, metric
from sim import accelerator as accelerators
from sim.errors import InputError, nearest
from sim.files import read_toml
from sim.machine import KINDS, machine
from sim.systolic.mapping import OBJECTIVES

MOST_VALUES = 10_000
"""Of one range."""

_TABLES = ("networks", "objectives", "constraints", "accelerator", "mapping", "method", "accuracy")
_METHOD = "method."
_PRESET = ("preset", "family", "size")


@dataclass(frozen=True)
class Dimension:
    """What may be chosen of one field.

    Attributes:
        ordered: the values are numbers that rise, so that neighbours are alike.
    """

    name: str
    values: tuple[Any, ...]

    @property
    def ordered(self) -> bool:
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)
        return numbers and all(a < b for a, b in zip(self.values, self.values[1:], strict=False))


Design = tuple[int, ...]
"""The choice of each dimension, by its place among the values."""


@dataclass(frozen=True)
class Space:
    """Every combination of choices.

    Attributes:
        networks: names; those of files may have settings of a method in braces.
        dimensions: `mapping.objective`, `method.SETTING` and fields of the accelerator; those with one value too.
        accuracy: percent, by network, its settings filled in.
        folder: that TOML files of the space are named from.
    """

    networks: tuple[str, ...]
    dimensions: tuple[Dimension, ...]
    objectives: tuple[Metric, ...]
    constraints: tuple[Constraint, ...] = ()
    accuracy: Mapping[str, float] = field(default_factory=dict)
    folder: Path = Path()

    @property
    def size(self) -> int:
        """Number of designs, legal or not."""
        return prod(len(dimension.values) for dimension in self.dimensions)

    @property
    def varied(self) -> tuple[Dimension, ...]:
        return tuple(dimension for dimension in self.dimensions if len(dimension.values) > 1)

    def design(self, number: int) -> Design:
        """One of `size`; the last dimension changes fastest."""
        places = []
        for dimension in reversed(self.dimensions):
            number, place = divmod(number, len(dimension.values))
            places.append(place)
        return tuple(reversed(places))

    def choices(self, design: Design) -> dict[str, Any]:
        """Value of each dimension."""
        pairs = zip(self.dimensions, design, strict=True)
        return {dimension.name: dimension.values[place] for dimension, place in pairs}

    def accelerator(self, design: Design) -> Any:
        """The description of a design.

        Raises:
            InputError: its values do not go together.
        """
        chosen = {name: value for name, value in self.choices(design).items() if "." not in name}
        family, size = chosen.pop("family", None), chosen.pop("size", None)
        preset = chosen.pop("preset", None) or f"{family}-{size}"
        if str(preset).endswith(".toml"):
            preset = self.folder / preset
        return accelerators.load(preset, chosen)

    def names(self, design: Design) -> tuple[str, ...]:
        """The networks of a design, the settings of their method filled in."""
        settings = {
            name.removeprefix(_METHOD): value
            for name, value in self.choices(design).items()
            if name.startswith(_METHOD)
        }
        return tuple(network.format(**settings) for network in self.networks)

    @property
    def all_names(self) -> tuple[str, ...]:
        """Of every design."""
        places = [
            range(len(one.values)) if one.name.startswith(_METHOD) else range(1) for one in self.dimensions
        ]
        return tuple(dict.fromkeys(name for design in product(*places) for name in self.names(design)))

    def objective(self, design: Design) -> str:
        """Of the mapping."""
        return str(self.choices(design)["mapping.objective"])


def read(path: str | Path) -> Space:
    """A space from its TOML file.

    Raises:
        InputError: unreadable, a table, field or metric that nobody knows, no network, no objective, or a range
            without a value.
    """
    path = Path(path)
    return parse(read_toml(path, "space"), path.parent)


def parse(tables: Mapping[str, Any], folder: Path = Path()) -> Space:
    """Likewise, from its tables."""
    for name in tables:
        if name not in _TABLES:
            raise InputError("space", name, "no such entry", nearest(name, _TABLES))
    networks = _names("networks", tables.get("networks", []), "resnet50")
    objectives = tuple(
        metric("objectives", name)
        for name in _names("objectives", tables.get("objectives", ["energy", "cycles"]), "energy")
    )
    constraints = tables.get("constraints", [])
    dimensions = (
        _accelerator(_table(tables, "accelerator"))
        + _mapping(_table(tables, "mapping"))
        + _method(_table(tables, "method"), networks)
    )
    space = Space(
        networks,
        dimensions,
        objectives,
        tuple(map(constraint, constraints if isinstance(constraints, list) else [constraints])),
        folder=folder,
    )
    space = replace(space, accuracy=_accuracy(_table(tables, "accuracy"), space.all_names))
    if ACCURACY in (*objectives, *(one.metric for one in space.constraints)):
        for network in space.all_names:
            if network not in space.accuracy:
                problem = "is asked for, and not known of this network"
                raise InputError(
                    "accuracy", network, problem, f"write it, in percent, under [accuracy]: {network} = 90"
                )
    return space


def _table(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = tables.get(name, {})
    if not isinstance(found, dict):
        raise InputError(name, found, "is no table", f"write [{name}] on a line of its own")
    return found


def _names(field: str, given: Any, example: str) -> tuple[str, ...]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(field, given, "is no list of names", f'write {field} = ["{example}"]')
    if len(set(names)) < len(names):
        raise InputError(field, given, "names one twice", "leave the second out")
    return tuple(names)


def _accelerator(table: Mapping[str, Any]) -> tuple[Dimension, ...]:
    by_size = "family" in table or "size" in table
    if ("preset" in table and by_size) or (
        "preset" not in table and not ("family" in table and "size" in table)
    ):
        problem = (
            "gives no preset to start from" if "preset" not in table else "gives two presets to start from"
        )
        raise InputError("accelerator", dict(table), problem, 'give preset = ["ews-16"], or family and size')
    known = {name for kind in KINDS for name in machine(kind).description.model_fields} - {"name", "kind"}
    for name in table:
        if name not in known and name not in _PRESET:
            raise InputError("accelerator", name, "no such field", nearest(name, known | set(_PRESET)))
    first = sorted(table, key=lambda name: name not in _PRESET)  # the others in the order of the file
    return tuple(Dimension(name, _values(f"accelerator.{name}", table[name])) for name in first)


def _mapping(table: Mapping[str, Any]) -> tuple[Dimension, ...]:
    for name in table:
        if name != "objective":
            raise InputError("mapping", name, "no such field", "use 'objective'")
    values = _values("mapping.objective", table.get("objective", OBJECTIVES[0]))
    for value in values:
        if value not in OBJECTIVES:
            raise InputError("mapping.objective", value, "unknown", f"use one of {', '.join(OBJECTIVES)}")
    return (Dimension("mapping.objective", values),)


def _method(table: Mapping[str, Any], networks: Sequence[str]) -> tuple[Dimension, ...]:
    """Settings of a method, each in the name of a network, and all of those that names have."""
    used: dict[str, str] = {}
    for network in networks:
        try:
            parts = list(Formatter().parse(network))
        except ValueError as error:
            problem = f"has braces that do not match: {error}"
            raise InputError("networks", network, problem, "close them") from None
        used |= {setting: network for _, setting, _, _ in parts if setting is not None}
    for setting, network in used.items():
        if setting not in table:
            fix = f"write it under [method]: {setting or 'k'} = [64, 256]"
            raise InputError("networks", network, f"has no values for {{{setting}}}", fix)
    for name in table:
        if name not in used:
            problem = "is in the name of no network"
            raise InputError("method", name, problem, f"name one after it, {{{name}}} in braces")
    return tuple(Dimension(_METHOD + name, _values(f"method.{name}", table[name])) for name in table)


def _accuracy(table: Mapping[str, Any], networks: Sequence[str]) -> dict[str, float]:
    for name, value in table.items():
        if name not in networks:
            raise InputError("accuracy", name, "is no network of the space", nearest(name, networks))
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
            raise InputError(f"accuracy.{name}", value, "is no percentage", "give a number from 0 to 100")
    return {name: float(value) for name, value in table.items()}


def _values(field: str, given: Any) -> tuple[Any, ...]:
    """One value, a list of them, or a range."""
    if isinstance(given, dict):
        return _range(field, given)
    if not isinstance(given, list):
        return (given,)
    if not given:
        raise InputError(field, given, "has no value", "give one or more")
    values = tuple(tuple(value) if isinstance(value, list) else value for value in given)
    if len({(type(value), value) for value in values if not isinstance(value, dict)}) < len(values):
        raise InputError(
            field, given, "has a value twice, or a table among them", "give different plain values"
        )
    return values


def _range(field: str, given: Mapping[str, Any]) -> tuple[int | float, ...]:
    """Both ends belong to it, the upper one if a step or factor leads there."""
    fix = "write {from = 16, to = 128, factor = 2} or {from = 4, to = 32, step = 4}"
    step = next((name for name in ("step", "factor") if name in given), None)
    numbers = [v for v in given.values() if isinstance(v, int | float) and not isinstance(v, bool)]
    if step is None or set(given) != {"from", "to", step} or len(numbers) < 3:
        raise InputError(field, dict(given), "is no range", fix)
    value, last, by = given["from"], given["to"], given[step]
    if not (by > 0 if step == "step" else by > 1 and value > 0) or last < value:
        raise InputError(field, dict(given), "does not rise from one end to the other", fix)
    values = []
    while value <= last:
        values.append(value)
        if len(values) > MOST_VALUES:
            raise InputError(field, dict(given), f"has over {MOST_VALUES:,} values", "take larger steps")
        value = value + by if step == "step" else value * by
    return tuple(values)
