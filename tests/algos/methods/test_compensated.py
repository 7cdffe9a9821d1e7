"""RTN, GPTQ, GPTAQ, ResComp and W* as methods: of any module, to integers that are theirs."""

from __future__ import annotations

import copy
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from algos import checkpoint, zoo
from algos.compensation import Rounding, Solver, compensate
from algos.compensation.solve import nearest
from algos.methods import compensated
from algos.methods.method import Data
from algos.methods.registry import METHODS
from algos.weights.bits import network_bits
from algos.weights.codebook import attached
from algos.weights.scalar import ScalarWeight
from codeword import cli
from sim import artifact
from sim.errors import InputError
from sim.network import DenseWeight, Int2Weight, Int3Weight, Int4Weight
from tests.algos.small_models import images, resnet8

NAMES = [method.name for method in compensated.METHODS]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(128, 16), nn.ReLU(), nn.Linear(16, 4)),
    ).eval()


def batches() -> list[torch.Tensor]:
    return list(torch.rand(3, 16, 3, 8, 8, generator=torch.Generator().manual_seed(1)))


def test_the_names() -> None:
    assert NAMES == ["rtn", "gptq", "gptaq", "rescomp", "wstar"]
    assert {METHODS[name].name for name in NAMES} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_integers_of_the_network_are_those_of_the_method(name: str) -> None:
    module = net()
    prepared = METHODS[name].prepare(module, batches=batches(), bits=3)
    weights = prepared.weights()
    assert list(weights) == ["2", "5"]
    network = prepared.convert(batches(), name="small")
    stored = [layer.weight for layer in network.layers if hasattr(layer, "weight")]
    for (path, weight), found in zip(weights.items(), stored[1:], strict=False):
        assert isinstance(weight, ScalarWeight)
        assert isinstance(found, DenseWeight)
        assert found.values.min() >= -4
        assert found.values.max() <= 3
        assert np.array_equal(np.sort(found.values.reshape(-1)), np.sort(weight.codes.numpy().reshape(-1)))
        layer = module.get_submodule(path)
        rows = layer.weight.permute(0, 2, 3, 1).flatten(1) if layer.weight.ndim == 4 else layer.weight
        assert rows.equal(weight.codes * weight.scale)


def test_a_method_is_its_solver() -> None:
    """Published shares, and which of them each method has."""
    expected = {
        "gptq": Solver(act_order=True),
        "gptaq": Solver(alpha1=0.25, act_order=True),
        "rescomp": Solver(alpha1=0.25, alpha2=0.25, act_order=True),
        "wstar": Solver(from_optimum=True, act_order=True),
    }
    for name, solver in expected.items():
        config = METHODS[name].configured(None, {"bits": 3})
        assert config.solver() == solver, name
        assert config.rounding() == Rounding(3, clip_search=True, static=True)
        module, other = net(), net()
        prepared = METHODS[name].prepare(module, batches=batches(), bits=3)
        found = compensate(other, batches(), config.rounding(), solver)
        for path, weight in prepared.weights().items():
            assert torch.equal(weight.codes, torch.cat([one.codes for one in found[path].groups]))
    assert METHODS["rescomp"].configured(None, {"bits": 2}).solver().carried == "rounded"
    assert METHODS["rtn"].defaults.solver() is None


def test_rtn_needs_no_samples() -> None:
    module = net()
    prepared = METHODS["rtn"].prepare(module, bits=3, clip_search=False)
    weight = prepared.weights()["5"]
    assert torch.equal(weight.codes, nearest(net()[5].weight, Rounding(3)).codes)
    with pytest.raises(InputError, match="batches"):
        METHODS["gptq"].prepare(net())


def test_bits_count_scales_and_zero_points() -> None:
    plan = METHODS["gptq"].plan(net(), group=16, include="5")
    assert plan.bits.per_weight == 4 + 4 / 16  # scales of 16 levels
    real = METHODS["gptq"].plan(net(), group=16, whole_scales=False, include="5")
    assert real.bits.per_weight == 4 + 16 / 16
    assert (
        METHODS["gptq"]
        .plan(net(), bits=2, group=16, zero_points=True, whole_scales=False, include="5")
        .bits.per_weight
        == 3.125
    )
    assert METHODS["rtn"].plan(net(), include="5").bits.per_weight == 4 + 16 / 128


