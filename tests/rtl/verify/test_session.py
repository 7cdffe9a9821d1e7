"""The accelerator as others drive it: one run after the other, with wrong numbers, wrong streams, and resets."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

import pytest

from rtl.bus.register_map import ERRORS, PORTS
from rtl.geometry import Geometry
from rtl.packets import LAYOUTS, words
from rtl.verify.random_network import random_case
from rtl.verify.run import Conditions
from rtl.verify.session import Start, run_session
from rtl.verify.verify import compare
from sim.accelerator import load
from sim.systolic.engine import simulate

DONE, ERROR, INTERRUPT = 1 << 1, 1 << 2, 1 << 8
PATIENCE = 1500
"""Cycles of the watchdog; no chunk of these networks takes as many."""
LIMIT = 2_000_000
HIGH = 0x91_2345_6000
"""Where memory begins in the system: no 32 bits hold it."""
SEEDS = (5, 11)


@dataclass
class Steps:
    """Starts, and what becomes of each."""

    cases: list
    starts: list = field(default_factory=list)
    checks: list = field(default_factory=list)
    stalled: bool = False

    def add(self, check, case, **what):
        self.starts.append(Start(case.image, case.images[0], **what))
        self.checks.append(check)

    def right(self, n=0, **what):
        """One that must come out right, in the cycles of the engine."""
        case = self.cases[n]
        self.add(lambda run: assert_right(case, run, self.stalled), case, **what)

    def wrong(self, code, port=None, flips=(), **registers):
        """One that fails with an error, and a right one behind it."""

        def check(run):
            status = run.registers["status"]
            assert status & 0xF == ERROR, registers
            assert names(code) & {list(ERRORS)[status >> 12]}, (registers, hex(status))
            assert port is None or PORTS[status >> 4 & 3] == port, registers
            assert run.protocol_errors == 0

        self.add(check, self.cases[0], flips=flips, registers={"watchdog": PATIENCE} | registers)
        self.right()

    def any(self, flips):
        """One that comes to some end, and a right one behind it."""

        def check(run):
            status = run.registers["status"]
            assert status & 0xF in (DONE, ERROR), flips
            assert status & INTERRUPT, flips
            assert run.protocol_errors == 0, flips
            assert not run.overflows or status & ERROR

        self.add(check, self.cases[0], flips=flips, registers={"watchdog": PATIENCE})
        self.right()

    def broken_off(self, after, by):
        self.add(lambda run: None, self.cases[0], broken_off=after, by=by)
        self.right()

    def run(self, simulator="icarus", conditions=None):
        found = run_session(self.starts, LIMIT, simulator, conditions=conditions)
        assert not found.limited
        for check, run in zip(self.checks, found.runs, strict=True):
            check(run)
        assert found.strays == 0
        return found


def names(code):
    return {code} if isinstance(code, str) else set(code)


def assert_right(case, run, stalled=False):
    expected = simulate(case.network, case.image.accelerator, case.images, compare=False, plans=case.plans)
    result = compare(case.image, expected, run, stalled, "icarus", time.perf_counter())
    assert result.mismatches == 0, result.first_mismatch
    assert run.registers["status"] & ~0x30 == DONE | INTERRUPT
    assert result.words_compared > 0
    assert stalled or result.cycles_rtl == result.cycles_model > 0


def steps(name="ews-cms-4", **fields):
    accelerator = load(name, {"address_bits": 40} | fields)
    return Steps([random_case(accelerator, seed) for seed in SEEDS])


def command_flips(image, rng, count):
    """Bits of the packets; every stream gets as many."""
    base = image.windows["commands"].offset
    return [
        [((base + stream.address) // 8 + rng.randrange(stream.words), rng.randrange(64))]
        for stream in image.streams.values()
        for _ in range(count if stream.words else 0)
    ]


def add_counts(found):
    """Layers and words of the streams, one too few and one too many."""
    image = found.cases[0].image
    geometry = Geometry(image.accelerator)
    layers = len(image.layers)
    for low in range(layers):
        found.wrong("left", layer_count=low)
    found.wrong("watchdog", layer_count=layers + 1)
    for name, stream in image.streams.items():
        size = words(LAYOUTS[name](geometry))
        found.wrong("watchdog", **{f"{name}_count": stream.words - 1})
        found.wrong("watchdog", **{f"{name}_count": 0})
        for more in (1, size):
            found.wrong(("left", "window", "watchdog", "overflow"), **{f"{name}_count": stream.words + more})


def add_windows(found):
    """Windows where none may be, and windows that are too small."""
    image = found.cases[0].image
    end = 1 << 40 - 32
    for name, port in (("commands", "commands"), ("weights", "weights"), ("maps", "maps_read")):
        size = image.windows[name].bytes
        for wrong in (
            {f"{name}_base_lo": 2048},
            {f"{name}_size_lo": size + 64},
            {f"{name}_base_hi": end},
            {f"{name}_base_hi": end - 1, f"{name}_base_lo": -4096 & 0xFFFF_FFFF, f"{name}_size_lo": 8192},
            {f"{name}_size_hi": end + 1},
        ):
            found.wrong("setup", port, **wrong)
        found.wrong("window", port, **{f"{name}_size_lo": 0})
    found.wrong("setup", "commands", units_base=image.streams["units"].address + 4)


def test_one_after_the_other():
    """Start, repeat, another network, wrong counts and windows, reset and clear in the middle, corrupt streams."""
    found = steps()
    for n in (0, 0, 1, 0):
        found.right(n)
    found.right(order=("commands", "maps", "weights"))
    add_counts(found)
    add_windows(found)
    for by in ("reset", "clear"):
        for after in (3, 60, 200, 333):
            found.broken_off(after, by)
    for flips in command_flips(found.cases[0].image, random.Random(1), 4):
        found.any(flips)
    found.run(conditions=Conditions(origin=HIGH))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ws-4", "ews-4", "ews-c-4", "ews-cms-8", "ssvq-4", "rom-4"])
def test_corrupt_streams(name):
    """Bits of the packets and of the weights, one or a few at a time."""
    found = steps(name, address_bits=33)
    rng = random.Random(name)
    image = found.cases[0].image
    flips = command_flips(image, rng, 8)
    for _ in range(8):
        flips.append([flip for one in rng.sample(flips[:32], rng.randrange(2, 6)) for flip in one])
    weights = image.windows["weights"]
    for _ in range(5):
        flips.append([((weights.offset + rng.randrange(weights.bytes)) // 8, rng.randrange(64))])
    for wrong in flips:
        found.any(wrong)
    found.run(conditions=Conditions(origin=1 << 32))


@pytest.mark.slow
def test_stalls_change_nothing():
    """With a bus that stalls, streams and clears end as they do without; values are equal."""
    found = steps("ews-4")
    found.stalled = True
    for after in range(1, 400, 37):
        found.broken_off(after, "clear")
    for flips in command_flips(found.cases[0].image, random.Random(4), 5):
        found.any(flips)
    found.run(conditions=Conditions(stalls=7, origin=HIGH))
