"""Mutants of exported Verilog: one edit of one line, as a hand would make it."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from evidence.mutation.equivalence import miter, proven_without_registers
from evidence.mutation.storing import RANGES
from rtl import verilog, yosys
from rtl.verify.campaign import NETWORKS, Prepared, prepare, run_campaign
from sim.accelerator import preset
from sim.errors import InputError

_SKIPPED = re.compile(
    r"^\s*(//|`|module|endmodule|input|output|wire|reg|integer|initial|for\b|\w+\[\w+\] = |end\b|\)|$)"
)
"""Lines without a design in them: comments, declarations, and what a memory holds before anything is written."""

Edit = Callable[[re.Match[str], np.random.Generator], str]


def _other(*names: str) -> Mapping[str, str]:
    return {f" {a} ": f" {b} " for a, b in (name.split() for name in names)}


_OPERATORS = _other(
    "+ -",
    "- +",
    "* +",
    "& |",
    "| &",
    "^ |",
    "&& ||",
    "|| &&",
    "== !=",
    "!= ==",
    "< >=",
    "> >=",
    ">= >",
    "<< >>",
    ">>> >>",
)


def _operator(found: re.Match[str], rng: np.random.Generator) -> str:
    return _OPERATORS[found[0]]


def _constant(found: re.Match[str], rng: np.random.Generator) -> str:
    width, digits = int(found[1]), found[2]
    value = int(digits, 16) ^ 1 << int(rng.integers(width))
    return f"{width}'h{value:0{len(digits)}x}"


def _index(found: re.Match[str], rng: np.random.Generator) -> str:
    """The part below, or above where there is none."""
    high, low = int(found[1]), int(found[2] or found[1])
    step = -1 if low else 1
    return f"[{high + step}:{low + step}]" if found[2] else f"[{high + step}]"


def _negated(found: re.Match[str], rng: np.random.Generator) -> str:
    return f"if (!({found[1]}))"


def _swapped(found: re.Match[str], rng: np.random.Generator) -> str:
    return f"? {found[2]} : {found[1]};"


def _dropped(found: re.Match[str], rng: np.random.Generator) -> str:
    return found[1]


_BALANCED = r"(?:[^()]|\((?:[^()]|\([^()]*\))*\))*"
"""A condition with brackets in it, two deep at most."""
_EDITS: Mapping[str, tuple[re.Pattern[str], Edit]] = {
    "operator": (re.compile("|".join(map(re.escape, _OPERATORS))), _operator),
    "constant": (re.compile(r"\b(\d+)'h([0-9a-f]+)\b"), _constant),
    "index": (re.compile(r"\[(\d+)(?::(\d+))?\]"), _index),
    "condition": (re.compile(rf"if \(({_BALANCED})\)"), _negated),
    "branches": (re.compile(r"\? ([^?:;]+) : ([^?:;]+);"), _swapped),
    "negation": (re.compile(r"[!~](\\?\w)"), _dropped),
}
"""By kind: where it can be done, and what stands there afterwards."""


@dataclass(frozen=True)
class Mutant:
    """Verilog with one line changed.

    Attributes:
        kind: of edit.
        file: name of the changed one; `line`: from 1.
        before, after: the line.
        text: of the whole file.
    """

    kind: str
    file: str
    line: int
    before: str
    after: str
    text: str


def mutants(texts: Mapping[str, str], count: int, seed: int) -> Iterator[Mutant]:
    """Different ones; a line as likely as another, and a kind as likely as another that fits the line.

    Args:
        texts: Verilog to edit, by file name.
    """
    rng = np.random.default_rng(seed)
    places = [
        (file, number)
        for file, text in sorted(texts.items())
        for number, line in enumerate(text.splitlines())
        if not _SKIPPED.match(line) and any(pattern.search(line) for pattern, _ in _EDITS.values())
    ]
    done: set[tuple[str, int, str]] = set()
    while len(done) < count:
        file, number = places[int(rng.integers(len(places)))]
        lines = texts[file].splitlines()
        before = lines[number]
        kinds = [kind for kind, (pattern, _) in _EDITS.items() if pattern.search(before)]
        kind = kinds[int(rng.integers(len(kinds)))]
        pattern, edit = _EDITS[kind]
        # The left side of an assignment names a net; what it does is on the right.
        found = list(pattern.finditer(before, before.find(" = ") if " assign " in before else 0))
        if not found:
            continue
        at = found[int(rng.integers(len(found)))]
        after = before[: at.start()] + edit(at, rng) + before[at.end() :]
        if after == before or (file, number, after) in done:
            continue
        done.add((file, number, after))
        lines[number] = after
        yield Mutant(kind, file, number + 1, before.strip(), after.strip(), "\n".join(lines) + "\n")


@dataclass(frozen=True)
class Verdict:
    """What `rtl.verify.campaign` says of a mutant: the first difference, "" for a survivor; processor seconds."""

    mutant: Mutant
    found: str
    seconds: float


def judge(mutant: Mutant, texts: Mapping[str, str], prepared: Sequence[Prepared]) -> Verdict:
    """Runs the default verification on a folder with the changed file, as `codeword verify --rtl` does."""
    begin = _processor_seconds()
    with TemporaryDirectory() as scratch:
        for name, text in texts.items():
            (Path(scratch) / name).write_text(mutant.text if name == mutant.file else text)
        try:
            found = run_campaign(prepared, "icarus", Path(scratch)).first_mismatch
        except InputError as error:
            found = f"does not build: {error.problem}"
    return Verdict(mutant, found, _processor_seconds() - begin)


def _processor_seconds() -> float:
    """Of this process and those that it has waited for: other work of the machine does not count."""
    return sum(os.times()[:4])


_INSTANCE = re.compile(r"^  (\w+) (?:\\\S+ |\w+ )\((.*?)\n  \);$", re.M | re.S)
_CONNECTION = re.compile(r"^    \.(\w+)\((.*)\),?$", re.M)

_VIEWS = {
    "requantizer": RANGES,
    "residual_lane": RANGES,
    "sequencer": "    if (!take) begin seen_take_bank = 0; seen_take_serial = 0; end",
}
"""What the contracts of modules leave open (`evidence.mutation.equivalence.proven`)."""


def same(mutant: Mutant, texts: Mapping[str, str], seconds: int = 60) -> bool:
    """Whether Yosys and ABC prove that the changed module does what it did, for all inputs and all time.

    The modules in it become free inputs and compared outputs. First what goes into each register is compared, whatever
    the registers hold; then, as they may hold less than everything, the outputs that count, from power-up on.
    """
    name = mutant.file.removesuffix(".v")
    original, changed = (
        _opened(re.sub(rf"^module {name}\b", f"module {side}", text, flags=re.M), texts)
        for side, text in (("original", texts[mutant.file]), ("changed", mutant.text))
    )
    ports = verilog.ports(original)
    if ports != verilog.ports(changed):
        return False
    with TemporaryDirectory() as scratch:
        directory = Path(scratch)
        (directory / "original.v").write_text(original)
        (directory / "changed.v").write_text(changed)
        try:
            view = _VIEWS.get(name.removeprefix("codeword_"), "")
            return _same_logic(directory) or _same_outputs(ports, directory, view, seconds)
        except RuntimeError:  # Yosys refuses what no simulator minds, such as a net with two drivers
            return False


def _same_logic(directory: Path) -> bool:
    read = [f"read_verilog {side}.v" for side in ("original", "changed")]
    return proven_without_registers(
        [
            *read,
            "proc",
            "opt_clean",
            "memory",
            "opt_clean",
            "dffunmap",
            "expose -evert-dff original/c:* changed/c:*",
        ],
        directory,
    )


def _same_outputs(ports: Sequence[verilog.Port], directory: Path, view: str, seconds: int) -> bool:
    """`view`: see `evidence.mutation.equivalence.proven`."""
    widths = {
        way: {port.name: port.width for port in ports if port.direction == way} for way in ("input", "output")
    }
    clocked = [name for name in ("clk", "rst") if widths["input"].pop(name, 0)]
    placed = {side: f"{side} {side} (" for side in ("original", "changed")}
    (directory / "miter.v").write_text(miter(widths["input"], widths["output"], placed, view, bool(clocked)))
    sources = ["original.v", "changed.v", "miter.v"]
    return yosys.prove(sources, "miter", directory, seconds, engine="correspondence") == "proven"


def _opened(text: str, texts: Mapping[str, str]) -> str:
    """A module whose instances have become ports of its own."""
    added: list[str] = []

    def opened(found: re.Match[str]) -> str:
        inside = texts.get(f"{found[1]}.v")
        if inside is None:
            return found[0]
        ways = {port.name: port for port in verilog.ports(inside)}
        number, lines = len(added), []
        for port, net in _CONNECTION.findall(found[2]):
            enters, width = ways[port].direction == "input", ways[port].range
            outer = f"opened_{number}_{port}"
            added.append(f"  {'output' if enters else 'input'} wire {width}{outer}")
            lines.append(f"  assign {outer} = {net};" if enters else f"  assign {net} = {outer};")
        return "\n".join(lines)

    body = _INSTANCE.sub(opened, text)
    head, end, rest = body.partition("\n);")
    return ",\n".join([head, *added]) + end + rest


def _edited(texts: Mapping[str, str], modules: Sequence[str] | None) -> Mapping[str, str]:
    """The files of these modules; all where none is named."""
    if modules is None:
        return texts
    files = {f"codeword_{module}.v" for module in modules}
    if unknown := files - texts.keys():
        known = sorted(file.removeprefix("codeword_").removesuffix(".v") for file in texts)
        raise InputError("module", ", ".join(sorted(unknown)), "not in this accelerator", ", ".join(known))
    return {file: text for file, text in texts.items() if file in files}


def main() -> int:
    """The table; status 1 where a mutant is neither found nor proven to change nothing."""
    parser = argparse.ArgumentParser(prog="python -m evidence.mutation.lines", description=__doc__)
    parser.add_argument("--accelerator", default="ews-cms-4")
    parser.add_argument("--count", type=int, default=31)
    parser.add_argument("--seed", type=int, default=1, help="choice of the mutants")
    parser.add_argument("--networks", type=int, default=NETWORKS)
    parser.add_argument("--module", action="append", help="only edits of this one, such as residual_lane")
    options = parser.parse_args()
    accelerator = preset(options.accelerator)
    texts = {f"{name}.v": text for name, text in verilog.modules(accelerator).items()}
    edited = _edited(texts, options.module)
    prepared = [prepare(accelerator, seed) for seed in range(options.networks)]
    left = 0
    print("| file, line | before | after | found | s |", "|---|---|---|---|---|", sep="\n")
    for mutant in mutants(edited, options.count, options.seed):
        verdict = judge(mutant, texts, prepared)
        found = verdict.found
        if not found:
            proven = same(mutant, texts)
            found = "proven equal" if proven else "SURVIVES"
            left += not proven
        place = f"{mutant.file.removeprefix('codeword_').removesuffix('.v')}, {mutant.line}"
        row = (place, f"`{mutant.before}`", f"`{mutant.after}`", found[:90], f"{verdict.seconds:.1f}")
        print("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |", flush=True)
    print(f"{options.count} mutants, {left} neither found nor proven equal")
    return int(left > 0)


if __name__ == "__main__":
    sys.exit(main())
