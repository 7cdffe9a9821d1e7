"""What of the comparison with SCALE-Sim runs without SCALE-Sim."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeword.bench.scale_sim import closed_form, engine, layers_of, topology
from sim.errors import InputError
from sim.importers.scalesim import read
from sim.shapes import ConvShape

LAYERS = ("layer4.0.shortcut", "fc")


def test_topology_reads_back(tmp_path: Path) -> None:
    """Nothing is lost, and no window reaches beyond a map: both ways of counting agree."""
    path = tmp_path / "layers.csv"
    shapes = layers_of("resnet18")
    path.write_text(topology(shapes))
    found = read(path)
    assert found.macs == found.source_macs == sum(shape.macs for shape in shapes) == 1_814_073_344
    for mine, shape in zip(found.shapes, shapes, strict=True):
        assert isinstance(mine, ConvShape)
        assert (mine.out_h, mine.out_w, mine.stride) == (shape.out_h, shape.out_w, shape.stride)


def test_topology_refuses_what_the_format_does_not_know() -> None:
    with pytest.raises(InputError, match="one group, no dilation and one stride"):
        topology([ConvShape("depthwise", 8, 8, (3, 3), size=(9, 9), groups=8)])


def test_engine_in_a_process_of_its_own() -> None:
    run = engine("resnet18", LAYERS, 32, 64)
    assert run.cycles == closed_form(layers_of("resnet18", LAYERS), 32, 64).cycles
    assert run.seconds > 0
    assert run.megabytes > 10
