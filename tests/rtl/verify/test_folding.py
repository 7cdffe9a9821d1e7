"""Rows and columns of a kernel side by side on the RTL, the input in memory as each way wants it: values and cycles."""

from __future__ import annotations

import numpy as np
import pytest

from rtl.verify import verify_network
from sim.accelerator import load
from sim.network import Network, TensorSpec
from sim.systolic.folding import ways
from sim.systolic.schedule import Schedule
from tests.rtl.verify.test_strips import _conv, assert_equal


@pytest.mark.parametrize("family", ["ews-8", "ews-cms-8"])
@pytest.mark.parametrize("way", [1, 2, 3])
def test_a_stem(family, way):
    """5x2 by strides of 2 down: no rows, two, or three beside the columns, which share a line with the next three."""
    machine = load(family, {"l1_bytes": 4096})
    layer = _conv("stem", "input", 1, 8, (5, 2), stride=(2, 1), padding=(2, 1))
    network = Network("stem", TensorSpec((1, 9, 8), zero_point=-4), (layer,))
    form = "split" if machine.sparse_tile else "dense"
    seen = ways(network.shapes[0], machine, form)[way]
    assert (seen.channels, seen.kernel[0]) == {1: (2, 5), 2: (4, 3), 3: (6, 2)}[way]
    schedule = Schedule(machine, seen, form, D=2, overlap=False, tile_rows=3, source="dram", strip_columns=4)
    image = np.random.default_rng(way).integers(-128, 128, (1, 1, 9, 8)).astype(np.int8)
    assert_equal(verify_network(machine, network, image, "icarus", plans=[schedule]))
