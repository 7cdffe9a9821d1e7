"""Maps wider than L1, on the RTL: strips of columns as the mapping chooses them, value for value and cycle for cycle."""

from __future__ import annotations

import numpy as np
import pytest

from rtl import compiler
from rtl.control.counters import COUNTERS
from rtl.verify import verify_network
from sim.accelerator import load
from sim.errors import InputError
from sim.network import Add, Conv, DenseWeight, Network, Requantization, TensorSpec
from sim.systolic.plan import plan
from sim.systolic.schedule import Schedule
from sim.systolic.streams import network_formats

MACHINE = load("ews-4", {"l1_bytes": 1024})


def _conv(name, source, channels, outputs, kernel, wide=False, **fields):
    rng = np.random.default_rng(outputs)
    weight = DenseWeight(rng.integers(-128, 128, (outputs, channels, *kernel)).astype(np.int8))
    factors = np.full(outputs, 999, np.uint16), np.full(outputs, 22, np.uint8)
    requantization = None if wide else Requantization(*factors, zero_point=3)
    return Conv(
        name, source, weight, np.arange(outputs, dtype=np.int32), requantization=requantization, **fields
    )


def wide_network():
    """Halos and padding on both sides, a residual operand, a stride, dilation, 32-bit outputs; rows of 300 bytes."""
    layers = (
        _conv("a", "input", 3, 8, (3, 3), padding=(1, 1)),
        _conv("b", "a", 8, 8, (3, 3), padding=(1, 1)),
        Add("sum", ("b", "a"), (1, 1), 1, 0),
        _conv("c", "sum", 8, 9, (2, 3), stride=(1, 2), dilation=(1, 2), padding=(0, 3)),
        _conv("d", "c", 9, 8, (1, 3), padding=(0, 1), wide=True),
    )
    return Network("wide", TensorSpec((3, 4, 38), zero_point=-4), layers)


def test_searched_strips_run_on_the_rtl():
    network = wide_network()
    plans = plan(network.shapes, network_formats(network, MACHINE), MACHINE)
    assert [how.strips > 1 for how in plans] == [True] * 4
    image = np.random.default_rng(0).integers(-128, 128, (1, 3, 4, 38)).astype(np.int8)
    result = verify_network(MACHINE, network, image, "icarus")
    assert (result.mismatches, result.warnings) == (0, ())
    assert result.words_compared > 0
    assert result.cycles_rtl == result.cycles_model
    assert result.counters_rtl == {name: result.counters_model[name] for name in COUNTERS}


def test_an_ofmap_in_strips_cannot_stay():
    """Told to leave it in L1 nevertheless, the compiler says why not."""
    network = Network(
        "two", TensorSpec((4, 1, 12)), (_conv("a", "input", 4, 4, (1, 1)), _conv("b", "a", 4, 4, (1, 1)))
    )
    first, second = network.shapes
    plans = [Schedule(MACHINE, first, source="dram", strip_columns=5), Schedule(MACHINE, second, source="l1")]
    with pytest.raises(InputError, match=r"a: ofmap = 96: bytes do not stay in the 128 .* strip by strip"):
        compiler.compile(network, MACHINE, plans=plans)
