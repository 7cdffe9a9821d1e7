"""Reader of Liberty files: text to a tree of groups, and typed access to what the flow needs."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rtl.synth.function import Expression, parse
from rtl.synth.states import FlipFlop, GatePins, LatchPins
from sim.errors import InputError

# One statement: `name : value;`, `name (arguments);` or the head of a group, `name (arguments) {`.
_STATEMENT = re.compile(
    r"""
    (?P<skip> (?: \s++ | ; | \\\r?\n | /\*.*?\*/ | //[^\n]*+ )++ )
  | (?P<close> \} )
  | (?P<name> [A-Za-z_][\w.\-]*+ ) \s*+ (?:
        : \s*+ (?P<value> "[^"]*+" | [^;\n{}"]*+ )
      | \( (?P<arguments> (?: [^()"]++ | "[^"]*+" )*+ ) \) \s*+ (?P<open> \{ )?
    )""",
    re.X | re.S,
)
_ARGUMENT = re.compile(r'"([^"]*)"|([^\s,"\\]+)')
_SUFFIXES = (".lib", ".lib.gz")
_UNMAPPED = {"latch", "statetable", "ff_bank", "latch_bank", "bus", "bundle"}
_SCALE = {"ff": 1e-15, "pf": 1e-12, "nf": 1e-9}


@dataclass
class Group:
    """`kind (arguments) { attributes, groups }`.

    Attributes:
        attributes: name and raw value or arguments, in order.
    """

    kind: str
    arguments: tuple[str, ...]
    attributes: list[tuple[str, str]] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        """Value of an attribute without quotes; the last one counts."""
        return next(
            (value.strip().strip('"') for found, value in reversed(self.attributes) if found == name), default
        )

    def number(self, name: str, default: float = 0.0) -> float:
        return float(self.get(name, str(default)))

    def expression(self, name: str) -> Expression | None:
        text = self.get(name)
        return parse(text) if text else None

    def list(self, name: str) -> tuple[str, ...]:
        """Arguments of a complex attribute such as `index_1` or `values`."""
        return _arguments(next((value for found, value in self.attributes if found == name), ""))

    def all(self, kind: str) -> Iterator[Group]:
        return (group for group in self.groups if group.kind == kind)


def _arguments(text: str) -> tuple[str, ...]:
    return tuple(quoted or plain for quoted, plain in _ARGUMENT.findall(text))


@dataclass(frozen=True)
class Pin:
    """Attributes: `capacitance` in farads; `timing` and `power`: its arcs, as they are in the file."""

    name: str
    direction: str
    capacitance: float
    clock: bool
    function: Expression | None
    timing: tuple[Group, ...]
    power: tuple[Group, ...]


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell; `group` holds what has no field here."""

    name: str
    area: float
    pins: dict[str, Pin]
    flip_flop: FlipFlop | None
    usable: bool
    group: Group
    clock_gate: GatePins | None = None
    latch: LatchPins | None = None

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        return tuple(pin.name for pin in self.pins.values() if pin.direction == "input")

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        return tuple(pin.name for pin in self.pins.values() if pin.direction == "output")

    @property
    def has_timing(self) -> bool:
        return any(pin.timing for pin in self.pins.values())

    @property
    def has_power(self) -> bool:
        return any(pin.power for pin in self.pins.values())

    def computes(self, *truths: tuple[int, ...]) -> bool:
        """It is combinational with one output and one of these truth tables."""
        if not self.usable or self.flip_flop or len(self.outputs) != 1:
            return False
        function = self.pins[self.outputs[0]].function
        return (
            function is not None
            and set(function.pins) <= set(self.inputs)
            and 2 ** len(self.inputs) == len(truths[0])
            and function.truth(self.inputs) in truths
        )


@dataclass(frozen=True, eq=False)
class Library:
    """A cell library, of one file or several.

    Attributes:
        name: of its first file's `library` group.
        files: as they were given.
        texts: their contents.
    """

    name: str
    files: tuple[Path, ...]
    texts: tuple[str, ...]
    cells: dict[str, Cell]

    def smallest(self, *truths: tuple[int, ...]) -> Cell | None:
        found = [cell for cell in self.cells.values() if cell.computes(*truths)]
        return min(found, key=lambda cell: (cell.area, cell.name)) if found else None

    @property
    def driver(self) -> Cell:
        """What drives the inputs in timing: the smallest buffer, or inverter where there is none."""
        cell = self.smallest((0, 1)) or self.smallest((1, 0))
        assert cell is not None  # checked when read
        return cell

    @cached_property
    def clock_gate(self) -> Cell | None:
        """The smallest clock gate, with a scan pin if the library has such; mappers leave them to flows."""
        found = [
            (cell, cell.clock_gate) for cell in self.cells.values() if cell.clock_gate and cell.has_timing
        ]
        best = min(found, key=lambda one: (not one[1].scan, one[0].area, one[0].name), default=None)
        return best and best[0]

    @cached_property
    def latch(self) -> Cell | None:
        """The smallest latch that is open while its enable is 1."""
        found = [
            cell
            for cell in self.cells.values()
            if cell.latch and cell.pins[cell.latch.enable].clock and cell.group.get("dont_use") != "true"
        ]
        return min(found, key=lambda cell: (cell.area, cell.name), default=None)

    @property
    def ties(self) -> tuple[tuple[Cell, str], tuple[Cell, str]] | None:
        """Cells that give 0 and 1, with the pin that does."""
        low, high = self._tie("0"), self._tie("1")
        return (low, high) if low and high else None

    def _tie(self, value: str) -> tuple[Cell, str] | None:
        found = [
            (cell, pin)
            for cell in self.cells.values()
            if cell.usable and not cell.inputs
            for pin in cell.outputs
            if cell.pins[pin].function == Expression(value)
        ]
        return min(found, key=lambda tie: (tie[0].area, tie[0].name)) if found else None


def read(*paths: str | Path) -> Library:
    """Reads a library from .lib and .lib.gz files; a folder stands for those directly in it.

    Raises:
        InputError: unreadable, truncated, or without a cell that the mapper needs.
    """
    files = tuple(file for path in paths for file in _files(Path(path)))
    if not files:
        raise InputError("liberty", [str(path) for path in paths], "no file given", "give a .lib file")
    texts = tuple(_text(file) for file in files)
    trees = [tree(text, file) for text, file in zip(texts, files, strict=True)]
    cells: dict[str, Cell] = {}
    for group, file in zip(trees, files, strict=True):
        found = {cell.name: cell for cell in _cells(group, file)}
        if not found:
            raise InputError("liberty", str(file), "holds no cells", "give a standard-cell library")
        cells |= found
    name = trees[0].arguments[0] if trees[0].arguments else files[0].stem
    library = Library(name, files, texts, cells)
    _check(library)
    return library


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.name.endswith(_SUFFIXES))
    if not found:
        raise InputError("liberty", str(path), "holds no .lib or .lib.gz file", "give the file itself")
    return found


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise InputError(
            "liberty", str(file), problem.lower(), "give a readable and complete .lib or .lib.gz file"
        ) from None
    return data.decode(errors="replace")


def tree(text: str, file: Path) -> Group:
    """The `library` group of a Liberty text; `file` is for messages."""
    top = Group("", ())
    open_groups = [top]
    at = 0
    while at < len(text):
        match = _STATEMENT.match(text, at)
        if match is None:
            raise _unreadable(text, at, file)
        at = match.end()
        if match["close"]:
            if len(open_groups) == 1:
                raise _unreadable(text, match.start(), file)
            open_groups.pop()
        elif match["open"]:
            group = Group(match["name"], _arguments(match["arguments"]))
            open_groups[-1].groups.append(group)
            open_groups.append(group)
        elif match["name"]:
            value = match["value"] if match["value"] is not None else match["arguments"]
            open_groups[-1].attributes.append((match["name"], value))
    if len(open_groups) > 1:
        raise _truncated(open_groups, file)
    found = next(top.all("library"), None)
    if found is None:
        raise InputError("liberty", str(file), "has no library group", "give a Liberty file")
    return found


def _unreadable(text: str, at: int, file: Path) -> InputError:
    line = text.count("\n", 0, at) + 1
    words = text[at : at + 30].split("\n")[0]
    rest = text[at:]
    # A last statement that is cut off cannot be told from a broken one.
    if "}" not in rest:
        return InputError(
            "liberty",
            str(file),
            f"ends inside a statement (line {line}, {words!r})",
            "the file is truncated; fetch it again",
        )
    return InputError("liberty", str(file), f"line {line} cannot be read: {words!r}", "correct it")


def _truncated(open_groups: Iterable[Group], file: Path) -> InputError:
    inner = [group for group in open_groups if group.kind][-1]
    return InputError(
        "liberty",
        str(file),
        f"ends inside {inner.kind} ({', '.join(inner.arguments)})",
        "the file is truncated; fetch it again",
    )


def _cells(library: Group, file: Path) -> Iterator[Cell]:
    unit = library.list("capacitive_load_unit") or ("1", "pf")
    farad = float(unit[0]) * _SCALE.get(unit[1].lower(), 1e-12)
    for group in library.all("cell"):
        name = group.arguments[0]
        try:
            yield _cell(group, name, farad)
        except (InputError, ValueError) as error:
            raise InputError("liberty", str(file), f"cell {name}: {error}", "correct it") from None


def _cell(group: Group, name: str, farad: float) -> Cell:
    pins = {pin: _pin(found, pin, farad) for found in group.all("pin") for pin in found.arguments}
    flip_flop = next((_flip_flop(found) for found in group.all("ff")), None)
    usable = group.get("dont_use") != "true" and not any(found.kind in _UNMAPPED for found in group.groups)
    return Cell(name, group.number("area"), pins, flip_flop, usable, group, _clock_gate(group), _latch(group))


def _clock_gate(group: Group) -> GatePins | None:
    if group.get("clock_gating_integrated_cell") not in ("latch_posedge", "latch_posedge_precontrol"):
        return None
    pins = {
        what: next((pin.arguments[0] for pin in group.all("pin") if pin.get(f"clock_gate_{what}_pin")), None)
        for what in ("clock", "enable", "out", "test")
    }
    clock, enable, output = pins["clock"], pins["enable"], pins["out"]
    if clock is None or enable is None or output is None:
        raise ValueError("a clock gate whose clock, enable or output pin is not marked")
    return GatePins(clock, enable, output, pins["test"])


def _latch(group: Group) -> LatchPins | None:
    state = next(group.all("latch"), None)
    if state is None or group.get("clock_gating_integrated_cell"):
        return None
    enable, data = state.expression("enable"), state.expression("data_in")
    held = Expression("pin", state.arguments[0])
    outputs = [pin.arguments[0] for pin in group.all("pin") if pin.expression("function") == held]
    if not outputs or any(one is None or one.truth(one.pins) != (0, 1) for one in (enable, data)):
        return None
    idle = {}
    for name in ("clear", "preset"):
        if (acts := state.expression(name)) is not None:
            if len(acts.pins) != 1:
                return None
            idle[acts.pins[0]] = acts.truth(acts.pins).index(0)
    assert enable is not None
    assert data is not None
    return LatchPins(data.pins[0], enable.pins[0], outputs[0], idle)


def _pin(group: Group, name: str, farad: float) -> Pin:
    return Pin(
        name,
        group.get("direction"),
        group.number("capacitance") * farad,
        group.get("clock") == "true",
        None if group.get("three_state") else group.expression("function"),
        tuple(group.all("timing")),
        tuple(group.all("internal_power")),
    )


def _flip_flop(group: Group) -> FlipFlop:
    clocked_on, next_state = group.expression("clocked_on"), group.expression("next_state")
    if clocked_on is None or next_state is None or len(group.arguments) != 2:
        raise ValueError("its ff group lacks clocked_on, next_state or a name")
    return FlipFlop(
        *group.arguments,
        clocked_on,
        next_state,
        group.expression("clear"),
        group.expression("preset"),
        (group.get("clear_preset_var1", "X"), group.get("clear_preset_var2", "X")),
    )


def _check(library: Library) -> None:
    """The mapper reaches every function from these cells."""
    needed = {
        "an inverter": library.smallest((1, 0)),
        "a 2-input NAND or NOR": library.smallest((1, 1, 1, 0), (1, 0, 0, 0)),
        "a D flip-flop": next((cell for cell in library.cells.values() if _is_register(cell)), None),
    }
    for what, cell in needed.items():
        if cell is None:
            names = ", ".join(str(file) for file in library.files)
            raise InputError(
                "liberty",
                names,
                f"lacks {what}, without which nothing can be mapped",
                "add the library's other files, or give a standard-cell library",
            )


def _is_register(cell: Cell) -> bool:
    state = cell.flip_flop
    return bool(cell.usable and state and state.next_state.pins and state.clocked_on.pins)
