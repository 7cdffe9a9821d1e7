"""First-order effects of the papers on ResNet-18, by the closed form. Orders and wide margins only."""

from __future__ import annotations

from functools import cache

from sim import accelerator
from sim.estimate import estimate
from sim.shapes import ConvShape
from sim.workloads import workload

LARGE_LAYERS = ("layer1.0.conv1", "layer2.0.conv2", "layer3.0.conv2", "layer4.0.conv2")


@cache
def shares(name: str, layers: tuple[str, ...] = ()) -> tuple[int, dict[str, float]]:
    """Cycles of ResNet-18 (or of some layers), and every cause's share of them."""
    shapes = [shape for shape in workload("resnet18").shapes if not layers or shape.name in layers]
    cost = estimate(shapes, accelerator.preset(name)).cost
    found = {cause: n / cost.cycles for cause, n in cost.stall_cycles.items()}
    found["weights"] = found["weight"] + found["dram"]
    return cost.cycles, found


def test_weights_starve_a_large_dense_array():
    """MVQ sec. 7.4: the 64-bit weight port is the bottleneck at 64x64; less so with more compression."""
    (dense_cycles, dense), (sparse_cycles, sparse) = shares("ews-64"), shares("ews-cms-64")
    others = [dense[cause] for cause in dense if cause not in ("weight", "dram", "weights")]
    assert dense["weights"] > 2 * max(others)
    assert dense["weights"] > 0.4
    assert sparse["weights"] < 0.25
    assert sparse["weights"] * sparse_cycles < dense["weights"] * dense_cycles / 4
    assert sparse_cycles < dense_cycles / 1.4


def test_weights_hide_under_compute_on_a_small_array():
    assert shares("ews-16", LARGE_LAYERS)[1]["weights"] < 0.1
    assert shares("ews-64", LARGE_LAYERS)[1]["weights"] > 0.4


def test_compression_without_sparsity_relieves_the_port_too():
    assert shares("ews-c-64")[0] < shares("ews-64")[0] / 1.4


def test_extension_relieves_psums():
    """Weight-stationary writes and reads a psum for every weight: the only array that waits for them."""
    ws, ews = shares("ws-64"), shares("ews-64")
    assert ws[1]["psum"] > 0.05 > 10 * ews[1]["psum"]
    assert ews[0] < ws[0]


def test_mobilenet_waits_for_what_it_moves():
    """Maps and weights at 64 bits a cycle and direction bound every layer; docs/results.md says these figures."""
    machine, shapes = accelerator.preset("ews-64"), workload("mobilenet-v2").shapes

    def moved(shape) -> int:
        weights = shape.weights // 8 if isinstance(shape, ConvShape) else 0
        return max(shape.ifmap_bytes // 8, shape.ofmap_bytes // 8, weights)

    layers = {one.counts.name: one.counts.total_cycles for one in estimate(shapes, machine).layers}
    floors = {shape.name: moved(shape) for shape in shapes}
    deep = [shape.name for shape in shapes if isinstance(shape, ConvShape) and shape.groups > 1]
    assert all(layers[name] > floor for name, floor in floors.items() if name != "fc")  # it loads ahead
    assert sum(floors.values()) == 1_549_192
    assert (sum(floors[name] for name in deep), sum(layers[name] for name in deep)) == (467_656, 672_133)
