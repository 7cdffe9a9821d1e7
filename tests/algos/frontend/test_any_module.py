"""Modules that nobody here wrote: right in integers, or refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import codeword
from algos import reference
from algos.frontend.export import Quantized, quantize
from algos.frontend.operators import OPERATORS
from sim.errors import InputError
from sim.network import Conv, run

Function = Callable[[Tensor], Tensor]


class Between(nn.Module):
    """A convolution, something, a convolution."""

    def __init__(self, something: Function, first: nn.Module | None = None, channels: int = 8) -> None:
        super().__init__()
        self.first = first or nn.Conv2d(3, 8, 3, padding=1)
        self.something = something
        self.last = nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.something(self.first(x)))


class Norm(nn.Module):
    """A batch norm of any signs and statistics, then a ReLU."""

    def __init__(self, norm: type[nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm(8)
        for tensor in (self.norm.weight, self.norm.bias, self.norm.running_mean):
            nn.init.normal_(tensor)
        nn.init.uniform_(self.norm.running_var, 0.2, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(x))


class Late(nn.Module):
    """Norms registered before the convolutions, and in another order than they run."""

    def __init__(self) -> None:
        super().__init__()
        self.after = Norm()
        self.before = Norm()
        self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.first = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(self.first(x))
        return self.after(self.second(y)) + y


class Squeeze(nn.Module):
    """Squeeze and excite."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.up(F.silu(self.down(x.mean((2, 3), keepdim=True)))))


class Nested(nn.Module):
    """Two operators without integers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Between(lambda x: x.cumsum(1))

    def forward(self, x: Tensor) -> Tensor:
        return F.grid_sample(self.inner(x), torch.zeros(1, 6, 6, 2), align_corners=False)


def pictures(count: int = 8, *extent: int) -> Tensor:
    shape = extent or (3, 8, 10)
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


def made(build: Callable[[], nn.Module], images: Tensor) -> Quantized:
    torch.manual_seed(1)
    return quantize(build().eval(), [images])


CASES: dict[str, Callable[[], nn.Module]] = {
    "bias before a norm": lambda: Between(Norm()),
    "dilation": lambda: Between(Norm(), nn.Conv2d(3, 8, 3, padding=2, dilation=2)),
    "groups": lambda: Between(nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1, groups=4), Norm())),
    "reflect": lambda: Between(Norm(), nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")),
    "same, even kernel": lambda: Between(Norm(), nn.Conv2d(3, 8, 4, padding="same", dilation=3)),
    "alpha": lambda: Between(lambda x: torch.add(x, F.max_pool2d(x, 3, 1, 1), alpha=-0.5)),
    "pre-activation": lambda: Between(nn.Sequential(Norm(), nn.Conv2d(8, 8, 3, padding=1))),
    "order of registration": lambda: Between(lambda x: x, Late()),
    "without a norm": lambda: Between(F.relu6),
    "transposed": lambda: Between(nn.Sequential(nn.ConvTranspose2d(8, 8, 3, 2, 1, 1), Norm())),
    "spelled-out functions": lambda: Between(lambda x: x * F.relu6(x + 3) / 6 + x * torch.sigmoid(x)),
    "squeeze and excite": lambda: Between(Squeeze()),
    "channel shuffle": lambda: Between(lambda x: x.reshape(1, 2, 4, 8, 10).transpose(1, 2).flatten(1, 2)),
    "halves": lambda: Between(lambda x: torch.cat((x[:, 4:], F.gelu(x[:, :4])), 1)),
    "uneven windows": lambda: Between(nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)),
    "ceil mode": lambda: Between(nn.MaxPool2d(3, 2, ceil_mode=True)),
    "resampling": lambda: Between(lambda x: F.interpolate(x, (11, 7), mode="bilinear")),
    "negative slope between": lambda: Between(lambda x: -2 * F.relu(x) + 1),
    "zero weights": lambda: Between(lambda x: 0 * x + 1),
    "constants within channels": lambda: Between(
        lambda x: x * torch.linspace(-1, 2, 10) + torch.ones(8, 8, 1)
    ),
    "weight norm": lambda: Between(
        F.silu, nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3, padding=1))
    ),
    "one convolution twice": lambda: nn.Sequential(*[nn.Conv2d(3, 3, 3, padding=1)] * 2),
    "classifier": lambda: nn.Sequential(
        Between(Norm()), nn.Flatten(), nn.Linear(320, 6, bias=False), nn.ReLU(), nn.Linear(6, 5)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_integers_follow_the_module(name: str) -> None:
    """Each layer alone, and the whole; INT8 of such tensors is within 1 % (40 dB)."""
    images = pictures()
    found = made(CASES[name], images)
    assert found.fidelity[-1].sqnr_db > 33
    assert min(one.alone_db for one in found.fidelity) > 33
    integers = found.network.input.quantize(images.numpy())
    theirs = reference.run(found.network, torch.from_numpy(integers).long())
    for layer, tensor in run(found.network, integers).items():
        np.testing.assert_array_equal(tensor, theirs[layer].numpy(), err_msg=layer)


def test_signals() -> None:
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Conv1d(3, 8, 3, 2, 2, 2),
        Norm(nn.BatchNorm1d),
        nn.ConvTranspose1d(8, 4, 4, 2, 1),
        nn.Flatten(),
        nn.Linear(80, 4),
    ).eval()
    found = quantize(module, [pictures(8, 3, 20)])
    assert found.network.input.shape == (3, 20, 1)
    assert found.fidelity[-1].sqnr_db > 33


def test_what_is_missing_is_listed_whole_and_by_path() -> None:
    with pytest.raises(InputError) as refused:
        made(Nested, pictures())
    text = str(refused.value)
    assert "module = 'Nested': 2 of its operations cannot become integers" in text
    assert "inner.cumsum (aten.cumsum)" in text
    assert "grid_sampler (aten.grid_sampler): has no layer of integers; resample outside the network" in text


@pytest.mark.parametrize(
    ("build", "images", "message"),
    [
        (lambda: Between(lambda x: x), torch.empty(0, 3, 8, 10), "calibration = 0: no images"),
        (
            lambda: nn.Bilinear(4, 4, 3),
            pictures(2, 4),
            "batches of 1 tensors.*the module takes 2: input1, input2",
        ),
        (lambda: Between(lambda x: (x, x)[0] if x.sum() > 0 else x), pictures(), "cannot record it"),
        (lambda: Between(lambda x: x.long()), pictures().long(), r"cannot record it"),
        (lambda: Between(lambda x: x, nn.Identity()), pictures(), "expected input"),
        (nn.Identity, pictures(), "computes nothing"),
    ],
)
def test_refusals(build: Callable[[], nn.Module], images: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(build, images)


def test_a_layer_that_is_lowered_wrongly_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison knows nothing of how a layer came about."""
    build, images = CASES["dilation"], pictures()
    whole = OPERATORS["aten.conv2d"]

    class Dense(type(whole)):  # type: ignore[misc]
        def lower(self, node, to):
            changed = {"dilation": [1, 1], "padding": [1, 1]} if node.name == "first" else {}
            super().lower(replace(node, arguments=node.arguments | changed), to)

    monkeypatch.setitem(OPERATORS, "aten.conv2d", Dense())
    with pytest.raises(
        InputError, match=r"quantized tensors = 1: are far from the float network(.|\n)*first"
    ):
        made(build, images)


