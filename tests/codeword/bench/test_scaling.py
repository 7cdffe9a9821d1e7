"""What the benchmarks measure is what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from codeword.bench import scaling
from codeword.bench.suite import Figure
from sim.synthetic import synthetic


@pytest.mark.parametrize("layers", scaling.LAYERS)
def test_layers_of_a_chain_differ(layers: int) -> None:
    shapes = {replace(shape, name="") for shape in scaling.chain(layers)}
    assert len(shapes) == layers


def test_slope_and_picture(tmp_path: Path) -> None:
    series = scaling.Series("square", "n", (1, 10, 100), (2.0, 200.0, 20_000.0))
    assert series.line[0] == pytest.approx(2)
    scaling.figure([series, series], tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 1000


def test_figure_is_a_ratio_to_its_reference() -> None:
    fields = Figure("what", 2.0, "reference", 0.5, 8).to_json()
    assert (fields["ratio"], fields["macs_per_s"]) == (4, 4)
    assert Figure("alone", 2.0).to_json()["ratio"] is None


def test_float_network_has_every_layer() -> None:
    from codeword.bench.float_network import float_network

    network = synthetic("resnet18", size=32)
    assert float_network(network)(torch.rand(2, 3, 32, 32)).shape == (2, 1000, 1, 1)
