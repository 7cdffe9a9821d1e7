"""How often integers say what the float module says."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algos.frontend.export import quantize
from algos.judging import Judgement, judge
from sim.network import run


def classifier() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)).eval()


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 3, 2, 2, generator=generator), torch.arange(40) % 4


def test_shares_are_those_of_the_functional_model() -> None:
    module, (images, labels) = classifier(), data()
    found = quantize(module, [images])
    other = nn.Sequential(*module)  # of other answers in a known number of samples
    with torch.no_grad():
        scores = module(images)
    output = run(found.network, found.integers(images))[found.network.layers[-1].name]
    said = torch.from_numpy(output).flatten(1).argmax(1)
    judgement = judge(other, found, [(images[:25], labels[:25]), (images[25:], labels[25:])])
    assert judgement == Judgement(
        40,
        float((said == scores.argmax(1)).double().mean()),
        float((said == labels).double().mean()),
        float((scores.argmax(1) == labels).double().mean()),
    )
    turned = nn.Sequential(module, _Turned())
    lower = judge(turned, found, [images])
    assert lower is not None
    assert lower.accuracy is None
    assert lower.agreement < 0.2 < judgement.agreement
    assert str(lower).endswith("of 40 samples get the class that the float module gives")
    assert ", of the float module " in str(judgement)


class _Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return -x


def test_maps_are_not_judged() -> None:
    module, (images, _) = nn.Conv2d(3, 4, 1), data()
    assert judge(module, quantize(module, [images]), [images]) is None
    assert judge(classifier(), quantize(classifier(), [images]), []) is None
