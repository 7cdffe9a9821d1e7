"""Packets and memory of compiled networks: an interpreter gets the functional model's tensors out of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from codeword.inputs import shipped
from rtl import compiler, packets
from rtl.compiler.packing import pack
from rtl.geometry import Geometry
from rtl.verify.random_network import random_case
from sim import network as functional
from sim.accelerator import load, preset
from sim.errors import InputError
from sim.network import (
    Add,
    AveragePool,
    Conv,
    DenseWeight,
    Network,
    Pool,
    Requantization,
    Reshape,
    Table,
    TensorSpec,
)
from sim.systolic.folding import ways
from sim.systolic.program import token_ifmap
from sim.systolic.schedule import Schedule
from tests.rtl.compiler.interpreter import Machine


def assert_runs(network, image, images, seed=0):
    """The interpreter leaves every tensor in memory; the machine that ran."""
    memory = image.write_input(images[0])
    rng = np.random.default_rng(seed)
    for written in image.maps.values():  # what memory holds before must not matter
        first = written.address // 8
        memory[first : first + written.words] = rng.integers(0, 1 << 63, written.words, dtype=np.uint64)
    machine = Machine(image.accelerator, memory, image.windows, image.streams, image.rom, seed)
    after = machine.run()
    expected = functional.run(network, images)
    for tensor in image.maps:
        np.testing.assert_array_equal(image.read(after, tensor), expected[tensor][0], tensor)
    assert machine.layers == len(image.layers)
    changed = np.flatnonzero(after != memory)
    inside = [np.arange(m.address // 8, m.address // 8 + m.words) for m in image.maps.values()]
    assert np.isin(changed, np.concatenate(inside)).all(), "written beside the maps"
    return machine


def test_resnet():
    network, acc = shipped("resnet20-fashion"), preset("ews-cms-16")
    image = compiler.compile(network, acc)
    assert image.warnings == ()
    images = np.random.default_rng(3).integers(-128, 128, (1, *network.input.shape)).astype(np.int8)
    machine = assert_runs(network, image, images)
    assert [layer.name for layer in image.layers] == [shape.name for shape in network.shapes]
    assert image.maps["fc"].wide
    assert machine.waits["tiles"] == sum(
        (layer.program.visits["dram_bytes"] > 0).sum() for layer in image.layers if layer.program
    )


MACHINES = [
    (name, {"l1_bytes": size} if size else {})
    for name in (
        "ews-4",
        "ews-cms-8",
        "ws-cms-4",
        "ews-c-4x8",
        "ews-cm-8x4",
        "ws-8",
        "ssvq-8",
        "rom-8",
        "ews-cms-16",
    )
    for size in (0, 2048)
]


@pytest.mark.parametrize(("name", "fields"), MACHINES)
def test_random_networks(name, fields):
    for seed in range(4):
        case = random_case(load(name, fields), seed)
        assert_runs(case.network, case.image, case.images, seed)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fields"), [*MACHINES, ("ews-12x20", {"l1_bytes": 4096})])
def test_many_random_networks(name, fields):
    for seed in range(1000, 1040):
        case = random_case(load(name, fields), seed)
        assert_runs(case.network, case.image, case.images, seed)


def test_random_networks_reach_every_corner():
    seen = Counter()
    for name, fields in MACHINES:
        for seed in range(100, 108):
            case = random_case(load(name, fields), seed)
            for layer in case.image.layers:
                if layer.program is None:
                    seen[f"pass {layer.how}"] += 1
                    continue
                schedule = layer.program.schedule
                shape = schedule.shape
                seen.update(
                    {schedule.source: 1, schedule.format: 1, f"buffers {schedule.tiling.ifmap_buffers}": 1}
                )
                seen.update(
                    {
                        "tiles": schedule.row_tiles > 1,
                        "strips": schedule.strips > 1,
                        "outer": schedule.outputs_outer,
                        "split channels": schedule.split_channels,
                        "parts": schedule.parts > 1,
                        "overlap": schedule.overlap,
                        "serial": not schedule.overlap,
                        "addition": bool(shape.residual),
                        "wide": layer.tensor in case.image.maps and case.image.maps[layer.tensor].wide,
                        "folded": shape.line_bytes > 0,
                        "dilated": max(shape.dilation) > 1,
                        "strided": max(shape.stride) > 1,
                        "fence": bool(layer.program.chunks["fence"].any()),
                        "ring": _rings(case.image, layer),
                    }
                )
    for corner in (
        "dram",
        "l2",
        "l1",
        "dense",
        "split",
        "block",
        "vq",
        "mvq",
        "ssvq",
        "rom",
        "buffers 1",
        "buffers 2",
        "tiles",
        "strips",
        "outer",
        "split channels",
        "parts",
        "overlap",
        "serial",
        "addition",
        "wide",
        "folded",
        "dilated",
        "strided",
        "fence",
        "ring",
        "pass l1",
    ):
        assert seen[corner], (corner, seen)


def _rings(image, layer):
    """Whether the finished rows of a layer do not fit the smaller group of L1."""
    return 8 * image.maps[layer.tensor].words > image.accelerator.l1_bytes // 8


def _conv(name, source, outputs, channels, kernel=(3, 3), padding=(1, 1), wide=False, **fields):
    rng = np.random.default_rng(outputs)
    weight = DenseWeight(rng.integers(-128, 128, (outputs, channels, *kernel)).astype(np.int8))
    requantization = (
        None if wide else Requantization(np.full(outputs, 999, np.uint16), np.full(outputs, 20, np.uint8))
    )
    return Conv(
        name,
        source,
        weight,
        np.arange(outputs, dtype=np.int32),
        padding=padding,
        requantization=requantization,
        **fields,
    )


def test_memory_holds_maps_pixel_by_pixel():
    """A map lies [y][x][channel] in whole words, logits as 32 bits."""
    layer = _conv("c", "input", 5, 3, (1, 1), (0, 0), wide=True)
    network = Network("one", TensorSpec((3, 2, 2)), (layer,))
    image = compiler.compile(network, preset("ews-8"))
    data = np.arange(12, dtype=np.int8).reshape(3, 2, 2)
    memory = image.write_input(data).view(np.uint8)
    at = image.inputs[0].map.address
    np.testing.assert_array_equal(memory[at : at + 16], [0, 4, 8, 0, 0, 0, 0, 0, 1, 5, 9, 0, 0, 0, 0, 0])
    ofmap = image.maps["c"]
    assert (ofmap.pitch, ofmap.words) == (3, 12)
    memory[ofmap.address + 24 + 16 : ofmap.address + 24 + 20] = [1, 2, 0, 255]  # x = 1, channel 4
    assert image.read(memory.view(np.uint64), "c")[4, 0, 1] == 0x201 - (1 << 24)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 5), (2, 4), (7, 7), (3, 2), (5, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
def test_the_input_lies_as_the_array_reads_it(kernel, stride):
    layer = _conv("c", "input", 4, 2, kernel, (1, 2), stride=stride)
    network = Network("one", TensorSpec((2, 7, 9), zero_point=-5), (layer,))
    acc = preset("ews-8")
    shape = ways(network.shapes[0], acc, "dense")[-1]
    assert shape.unfolded
    schedule = Schedule(acc, shape, D=1, source="dram")
    image = compiler.compile(network, acc, plans=[schedule])
    data = np.random.default_rng(1).integers(-128, 128, (1, 2, 7, 9)).astype(np.int8)
    memory = image.write_input(data[0])
    tokens = token_ifmap(data, layer, image.layers[0].program, -5)[0]
    pad = shape.padding[0]  # rows that fold have theirs in memory
    np.testing.assert_array_equal(image.inputs[0].map.read(memory), tokens[:, pad : tokens.shape[1] - pad])
    assert_runs(network, image, data)


def test_one_layer():
    layer = _conv("c", "input", 12, 9)
    acc = preset("ews-8")
    shape = replace(layer.shape((9, 6, 5)), name="")
    schedule = Schedule(acc, shape, A=2, B=1, D=2, tile_rows=4, split_channels=True)
    image = compiler.compile_layer(layer, schedule, (6, 5), zero=3)
    data = np.random.default_rng(1).integers(-128, 128, (1, 9, 6, 5)).astype(np.int8)
    assert_runs(image.network, image, data)
    assert (image.layers[0].tiles, image.layers[0].stripes) == (4, 2)


def test_a_reshape_of_places_moves_nothing():
    network = Network(
        "tokens",
        TensorSpec((8, 4, 4)),
        (
            _conv("a", "input", 8, 8),
            Reshape("flat", "a", (8, 16, 1)),
            _conv("b", "flat", 4, 8, (1, 1), (0, 0)),
        ),
    )
    image = compiler.compile(network, preset("ews-8"))
    data = np.random.default_rng(1).integers(-128, 128, (1, 8, 4, 4)).astype(np.int8)
    assert_runs(network, image, data)


def _refused(*layers, shape=(8, 6, 6), name="ews-8", fields=None):
    with pytest.raises(InputError) as error:
        compiler.compile(Network("n", TensorSpec(shape), layers), load(name, fields or {}))
    return str(error.value)


def test_what_the_hardware_has_not_is_refused_by_name():
    first = _conv("first", "input", 8, 8)
    assert "lookup" in _refused(first, Table("lookup", "first", np.zeros(256, np.int8)))
    pool = Pool("windows", "first", "average", (2, 2), (2, 2))
    assert "windows" in _refused(first, pool)
    late = AveragePool("late", "input", 1, 4)
    assert "late = 'AveragePool': its operand comes from l2" in _refused(first, late)
    assert "late = 'AveragePool': its operand comes from dram" in _refused(late)
    second = _conv("second", "first", 8, 8)
    assert "sum = 'Add': an addition runs only on" in _refused(
        first, second, _conv("third", "second", 8, 8), Add("sum", ("first", "second"), (1, 1), 1)
    )
    flat = Reshape("flat", "first", (8 * 36, 1, 1))
    assert "flat" in _refused(first, flat, _conv("head", "flat", 4, 288, (1, 1), (0, 0)))
    table = replace(first, requantization=replace(first.requantization, table=np.zeros(256, np.int8)))
    assert "first.table" in _refused(table)


def test_only_the_input_comes_folded():
    layers = (_conv("first", "input", 2, 8), _conv("second", "first", 8, 2))
    network, acc = Network("n", TensorSpec((8, 6, 6)), layers), preset("ews-8")
    shapes = [replace(shape, name="") for shape in network.shapes]
    plans = [Schedule(acc, shapes[0], source="dram"), Schedule(acc, ways(shapes[1], acc, "dense")[1])]
    with pytest.raises(InputError, match=r"second\.kernel"):
        compiler.compile(network, acc, plans=plans)


def test_a_field_that_overflows_is_named():
    layout = packets.chunk(Geometry(preset("ews-8")))
    assert pack("layer", "chunk", layout, {"y": -4096})[0] == 0
    with pytest.raises(InputError, match=r"layer: chunk.stride_y = 32"):
        pack("layer", "chunk", layout, {"stride_y": 32})
    with pytest.raises(InputError, match=r"layer: chunk.y = 4096"):
        pack("layer", "chunk", layout, {"y": 4096})
    layer = _conv("wide kernel", "input", 4, 8, (1, 40), (0, 0))
    assert "wide kernel: chunk.kernel_x" in _refused(layer, shape=(8, 1, 50))


def test_groups_of_l1_that_do_not_hold_what_lies_in_them():
    layer = _conv("c", "input", 1, 8, wide=True)
    acc = load("ews-16", {"l1_bytes": 2048})
    shape = replace(layer.shape((8, 6, 6)), name="")
    schedule = Schedule(acc, shape, D=1, tile_rows=6)
    with pytest.raises(InputError, match="psum rows"):
        compiler.compile_layer(layer, schedule, (6, 6))


def test_rows_that_l1_cannot_write_at_once_are_refused():
    layer = _conv("six", "input", 12, 2, (1, 1), (0, 0), groups=2)
    assert "six: channel = 2: L1 is accessed at multiples of 4" in _refused(layer, shape=(4, 3, 3))
    layer = _conv("six", "input", 12, 8, (1, 1), (0, 0), groups=2)
    assert "six: output = 6: L1 is accessed at multiples of 4" in _refused(layer, shape=(16, 3, 3))
    layer = _conv("twelve", "input", 48, 12, (1, 1), (0, 0), groups=2)
    assert "twelve: channel = 4: 8 bytes from there lie in more than 1 words" in _refused(
        layer, shape=(24, 3, 3)
    )


def test_packets_faster_than_their_port_are_warned_of():
    """Chunks of one pixel: the weights take fewer cycles than the packets have words."""
    acc = load("ews-8", {"extension": (1, 1, 1), "weight_port_bits": 512})
    layer = _conv("fast", "input", 256, 256, (1, 1), (0, 0))
    network = Network("n", TensorSpec((256, 1, 1)), (layer,))
    assert compiler.compile(network, acc).warnings == (
        "fast: packets come faster than the command port brings them; the run is slower than docs/timing.md "
        "says",
    )
    slow = Network("n", TensorSpec((8, 8, 8)), (_conv("c", "input", 8, 8),))
    assert compiler.compile(slow, acc).warnings == ()


def test_jobs_and_tiles_wait_for_what_comes_from_dram():
    """Input and weights come once; the codebook comes with the first chunk, which then need not wait."""
    network, acc = shipped("resnet20-fashion"), preset("ews-cms-16")
    image = compiler.compile(network, acc)
    geometry = Geometry(acc)
    layout = packets.job(geometry)
    size = packets.words(layout)
    start = (image.windows["commands"].offset + image.streams["jobs"].address) // 8
    at = start
    for layer in image.layers:
        if layer.program is None:
            continue
        jobs = [
            sum(int(image.memory[at + n * size + w]) << 64 * w for w in range(size))
            for n in range(layer.jobs)
        ]
        at += layer.jobs * size
        waits = [job >> 4 & 1 for job in jobs]
        books = [job & 1 for job in jobs]
        assert books == [1] * layer.program.schedule.loads_codebook + [0] * len(layer.program.chunks)
        assert sum(waits) == (layer.program.chunks["dram_bytes"] > 0).sum()
        if books[0]:
            assert waits[:2] == [1, 0]
    assert at == start + image.streams["jobs"].words
