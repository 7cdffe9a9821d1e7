"""The complete digit-serial machine among the AXI parts of cocotbext-axi: back-pressure, slow memory, errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cocotb_tools.runner import get_runner

from rtl.digit_serial import export, image
from rtl.digit_serial.top import COUNTERS, FACE
from rtl.digit_serial.verify import WAITING
from rtl.verify.build import cached
from rtl.verify.cocotb_run import quiet, run_module
from rtl.verify.run import programming
from rtl.verify.simulators import environment
from sim import accelerator
from sim.digit_serial.engine import CAUSES, run
from sim.digit_serial.random_network import random_image, random_network
from tests.rtl.digit_serial.test_digit_serial import SMALL

DONE, ERROR, INTERRUPT = 1 << 1, 1 << 2, 1 << 8
PORT = 4
"""First bit of the port that failed."""


def built(acc):
    environment("icarus")
    texts = {f"{name}.v": text for name, text in export.modules(acc).items()}

    def make(directory):
        with quiet(directory / "build.log"):
            get_runner("icarus").build(
                sources=[directory / name for name in texts],
                hdl_toplevel=export.TOP,
                build_dir=directory,
                timescale=("1ns", "1ns"),
                log_file=directory / "build.log",
            )

    return cached("cocotb", ("icarus", "digit"), texts, make)


def attempts(acc, seed, faults, directory):
    """What the engine found, and status, counters and charges of each attempt."""
    net = random_network(acc, seed)
    inputs = random_image(net, seed)[0]
    compiled = image.compiled(net, acc)
    ran = run(compiled.program, compiled.digits(inputs))
    memory = compiled.write_input(inputs)
    memory[: compiled.output_words] = np.uint64(0x5AA5_5AA5_5AA5_5AA5)
    (directory / "memory.bin").write_bytes(memory.astype("<u8").tobytes())
    job = {
        "seed": seed,
        "limit": 40 * int(ran.counts[:, : len(CAUSES)].sum()),
        "registers": programming(compiled),
        "offsets": image.offsets(acc),
        "counters": COUNTERS,
        "faults": faults,
    }
    (directory / "job.json").write_text(json.dumps(job))
    run_module(built(acc), directory, "tests.rtl.digit_serial.digit_cocotb", export.TOP)
    found = json.loads((directory / "results.json").read_text())
    for n, one in enumerate(found):
        left = np.frombuffer((directory / f"after_{n}.bin").read_bytes(), "<u8").astype(np.uint64)
        changed = left != memory
        changed[: compiled.output_words] = False
        assert not changed.any()
        one["charges"] = compiled.read(left)
    return ran, len(compiled.layers), ran.maps[net.layers[-1].name], found


def assert_right(ran, layers, expected, one):
    assert one["status"] & ~(3 << PORT) == DONE | INTERRUPT
    assert one["layers"] == layers
    assert one["irq_after"] == 0
    assert np.array_equal(one["charges"], expected)
    for name, count in one["counters"].items():
        if name not in WAITING:  # that memory is slower than L2, or faster
            assert count == int(ran.counts[:, CAUSES.index(name)].sum()), name
    assert one["counters"]["cycles"] == sum(one["counters"].values()) - one["counters"]["cycles"]


@pytest.mark.parametrize("fields", [{}, {"clock_gating": False, "charge_bits": 40}])
def test_stalls_and_errors(tmp_path, fields):
    """A run, one whose packets fail, one whose charges fail, and a run again."""
    acc = accelerator.load("sws-8", SMALL | fields)
    faults = [None, ["commands", 200, 2], ["maps_write", 0, 3], None]
    ran, layers, expected, found = attempts(acc, 1, faults, tmp_path)
    for n in (0, 3):
        assert_right(ran, layers, expected, found[n])
    for n, port in ((1, "commands"), (2, "maps_write")):
        assert found[n]["status"] & 0b111 == ERROR
        assert found[n]["status"] >> 12 & 15 == 1
        assert found[n]["status"] >> PORT & 3 == FACE.ports.index(port)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 16))
def test_more_networks(tmp_path, seed):
    acc = accelerator.load("sws-8", SMALL)
    ran, layers, expected, found = attempts(acc, seed, [None, None], tmp_path)
    for one in found:
        assert_right(ran, layers, expected, one)
