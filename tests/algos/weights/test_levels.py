"""Levels that are not uniform: chosen nearest, the same in the network of integers, and under every solver."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from algos.compensation.scales import Rounding
from algos.compensation.solve import Solver, nearest, solve
from algos.compensation.statistics import Statistics
from algos.methods.registry import METHODS
from algos.weights.bits import network_bits
from algos.weights.levels import FORMS
from sim.errors import InputError
from sim.network import CodebookWeight, Mxfp4Weight, Nvfp4Weight, TernaryWeight

KINDS = {"mxfp4": Mxfp4Weight, "nvfp4": Nvfp4Weight, "ternary": TernaryWeight, "palette": CodebookWeight}
SIZES = {"mxfp4": 8, "nvfp4": 8, "ternary": None, "palette": None}
"""Groups."""


def rounding(form: str) -> Rounding:
    return Rounding(form=form, group=SIZES[form], clip_search=True, static=True, entries=4)


def weights(seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(6, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn * torch.tensor([1, 0.3]).repeat_interleave(8)


@pytest.mark.parametrize("form", FORMS)
def test_each_weight_has_its_nearest_level(form: str) -> None:
    real = weights()
    found = nearest(real, rounding(form))
    assert found.levels is not None
    scale = found.scale.repeat_interleave(found.group, 1)
    distance = (torch.tensor(found.levels.values) * scale[..., None] - real[..., None]).abs()
    taken = distance.gather(2, found.codes.long()[..., None])[..., 0]
    assert torch.allclose(taken, distance.amin(2))


@pytest.mark.parametrize("form", ["mxfp4", "nvfp4"])
def test_no_other_whole_scale_has_less_error(form: str) -> None:
    real, how = weights(1), rounding(form)
    found = nearest(real, how)
    assert found.step is not None
    assert found.levels is not None
    levels = torch.tensor(found.levels.values, dtype=torch.float64)
    multiples = found.scale / found.step
    assert set(multiples.round().flatten().tolist()) <= set(map(float, found.levels.multiples))
    for group in range(2):
        part = real[:, 8 * group : 8 * group + 8]

        def error(scale: torch.Tensor, part: torch.Tensor = part) -> torch.Tensor:
            near = (levels * scale[..., None] - part[..., None]).abs().amin(2)
            return near.pow(2.4).sum(1)

        own = error(found.scale[:, group : group + 1])
        for multiple in found.levels.multiples:
            assert (own <= error(found.step * multiple) + 1e-12).all()


@pytest.mark.parametrize(
    ("form", "solver"), list(itertools.product(FORMS, (Solver(), Solver(act_order=True))))
)
def test_without_correlations_compensation_is_rounding(form: str, solver: Solver) -> None:
    """H of independent inputs of one size is a multiple of 1: nothing can be made up for."""
    real, statistics = weights(2), Statistics(16)
    statistics.hessian += torch.eye(16, dtype=torch.float64)
    found = solve(real, statistics, rounding(form), solver)
    assert torch.equal(found.codes, nearest(real, rounding(form)).codes)


@pytest.mark.parametrize("form", FORMS)
def test_compensation_lowers_the_error_of_the_outputs(form: str) -> None:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(200, 16, generator=generator, dtype=torch.float64)
    inputs[:, 1:] += inputs[:, :1]  # correlated
    statistics, real = Statistics(16), weights(3)
    statistics.add(inputs)
    plain, better = nearest(real, rounding(form)), solve(real, statistics, rounding(form))
    errors = [float(((one.weights() - real) @ inputs.T).square().sum()) for one in (plain, better)]
    assert errors[1] < errors[0]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU()),
        *(nn.Conv2d(16, 4, 1), nn.Flatten(), nn.Linear(64, 4)),
    ).eval()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", ["rtn", "gptaq"])
def test_the_network_of_integers_holds_them(method: str, form: str) -> None:
    batches = list(torch.rand(2, 8, 3, 8, 8, generator=torch.Generator().manual_seed(1)))
    module, group = net(), {"group": SIZES[form]} if SIZES[form] else {}
    prepared = METHODS[method].prepare(module, batches=batches, elements=form, entries=4, **group)
    for name, part in prepared.weights().items():
        stored = part.stored()
        assert type(stored) is KINDS[form]
        real = stored.decode() * part.scales()[:, None, None, None]
        assert np.allclose(real, module.get_submodule(name).weight.detach().numpy(), atol=1e-6)
    network = prepared.convert(batches, allow=["*"])
    assert sum(type(layer.weight) is KINDS[form] for layer in network.layers if hasattr(layer, "weight")) == 2
    assert network_bits(network).per_weight == pytest.approx(prepared.plan.bits.per_weight, rel=0.02)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"elements": "ternary", "zero_points": True}, "zero_points = True: ternary has none"),
        ({"elements": "palette", "entries": 1}, "entries = 1: a palette has 2 to 256"),
        ({"elements": "mxfp8"}, "elements = 'mxfp8': rtn does not know it"),
        ({"elements": "nvfp4"}, "group = 16: does not divide the 8 inputs"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        METHODS["rtn"].prepare(net(), **options)