def test_batches_of_any_kind_give_one_network() -> None:
    torch.manual_seed(1)
    module, images = Between(Norm()).eval(), pictures(32)

    def stream() -> Iterator[dict[str, Tensor]]:
        for part in images.split(8):
            yield {"pixels": part}

    labelled = [(part, torch.zeros(8)) for part in images.split(8)]
    first, second = (codeword.quantize(module, batches, input=(0.03, 5)) for batches in (stream(), labelled))
    assert (first.input.scale, first.input.zero_point, first.input.shape) == (0.03, 5, (3, 8, 10))
    for one, two in zip(first.layers, second.layers, strict=True):
        assert isinstance(one, Conv)
        assert isinstance(two, Conv)
        np.testing.assert_array_equal(one.weight.decode(), two.weight.decode())
        np.testing.assert_array_equal(one.bias, two.bias)


def test_the_input_s_range_comes_from_data() -> None:
    """Normalized pictures are no pixels: the values from -2 to 2.6 and not from 0 to 1."""
    torch.manual_seed(1)
    images = (torch.rand(8, 3, 8, 10) - 0.45) / 0.22
    spec = codeword.quantize(Between(F.relu).eval(), [images]).input
    assert spec.scale == pytest.approx(float(images.max() - images.min()) / 255, rel=0.02)
    assert spec.scale * (-128 - spec.zero_point) == pytest.approx(float(images.min()), rel=0.03)


def test_the_report_has_the_output_and_the_worst() -> None:
    tables: list[object] = []
    torch.manual_seed(1)
    codeword.quantize(Between(Norm()).eval(), [pictures()], report=tables.append)
    shown = str(tables[0])
    assert shown.splitlines()[1].startswith("last ")
    assert "first" in shown
