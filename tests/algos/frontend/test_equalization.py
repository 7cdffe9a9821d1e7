"""Cross-layer equalization: the same in float, and of use where channels differ."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from algos.frontend.equalization import equalized, pairs
from algos.frontend.export import quantize


def norm(channels: int) -> nn.BatchNorm2d:
    """Of gains that differ by 1000."""
    made = nn.BatchNorm2d(channels)
    made.weight.data = torch.logspace(-1.5, 1.5, channels) * torch.tensor([1.0, -1.0]).repeat(channels // 2)
    made.bias.data, made.running_mean = torch.randn(channels), torch.randn(channels)
    made.running_var = torch.rand(channels) + 0.5
    return made


class Net(nn.Module):
    """A chain with a depth-wise layer, a residual, ReLU6, and a norm without gains."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n = nn.Conv2d(3, 8, 3, bias=False), norm(8)
        self.b, self.m = nn.Conv2d(8, 8, 3, groups=8), norm(8)
        self.c, self.d = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.e, self.f = nn.Conv2d(8, 6, 1), nn.Conv2d(6, 6, 1)
        self.plain = nn.BatchNorm2d(6, affine=False)
        self.g = nn.Conv2d(6, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.n(self.a(x))), 2)
        x = self.c(torch.relu(self.m(self.b(x))))
        x = x + self.d(torch.relu(x))
        x = self.f(nn.functional.relu6(self.e(x)))
        found: Tensor = self.g(torch.relu(self.plain(x)))
        return found


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


def test_only_what_commutes_is_a_pair(net: nn.Module) -> None:
    names = {part: name for name, part in net.named_modules()}
    found = [(names[pair.first], names[pair.second]) for pair in pairs(net, torch.randn(1, 3, 12, 12))]
    assert found == [("a", "b"), ("b", "c")]


def test_it_is_exact_in_float(net: nn.Module) -> None:
    x = torch.randn(5, 3, 12, 12)
    before = net(x)
    same = equalized(net, x[:1])
    torch.testing.assert_close(same(x), before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(net(x), before, rtol=0, atol=0)
    for pair in pairs(same, x[:1]):
        assert float((pair.factors() - 1).abs().max()) < 0.05
    assert not torch.allclose(same.c.weight, net.c.weight)


def test_what_a_scaling_of_channels_lost_comes_back(net: nn.Module) -> None:
    for part in (net.n, net.m):
        nn.init.ones_(part.weight)
    batches = [torch.randn(32, 3, 12, 12) for _ in range(2)]
    for number, pair in enumerate(pairs(net, batches[0][:1])):
        with torch.no_grad():
            pair.scale(torch.logspace(-1.5, 1.5, 8).roll(3 * number))
    plain, equal = (quantize(net, batches, equalize=each, allow=["*"]) for each in (False, True))
    assert equal.fidelity[-1].sqnr_db > plain.fidelity[-1].sqnr_db + 6
