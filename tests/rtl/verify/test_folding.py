"""Rows and columns of a kernel side by side on the RTL, the input in memory as each way wants it: values and cycles."""

from __future__ import annotations

import numpy as np
import pytest

from rtl import compiler
from rtl.verify import verify_network
from sim.accelerator import load, preset
from sim.errors import InputError
from sim.network import Network, TensorSpec
from sim.systolic.folding import ways
from sim.systolic.plan import plan
from sim.systolic.schedule import Schedule
from sim.systolic.streams import network_formats
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


def _apart(kernel, stride):
    """Windows of two lines and two columns of a map."""
    layer = _conv("patches", "input", 3, 4, (kernel, kernel), stride=(stride, stride))
    reach = stride + kernel
    return Network("patches", TensorSpec((3, reach, reach), zero_point=-4), (layer,))


@pytest.mark.parametrize(
    ("family", "kernel", "fold"),
    [
        ("ews-4", 4, 1),
        pytest.param("ews-4", 16, 1, marks=pytest.mark.slow),
        pytest.param("ews-cms-8", 16, 2, marks=pytest.mark.slow),
    ],
)
def test_patches_of_a_transformer(family, kernel, fold):
    """By strides of 16, columns beside one another as the mapping finds best; small ones are quick."""
    machine, network = preset(family), _apart(kernel, 16)
    (chosen,) = plan(network.shapes, network_formats(network, machine), machine)
    assert (chosen.shape.channels, chosen.shape.kernel[1]) == (3 * fold, kernel // fold)
    image = np.random.default_rng(fold).integers(-128, 128, (1, *network.input.shape)).astype(np.int8)
    assert_equal(verify_network(machine, network, image, "icarus"))


def test_a_stride_beyond_the_packet():
    with pytest.raises(InputError, match=r"patches: chunk\.stride_y = 32: exceeds the 5 bits"):
        compiler.compile(_apart(4, 32), preset("ews-8"))
