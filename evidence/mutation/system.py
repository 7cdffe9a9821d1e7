"""Mutants inside the complete accelerator: networks run on it, and all that they left is compared."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from evidence.mutation.mutants import DESIGN, SELECTOR, SELECTOR_BITS
from evidence.mutation.suite import LIMIT_S, ports
from rtl import verilog
from rtl.block import Block, module_name
from rtl.top import Top
from rtl.verify import shells
from rtl.verify.bench import bench
from rtl.verify.build import RECIPE
from rtl.verify.random_network import Case, random_case
from rtl.verify.run import Conditions, run_built
from rtl.verify.simulators import environment
from rtl.verify.verify import compare
from sim.accelerator import load
from sim.systolic.engine import Simulation, simulate

MEMORY_WORDS = 1 << 14
SLACK = 1_000
"""Cycles that software takes beside the run itself."""


@dataclass(frozen=True)
class SystemSuite:
    """Random networks on the bench of `rtl.verify`: a wrong word, cycle or counter gives a mutant away.

    All mutants of all `kinds` are one program of Verilator.

    Attributes:
        preset: an accelerator that contains `kinds`, with `changes`.
        seeds: of the networks, in the order in which they run, and of the stalls of memory or None.
    """

    kinds: Sequence[str]
    preset: str
    seeds: tuple[tuple[int, int | None], ...]
    changes: Mapping[str, int] = field(default_factory=dict)
    small: Mapping[str, int] = field(default_factory=dict)
    view: str | None = None
    zero: Callable[[], Mapping[str, int]] = dict
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def configuration(self) -> str:
        return self.preset

    @cached_property
    def accelerator(self) -> Any:
        return load(self.preset, self.changes)

    def top(self) -> Block:
        return Top(accelerator=self.accelerator)

    def block(self, kind: str) -> Block:
        return self._blocks[kind]

    @cached_property
    def _blocks(self) -> dict[str, Block]:
        return {kind: block for kind, (block, _) in verilog.hierarchy(self.top()).items()}

    @cached_property
    def _cases(self) -> list[tuple[Case, Simulation]]:
        cases = [random_case(self.accelerator, seed) for seed, _ in self.seeds]
        return [
            (case, simulate(case.network, self.accelerator, case.images, compare=False, plans=case.plans))
            for case in cases
        ]

    def run(self, directory: Path, numbers: Iterable[int]) -> dict[int, str]:
        built = self._build(directory)
        found = ((number, self._simulate(built, number)) for number in numbers)
        return {number: what for number, what in found if what}

    def _simulate(self, built: Path, number: int) -> str:
        for n, (seed, stalls) in enumerate(self.seeds):
            try:
                wrong = self.wrong(built, n, stalls, [f"+{SELECTOR}={number}"])
            except subprocess.TimeoutExpired:
                return "hangs"
            except RuntimeError as error:
                if "converge" in str(error):
                    return "a loop of gates does not settle"
                raise
            if wrong:
                return f"network {seed}: {wrong}"
        return ""

    def wrong(self, built: Path, number: int, stalls: int | None, arguments: list[str]) -> str:
        """What one of the networks finds wrong, the first."""
        case, expected = self._cases[number]
        cycles = sum(layer.total_cycles for layer in expected.layers)
        limit = (cycles if stalls is None else 2 * cycles) + SLACK
        conditions = Conditions(stalls)
        run = run_built(built, case.image, case.images[0], limit, "verilator", conditions, arguments, LIMIT_S)
        return compare(case.image, expected, run, stalls is not None, "verilator", 0.0).first_mismatch

    def bench(self) -> dict[str, str]:
        """What surrounds the accelerator, by file name."""
        texts = {f"{title}.v": text for title, text in bench(self.accelerator, MEMORY_WORDS).items()}
        return texts | shells.texts("verilator", self.accelerator)

    def _build(self, directory: Path) -> Path:
        """The bench around the changed accelerator."""
        built = directory / "system"
        if built.exists():
            return built
        settings = environment("verilator")
        built.mkdir()
        name = module_name(Top.kind)
        changed = (directory / DESIGN).read_text().replace(f"module {name}(", f"module {name}_changed(")
        files = {"changed.v": changed, "wrapper.v": _wrapper(self.top())} | self.bench()
        for file, text in files.items():
            (built / file).write_text(text)
        # Short runs: what the compiler saves by not optimizing, they do not take more.
        done = subprocess.run(
            [*RECIPE["verilator"], "-CFLAGS", "-O0", *files],
            cwd=built,
            text=True,
            env=os.environ | settings,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"Verilator failed:\n{(done.stdout + done.stderr)[-3000:]}")
        return built


def _wrapper(block: Block) -> str:
    """The changed module under its old name, with the selector from the command line.

    Names are escaped: some ports are called like keywords.
    """
    ins, outs = ports(block)
    clock = ["clk", "rst"] if block.clocked else []
    declared = [
        *(f"input {name}" for name in clock),
        *(f"input [{width - 1}:0] \\{name} " for name, width in ins.items()),
        *(f"output [{width - 1}:0] \\{name} " for name, width in outs.items()),
    ]
    name = module_name(block.kind)
    connections = ", ".join(f".\\{port} (\\{port} )" for port in (*clock, *ins, *outs, SELECTOR))
    return "\n".join(
        [
            f"module {name}({', '.join(declared)});",
            f"  reg [{SELECTOR_BITS - 1}:0] {SELECTOR};",
            f'  initial if (!$value$plusargs("{SELECTOR}=%d", {SELECTOR})) {SELECTOR} = 0;',
            f"  {name}_changed changed ({connections});",
            "endmodule",
            "",
        ]
    )


# Counters so small that the networks reach their high bits; no network may exceed them.
_SMALL = {
    "COUNT_BITS": 7,
    "DEMAND_BITS": 6,
    "WORD_ADDRESS_BITS": 8,
    "PIXEL_BITS": 4,
    "CHANNEL_BITS": 5,
    "OFFSET_BITS": 5,
    "KERNEL_BITS": 3,
    "TIME_BITS": 8,
    "BYTE_BITS": 7,
    "COORDINATE_BITS": 7,
}
# Fifty networks; the last run is on a bus that stalls.
_NETWORKS = (*((seed, None) for seed in range(1, 51)), (2, 1))
SUITES = (SystemSuite(("accelerator", "core"), "ews-4", _NETWORKS, {"l1_bytes": 4096}, _SMALL),)
