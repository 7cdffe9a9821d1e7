"""Mutants inside the complete digit-serial machine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from evidence.mutation.suite import LIMIT_S
from evidence.mutation.system import SLACK, SystemSuite
from rtl.block import Block
from rtl.digit_serial import bench, verify
from rtl.digit_serial.top import DigitTop
from rtl.verify import shells
from sim.digit_serial.random_network import random_image, random_network

SILENT = (1, 0, 2)
"""Steps, by seed: they are in the packets, and no wire of the machine knows them."""


@dataclass(frozen=True)
class DigitSystemSuite(SystemSuite):
    """Random networks on the bench of `rtl.digit_serial`."""

    def top(self) -> Block:
        return DigitTop(accelerator=self.accelerator)

    def bench(self) -> dict[str, str]:
        text = bench.text(self.accelerator, 1).replace("dut.", "dut.changed.")
        return {f"{bench.MODULE}.v": text} | shells.around("verilator")

    @cached_property
    def _expected(self) -> list[verify.Expected]:
        return [self._of(seed) for seed, _ in self.seeds]

    def _of(self, seed: int) -> verify.Expected:
        """Every third network speaks at once, so that no doubling takes the high bits of a bias away."""
        net = random_network(self.accelerator, seed)
        acc = self.accelerator.model_copy(update={"silent": SILENT[seed % len(SILENT)]})
        return verify.expected(net, acc, random_image(net, seed))

    def wrong(self, built: Path, number: int, stalls: int | None, arguments: list[str]) -> str:
        model = self._expected[number]
        limit = model.cycles * (1 if stalls is None else 4) + SLACK
        ran = bench.simulated(
            built, model.image, model.inputs, limit, "verilator", stalls, arguments, LIMIT_S
        )
        found = verify.differences(model, ran, exact=stalls is None)
        return found[0] if found else ""


# Parts and tiles, in runs of a few thousand cycles; without clock gates, as all mutants are.
_SMALL = {
    "steps": 3,
    "l1_bytes": 4096,
    "store_bytes": 1024,
    "wrf_depth": 8,
    "tap_depth": 16,
    "clock_gating": False,
}
_NETWORKS = (*((seed, None) for seed in range(8)), (2, 1), (5, 3))
SUITES = (DigitSystemSuite(("accelerator", "digit_core"), "sws-8", _NETWORKS, _SMALL),)
