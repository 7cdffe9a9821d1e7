"""Tensors of torchao, frozen by `make_torchao`: read exactly, or refused with what does not fit."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from algos.frontend import foreign
from algos.frontend.export import quantize
from sim.errors import InputError
from sim.network import DenseWeight, Int4Weight, Mxfp4Weight, Nvfp4Weight
from tests.algos.frontend.make_torchao import PATH

FROZEN = json.loads(PATH.read_text())
CASES: dict[str, Any] = FROZEN["cases"]


def tensor(held: dict[str, Any]) -> torch.Tensor:
    flat = torch.tensor(list(bytes.fromhex(held["hex"])), dtype=torch.uint8)
    return flat.view(getattr(torch, held["dtype"])).reshape(held["shape"])


def given(name: str) -> Any:
    """A parameter with the class name and the fields of torchao's."""
    case = CASES[name]
    kind = type(
        case["class"],
        (torch.Tensor,),
        {"__module__": "torchao.frozen", "__deepcopy__": lambda self, memo: self},
    )
    weight = torch.tensor(case["dequantized"]).as_subclass(kind)
    for field, value in case.items():
        if isinstance(value, dict):
            value = tensor(value)
        elif field.endswith("dtype"):
            value = getattr(torch, value)
        if field not in ("class", "dequantized"):
            setattr(weight, field, tuple(value) if isinstance(value, list) else value)
    weight.is_swizzled_scales, weight.per_tensor_scale = False, None
    return weight


def module(name: str) -> nn.Module:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    net[0].weight.requires_grad_(False)
    net[0]._parameters["weight"] = given(name)
    return net


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mxfp4", Mxfp4Weight),
        ("nvfp4, whole", Nvfp4Weight),
        ("int4, whole", Int4Weight),
        ("int4, an output", DenseWeight),
    ],
)
def test_integers_are_those_of_the_file(name: str, kind: type) -> None:
    net = module(name)
    found = foreign.opened(net)
    assert found is not net
    part = found[0].parametrizations.weight[0]
    stored = part.stored()
    assert type(stored) is kind
    real = stored.decode()[:, :, 0, 0] * part.scales()[:, None]
    wanted = np.array(CASES[name]["dequantized"])
    assert np.abs(real - wanted).max() <= 1e-6 * np.abs(wanted).max()
    if kind is not DenseWeight:  # codes themselves, where no group is all zeros
        codes = tensor(CASES[name]["qdata"]).numpy()
        if kind in (Mxfp4Weight, Nvfp4Weight):
            codes = np.stack([codes & 15, codes >> 4], -1).reshape(len(codes), -1)
        assert np.array_equal(stored.elements[:, :, 0, 0], codes)


def test_as_a_network_of_integers() -> None:
    net = module("int4, whole")
    found = quantize(net, [torch.randn(16, 64, generator=torch.Generator().manual_seed(2))])
    first = found.network.layers[0].weight
    assert isinstance(first, Int4Weight)
    assert np.array_equal(first.elements[:, :, 0, 0], tensor(CASES["int4, whole"]["qdata"]).numpy())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "mxfp4, far apart",
            r"0\.weight = 'mxfp4': the scales of output 0 reach from .* no multiples of one step",
        ),
        ("nvfp4", r"0\.weight = 'nvfp4': the scales of output 0"),
        ("int4", r"0\.weight = 'int4': the scales of output 0"),
    ],
)
def test_what_does_not_fit_is_named(name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        foreign.opened(module(name))


def changed(name: str, **fields: Any) -> nn.Module:
    net = module(name)
    for field, value in fields.items():
        setattr(net[0].weight, field, value)
    return net


@pytest.mark.parametrize(
    ("name", "fields", "problem"),
    [
        ("mxfp4", {"is_swizzled_scales": True}, "scales = .*swizzled|swizzled"),
        ("mxfp4", {"elem_dtype": torch.float8_e4m3fn}, "is no element of MXFP4"),
        (
            "int4, whole",
            {"zero_point": torch.ones(4, 2, dtype=torch.int8)},
            "levels of groups have zero points",
        ),
        ("int4, whole", {"target_dtype": torch.int8}, "levels of 8 bits have scales of groups"),
        (
            "int4, an output",
            {"zero_point": torch.full((4, 1), 125, dtype=torch.int8)},
            "moves levels out of int8",
        ),
    ],
)
def test_other_tensors(name: str, fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        foreign.opened(changed(name, **fields))


def test_float_modules_stay() -> None:
    net = nn.Sequential(nn.Linear(4, 4))
    assert foreign.opened(net) is net
    other = SimpleNamespace()
    assert not foreign._foreign(other)
