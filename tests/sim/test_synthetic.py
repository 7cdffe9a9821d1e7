"""Networks with random weights: the built-in shapes, lively values, every native format."""

from __future__ import annotations

import numpy as np
import pytest

from sim import accelerator, artifact
from sim.errors import InputError
from sim.estimate import estimate
from sim.network import CodebookWeight, Conv, run
from sim.shapes import with_logits
from sim.synthetic import native, synthetic
from sim.systolic.engine import simulate
from sim.systolic.streams import native_formats, network_formats
from sim.workloads import workload

FORMATS = ("mvq", "vq", "ssvq", "dense", "rom")


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "resnet50"])
def test_shapes_are_those_of_the_built_in_network(name):
    network, built_in = synthetic(name), workload(name)
    assert network.shapes == with_logits(built_in.shapes)
    assert network.macs == built_in.macs
    assert network.name == f"{name}-synthetic"
    assert network.metadata["synthetic"]


@pytest.mark.parametrize(
    ("name", "weight", "size"),
    [*(("resnet20", weight, None) for weight in FORMATS), ("resnet18", "mvq", 128), ("resnet50", "rom", 128)],
)
def test_tensors_use_their_range_and_hardly_saturate(name, weight, size):
    network = synthetic(name, weight, k=256, d=8, keep=2, group=8, size=size)
    images = np.random.default_rng(9).integers(-128, 128, (2, *network.input.shape)).astype(np.int8)
    for layer, tensor in run(network, images).items():
        if tensor.dtype == np.int8 and layer != "input":
            assert np.isin(tensor, (-128, 127)).mean() < 0.05, layer
            assert tensor.std() > 12, layer
            assert tensor.max() > 80, layer


def test_same_seed_same_network(tmp_path):
    first, again, other = (synthetic("resnet20", "rom", 64, 8, seed=seed) for seed in (3, 3, 4))
    for number, network in enumerate((first, again, other)):
        artifact.save(network, tmp_path / f"{number}.safetensors")
    written = [(tmp_path / f"{number}.safetensors").read_bytes() for number in range(3)]
    assert written[0] == written[1] != written[2]
    codebooks = {
        id(layer.weight.codebook)
        for layer in first.layers
        if isinstance(layer, Conv) and isinstance(layer.weight, CodebookWeight)
    }
    assert len(codebooks) == 1


@pytest.mark.parametrize("preset", ["ews-cms-16", "ews-c-16", "ssvq-16", "rom-16", "ws-16"])
def test_native_format_of_a_machine_runs_on_it(preset):
    machine = accelerator.preset(preset)
    network = native("resnet20-synthetic", machine)
    formats = {name: found[:2] for name, found in native_formats(network.shapes, machine).items()}
    assert network_formats(network, machine) == formats
    image = np.random.default_rng(1).integers(-128, 128, (1, *network.input.shape)).astype(np.int8)
    result = simulate(network, machine, image)
    assert result.bit_exact
    if preset != "rom-16":  # whose bank conflicts depend on the indices
        for engine, closed in zip(result.layers, estimate(network, machine).layers, strict=True):
            assert (engine.cycles, engine.accesses) == (closed.counts.cycles, closed.counts.accesses)


def test_bad_names():
    with pytest.raises(InputError, match="resnet18"):
        synthetic("resnet19")
    with pytest.raises(InputError, match="mvq"):
        synthetic("resnet20", "mqv")  # type: ignore[arg-type]