def test_options_are_described() -> None:
    for name in NAMES:
        assert all("help" in one.metadata for one in fields(METHODS[name].defaults))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"group": 48}, r"5: group = 48: does not divide the 128 inputs of the layer\. Fix: use 32"),
        ({"bits": 9}, "bits = 9"),
        ({"damping": -1.0}, "damping = -1"),
        ({"include": "nothing"}, "layers = 'nothing'"),
        ({"alpha1": 1.0}, "alpha1 = 1.0: is no option of gptq"),
    ],
)
def test_mistakes_are_named(options, named) -> None:
    with pytest.raises(InputError, match=named):
        METHODS["gptq"].prepare(net(), batches=batches(), **{"include": "5"} | options)


def test_few_samples_without_damping() -> None:
    with pytest.raises(
        InputError, match=r"5: damping = 0.0: the second moments are singular\. Fix: raise it"
    ):
        METHODS["gptq"].prepare(net(), batches=[batches()[0][:2]], include="5", damping=0.0)


@pytest.mark.parametrize(
    "options", [{"group": 32, "whole_scales": False}, {"group": 32, "bits": 5}, {"zero_points": True}]
)
def test_what_a_network_of_integers_cannot_hold(options) -> None:
    prepared = METHODS["rtn"].prepare(net(), include="5", **options)
    with pytest.raises(InputError, match=next(iter(options))):
        prepared.convert(batches())


@pytest.mark.parametrize("name", ["rtn", "rescomp"])
@pytest.mark.parametrize(("bits", "kind"), [(4, Int4Weight), (3, Int3Weight), (2, Int2Weight)])
def test_groups_with_whole_scales_are_weights_of_the_machine(name: str, bits: int, kind: type) -> None:
    """A linear layer and a convolution, whose groups lie along channels at each kernel position."""
    module = net()
    prepared = METHODS[name].prepare(module, batches=batches(), bits=bits, group=4)
    counted = prepared.plan.bits
    network = prepared.convert(batches(), name="small", allow=["*"])
    assert network_bits(network) == counted
    stored = [layer.weight for layer in network.layers if hasattr(layer, "weight")]
    for weight, path in zip(stored[1:], prepared.weights(), strict=False):
        assert type(weight) is kind
        real = module.get_submodule(path).weight.detach()
        found = torch.from_numpy(weight.decode().astype(float))
        units = torch.from_numpy(prepared.weights()[path].scales())
        found = (found * units[:, None, None, None]).float()
        torch.testing.assert_close(found.flatten(1).sort(1).values, real.flatten(1).sort(1).values)
        if real.ndim == 4:
            torch.testing.assert_close(found, real)
        levels = prepared.weights()[path].scale / prepared.weights()[path].step
        torch.testing.assert_close(levels, levels.round())


def test_a_layer_of_another_kind() -> None:
    module = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Conv1d(4, 4, 3), nn.Conv1d(4, 2, 1))
    with pytest.raises(InputError, match="layers = '1': is a Conv1d"):
        METHODS["rtn"].prepare(module)


def test_a_checkpoint_holds_codebooks_alone(tmp_path: Path) -> None:
    model = resnet8()
    METHODS["rtn"].prepare(model)
    with pytest.raises(InputError, match=r"weight = 'ScalarWeight': is of levels or sums"):
        checkpoint.save(model, tmp_path / "out.safetensors")


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = tmp_path / "tiny.safetensors", tmp_path / "out.safetensors"
    checkpoint.save(resnet8(8), path)
    words = ["compress", str(path), "--method", "gptaq", "--bits", "3", "--alpha1", "0.5", "-o", str(out)]
    monkeypatch.setattr(sys, "argv", ["codeword", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    found = artifact.load(out)
    body = [layer.weight.values for layer in found.layers if hasattr(layer, "weight")][1:-1]
    assert all(int(values.min()) >= -4 and int(values.max()) <= 3 for values in body)
    assert network_bits(found).per_weight == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vim-fashion", "deit-fashion", "resnet20-fashion"])
def test_shipped_networks(name: str) -> None:
    """Integers of 4 bits from whole bodies, and the accuracy of chance is far away."""
    from algos import reference

    model, pictures = zoo.load(name), zoo.load_images()[1]
    data = Data(images(1), pictures.first(64))
    network = METHODS["gptq"].compress(copy.deepcopy(model), data, METHODS["gptq"].defaults)
    assert attached(next(iter(model.body().values()))) is None
    assert reference.accuracy(network, pictures.first(200)) > 0.7
