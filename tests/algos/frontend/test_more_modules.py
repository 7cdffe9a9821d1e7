"""More modules that nobody here wrote, of the kinds that once went wrong without a word."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos import reference
from algos.frontend.export import Quantized, quantize
from sim.errors import InputError
from sim.network import run
from tests.algos.frontend.test_any_module import Between, Norm, made, pictures


class Standardized(nn.Conv2d):
    """Weights of mean 0 and deviation 1, computed in every call."""

    def forward(self, x: Tensor) -> Tensor:
        mean, std = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3), keepdim=True)
        return F.conv2d(x, (self.weight - mean) / (std + 1e-5), self.bias, padding=1)


class TwoNorms(nn.Module):
    """One convolution, two norms behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.two = nn.Conv2d(8, 8, 3, padding=1), Norm(), Norm()

    def forward(self, x: Tensor) -> Tensor:
        return self.one(self.conv(x)) - self.two(self.conv(x.flip(3)))


class Last(nn.Module):
    """Channels last within, as ConvNeXt has them, with a gain a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.wide, self.back = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.gain = nn.Parameter(torch.linspace(-1, 1, 8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.back(F.gelu(self.wide(self.norm(x.permute(0, 2, 3, 1))))) * self.gain
        return x + y.permute(0, 3, 1, 2)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Conv2d(8, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.both(x), 1)


class Down(nn.Module):
    """Half the size and back, joined with what was before."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((F.interpolate(F.max_pool2d(x, 2), scale_factor=2.0), x), 1)


class Heads(nn.Module):
    """Torch's own attention over the places of a map."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = x.flatten(2).transpose(1, 2)
        return x + self.attention(y, y, y, need_weights=False)[0].transpose(1, 2).reshape(x.shape)


def overwritten(x: Tensor) -> Tensor:
    y = x + 0.5
    F.relu_(y)
    return y * x


def hidden_sums(x: Tensor) -> Tensor:
    """Decays from each token to each later one, as Mamba-2 spells them."""
    later = torch.ones(8, 10, dtype=torch.bool).triu(1)
    return x.cumsum(1).masked_fill(later, -torch.inf).exp()


def masked(x: Tensor) -> Tensor:
    return x * (torch.arange(10) % 3 > 0)


CASES: dict[str, Callable[[], nn.Module]] = {
    "a slope a channel": lambda: Between(nn.Sequential(nn.PReLU(8), nn.Conv2d(8, 8, 1))),
    "dilated windows": lambda: Between(nn.MaxPool2d(3, 1, dilation=2)),
    "dilated windows with strides": lambda: Between(nn.MaxPool2d(2, 2, dilation=(4, 1))),
    "circular": lambda: Between(Norm(), nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular")),
    "replicate, even kernel": lambda: Between(
        Norm(), nn.Conv2d(3, 8, (4, 2), padding=1, padding_mode="replicate")
    ),
    "several outputs a channel": lambda: Between(
        nn.Sequential(nn.Conv2d(8, 24, 3, padding=1, groups=8), nn.Conv2d(24, 8, 1), Norm())
    ),
    "a norm before padding": lambda: Between(nn.Sequential(Norm().norm, nn.Conv2d(8, 8, 3, padding=1))),
    "a factor between": lambda: Between(lambda x: 0.5 * x, nn.Sequential(nn.Conv2d(3, 8, 3), Norm())),
    "a norm without gains": lambda: Between(nn.BatchNorm2d(8, affine=False)),
    "two norms of one convolution": lambda: Between(TwoNorms()),
    "subtracted the other way": lambda: Between(lambda x: torch.rsub(x, F.relu(x), alpha=2)),
    "divided": lambda: Between(lambda x: (x / torch.linspace(1, 2, 8)[:, None, None]) / -3),
    "chosen": lambda: Between(lambda x: torch.where(x > 0, x, 0.1 * x)),
    "channels last": lambda: Between(Last()),
    "gated": lambda: Between(Gated()),
    "down and up": lambda: Between(Down(), channels=16),
    "torch's attention": lambda: Between(Heads()),
    "standardized weights": lambda: Between(Norm(), Standardized(3, 8, 3)),
    "spectral norm": lambda: Between(F.relu, nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 8, 3))),
    "written in place": lambda: Between(overwritten),
    "masked columns": lambda: Between(masked),
    "parts of several sizes": lambda: Between(lambda x: torch.cat(x.split([1, 5, 2], 1)[::-1], 1)),
    "the largest place": lambda: Between(nn.AdaptiveMaxPool2d((4, 5))),
    "wrapped for many devices": lambda: nn.DataParallel(Between(Norm())),
    "a norm behind a linear layer": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(240, 8), Norm(nn.BatchNorm1d), nn.Linear(8, 4)
    ),
    "logarithms of probabilities": lambda: nn.Sequential(
        Between(Norm()), nn.Flatten(), nn.Linear(320, 6), nn.LogSoftmax(1)
    ),
}


def alike(found: Quantized, real: np.ndarray) -> None:
    """The functional model and the PyTorch reference agree on every tensor."""
    integers = found.network.input.quantize(real)
    theirs = reference.run(found.network, torch.from_numpy(integers).long())
    for layer, tensor in run(found.network, integers).items():
        np.testing.assert_array_equal(tensor, theirs[layer].numpy(), err_msg=layer)


@pytest.mark.parametrize("name", CASES)
def test_integers_follow_the_module(name: str) -> None:
    """The whole within 3 % (30 dB), each layer alone within 1 %."""
    images = pictures()
    found = made(CASES[name], images)
    assert found.fidelity[-1].sqnr_db > 30
    assert min(one.alone_db for one in found.fidelity) > 33
    alike(found, images.numpy())


class Words(nn.Module):
    """Numbers of words and their places, a class."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50, 16), nn.Embedding(7, 16)
        self.inner, self.head = nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, numbers: Tensor) -> Tensor:
        x = self.words(numbers) + self.places(torch.arange(numbers.shape[1]))
        return self.head(F.gelu(self.inner(x)).mean(1))


