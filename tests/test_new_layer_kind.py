"""A kind of layer that is added and removed again: what a new one needs, and that nothing else lists them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from algos import reference
from sim import accelerator, artifact
from sim.errors import InputError
from sim.network import KINDS, Network, Operand, Table, TensorSpec, run
from sim.network.layers.base import Clamped, Single
from sim.network.layers.fields import Int8, Map
from sim.shapes import PassShape
from sim.systolic.engine import passes, simulate
from sim.systolic.engine.simulate import ARRAY
from tests.sim.network.kinds import every_layer
from tests.sim.network.networks import random_images, small_network


@dataclass(frozen=True)
class Negate(Single, Clamped):
    """y = clamp(z_y - (x - z_x))."""

    kind: ClassVar = "negate"
    summary: ClassVar = "The other sign."

    name: str
    input: str
    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127

    def ofmap(self, x: Map) -> Map:
        return x

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        return PassShape(self.name, "other", prod(x), 1, prod(x), chained, channels=x[0])

    def compute(self, x: Operand) -> np.ndarray:
        return self.emit(-x.real)


def kernel(layer: Negate, operands: list[np.ndarray], zeros: tuple[int, ...]) -> np.ndarray:
    negated = np.int16(layer.zero_point + zeros[0]) - operands[0].astype(np.int16)
    return np.minimum(np.maximum(negated, layer.low), layer.high).astype(np.int8)


def torch_negate(layer: Negate, values: list[torch.Tensor], zeros: list[int]) -> torch.Tensor:
    return (layer.zero_point - (values[0] - zeros[0])).clamp(layer.low, layer.high)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "negate", Negate)
    monkeypatch.setitem(passes.KERNELS, Negate, kernel)
    monkeypatch.setitem(reference.KINDS, Negate, torch_negate)


def network() -> Network:
    small = small_network(d=8, size=8)
    *body, classifier = small.layers
    return Network("negated", small.input, (*body, Negate("turned", "pool", -3, -90), classifier))


@pytest.mark.usefixtures("listed")
def test_the_new_kind_runs_on_all_three() -> None:
    net = network()
    images = random_images(net, 1)
    expected = run(net, images)
    simulation = simulate(net, accelerator.preset("ews-8"), images)
    assert simulation.bit_exact
    assert [layer.name for layer in simulation.layers][-2:] == ["turned", "fc"]
    found = reference.run(net, torch.from_numpy(images).long())
    for name, tensor in expected.items():
        np.testing.assert_array_equal(simulation.tensors[name], tensor, err_msg=name)
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)
    assert (expected["turned"] == np.clip(-expected["pool"].astype(int) - 3, -90, 127)).all()
    assert len(np.unique(expected["turned"])) > 2


@pytest.mark.usefixtures("listed")
def test_the_new_kind_travels_in_the_file(tmp_path: Path) -> None:
    artifact.save(network(), tmp_path / "net.safetensors")
    read = artifact.load(tmp_path / "net.safetensors")
    assert read["turned"] == Negate("turned", "pool", -3, -90)
    assert artifact.json_schema()["$defs"]["NegateHeader"]["description"] == "The other sign."


@pytest.mark.usefixtures("listed")
def test_a_kernel_that_computes_another_thing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(passes.KERNELS, Negate, lambda layer, operands, zeros: kernel(layer, operands, (9,)))
    net = network()
    assert not simulate(net, accelerator.preset("ews-8"), random_images(net, 1)).bit_exact


def test_a_kind_that_nobody_lists_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert artifact.json_schema() == json.loads(Path("docs/network.schema.json").read_text())
    net = network()
    images = random_images(net, 1)
    with pytest.raises(InputError, match=r"turned\.kind = 'negate': unknown to the vector unit"):
        simulate(net, accelerator.preset("ews-8"), images)
    with pytest.raises(InputError, match=r"turned\.kind = 'negate': unknown to the PyTorch reference"):
        reference.run(net, torch.from_numpy(images).long())
    path = tmp_path / "net.safetensors"
    with pytest.raises(InputError, match=r"turned\.kind = 'negate': unknown to the network file"):
        artifact.save(net, path)
    with monkeypatch.context() as listed:
        listed.setitem(KINDS, "negate", Negate)
        artifact.save(net, path)
    with pytest.raises(InputError, match=r"layers\.5\.kind = 'negate'"):
        artifact.load(path)


def test_a_kind_under_another_ones_name_is_not_written(tmp_path: Path) -> None:
    class Own(Table):
        pass

    layer = Own("own", "input", np.zeros(256, np.int8))
    with pytest.raises(InputError, match=r"own\.kind = 'table'"):
        artifact.save(Network("own", TensorSpec((1, 1, 1)), (layer,)), tmp_path / "net.safetensors")


def test_every_kind_is_in_the_tables_that_prove_it() -> None:
    kinds = set(KINDS.values())
    assert passes.KERNELS.keys() | ARRAY.keys() == kinds
    assert not passes.KERNELS.keys() & ARRAY.keys()
    assert reference.KINDS.keys() == kinds
    assert {type(layer) for layer in every_layer().layers} == kinds
