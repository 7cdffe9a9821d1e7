"""Mutants inside the complete accelerator: a network runs on it, and all that it left is compared."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from rtl import verilog
from rtl.block import Block, module_name
from rtl.mutate.mutants import DESIGN, SELECTOR, SELECTOR_BITS
from rtl.mutate.suite import TIMEOUT_S, ports
from rtl.top import Top
from rtl.verify import shells
from rtl.verify.bench import bench
from rtl.verify.random_network import Case, random_case
from rtl.verify.run import Conditions, run_built
from rtl.verify.simulators import environment
from rtl.verify.verify import compare
from sim.accelerator import Accelerator, preset
from sim.engine import Simulation, simulate

MEMORY_WORDS = 1 << 14
SLACK = 1_000
"""Cycles that software takes beside the run itself."""


@dataclass(frozen=True)
class SystemSuite:
    """Random networks on the bench of `rtl.verify`: a wrong word, cycle or counter gives a mutant away.

    Attributes:
        accelerator: name of a preset that contains `kind`.
        seeds: of the networks, in the order in which they run, and of the stalls of memory or None.
    """

    kind: str
    accelerator: str
    seeds: tuple[tuple[int, int | None], ...]
    view: str = ""
    small: Mapping[str, int] = field(default_factory=dict, init=False)  # presets have the real ones

    @property
    def configuration(self) -> str:
        return self.accelerator

    def top(self) -> Block:
        return _blocks(preset(self.accelerator))[self.kind]

    def run(self, directory: Path, numbers: Iterable[int]) -> dict[int, str]:
        built = self._build(directory)
        found = ((number, self._simulate(built, number)) for number in numbers)
        return {number: what for number, what in found if what}

    def _simulate(self, built: Path, number: int) -> str:
        for seed, stalls in self.seeds:
            case, expected = _case(preset(self.accelerator), seed)
            cycles = sum(layer.total_cycles for layer in expected.layers)
            limit = (cycles if stalls is None else 2 * cycles) + SLACK
            try:
                run = run_built(built, case.image, case.images[0], limit, "icarus", Conditions(stalls),
                                [f"+{SELECTOR}={number}"], TIMEOUT_S)
            except subprocess.TimeoutExpired:
                return "hangs"
            result = compare(case.image, expected, run, stalls is not None, "icarus", 0.0)
            if result.mismatches:
                return f"network {seed}: {result.first_mismatch}"
        return ""

    def _build(self, directory: Path) -> Path:
        """The accelerator with the changed module in place of its own."""
        built = directory / "system"
        if built.exists():
            return built
        environment("icarus")
        built.mkdir()
        accelerator = preset(self.accelerator)
        changed = (directory / DESIGN).read_text()
        texts = {name: text for name, text in verilog.modules(accelerator).items()
                 if f"module {name}(" not in changed}
        name = module_name(self.kind)
        texts |= {"changed": changed.replace(f"module {name}(", f"module {name}_changed("),
                  "wrapper": _wrapper(self.top())} | bench(accelerator, MEMORY_WORDS)
        files = {f"{name}.v": text for name, text in texts.items()} | shells.texts("icarus", accelerator)
        for file, text in files.items():
            (built / file).write_text(text)
        subprocess.run(["iverilog", "-g2012", "-s", "bench_clock", "-o", "bench", *files],
                       cwd=built, check=True, capture_output=True)
        return built


@cache
def _blocks(accelerator: Accelerator) -> dict[str, Block]:
    return {kind: block for kind, (block, _) in verilog.hierarchy(Top(accelerator=accelerator)).items()}


@cache
def _case(accelerator: Accelerator, seed: int) -> tuple[Case, Simulation]:
    case = random_case(accelerator, seed)
    return case, simulate(case.network, accelerator, case.images, compare=False, plans=case.plans)


def _wrapper(block: Block) -> str:
    """The changed module under its old name, with the selector from the command line.

    Names are escaped: some ports are called like keywords.
    """
    ins, outs = ports(block)
    clock = ["clk", "rst"] if block.clocked else []
    declared = [*(f"input {name}" for name in clock),
                *(f"input [{width - 1}:0] \\{name} " for name, width in ins.items()),
                *(f"output [{width - 1}:0] \\{name} " for name, width in outs.items())]
    name = module_name(block.kind)
    connections = ", ".join(f".\\{port} (\\{port} )" for port in (*clock, *ins, *outs, SELECTOR))
    return "\n".join([
        f"module {name}({', '.join(declared)});", f"  reg [{SELECTOR_BITS - 1}:0] {SELECTOR};",
        f'  initial if (!$value$plusargs("{SELECTOR}=%d", {SELECTOR})) {SELECTOR} = 0;',
        f"  {name}_changed changed ({connections});", "endmodule", ""])


# Small networks: with an addition, a single chunk, stored psums; the last one on a bus that stalls.
_NETWORKS = ((2, None), (3, None), (1, None), (2, 1))
SUITES = tuple(SystemSuite(kind, "ews-4", _NETWORKS) for kind in ("sequencer", "loader"))