def test_the_host_looks_words_up() -> None:
    torch.manual_seed(1)
    module, numbers = Words().eval(), torch.randint(0, 50, (9, 7))
    found = quantize(module, [numbers, numbers.flip(1)])
    lookup = found.sources.each[0].lookup
    assert lookup is not None
    assert found.network.metadata == {"host_lookup": {"rows": 50, "width": 16, "rows_a_sample": 7}}
    assert torch.equal(lookup(numbers), module.words(numbers))
    assert found.network.input.shape == (16, 7, 1)
    assert found.fidelity[-1].sqnr_db > 30
    alike(found, lookup(numbers).detach().transpose(1, 2).numpy()[..., None])


class Several(nn.Module):
    """A dictionary of a map and classes of it, and nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.map, self.head = Between(Norm()), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor | None]:
        y = self.map(x)
        return {"classes": self.head(y.mean((2, 3))), "map": y, "aux": None}


def test_several_results_are_named() -> None:
    images = pictures()
    found = made(Several, images)
    assert found.network.metadata == {"outputs": ["head", "map.last"]}
    near = {one.name: one.sqnr_db for one in found.fidelity}
    assert near["head"] > 30
    assert near["map.last"] > 30
    alike(found, images.numpy())


class Compared(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x - y


@pytest.mark.parametrize(
    ("build", "images", "message"),
    [
        (lambda: Between(nn.MaxPool2d(3, 1, 1, dilation=2)), pictures(), "dilated pooling"),
        (
            lambda: nn.Embedding(9, 4, max_norm=1.0),
            torch.zeros(4, 6, dtype=torch.long),
            "one embedding alone",
        ),
        (lambda: Between(lambda x: x.sort(1)[0]), pictures(), r"\(aten.sort\)"),
        (lambda: Between(hidden_sums), pictures(), r"cumsum \(aten.cumsum\)"),
        (
            lambda: Between(lambda x: F.relu(x).log()),
            pictures(),
            "activation log = .*: holds NaN or infinity",
        ),
        (lambda: Between(lambda x: torch.fft.fft2(x).real), pictures(), "constant matrix"),
    ],
)
def test_refusals(build: Callable[[], nn.Module], images: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(build, images)
