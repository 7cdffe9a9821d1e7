"""Every method on a device that is not the processor: nothing is computed between the two."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.methods import compensated
from algos.methods.registry import METHODS
from algos.weights.codebook import in_integers
from tests.algos.fake_device import CPU, DEVICE, OnGpu, Strays, fake_gpu, moved

CODEBOOK = {"k": 16, "d": 8}
SMALL: dict[str, dict[str, Any]] = {
    "mvq": {"pattern": (1, 2), **CODEBOOK},
    "vq4all": {"candidates": 4, **CODEBOOK},
    "vim-vq": {"steps": 6, "batch": 4, **CODEBOOK},
}
SMALL |= dict.fromkeys(("convex", "dkm", "vq4dit"), SMALL["vim-vq"])
SMALL |= {method.name: {} for method in compensated.METHODS}


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 16),
        nn.ReLU(),
        nn.Linear(16, 4),
    )


def test_the_device_refuses_strays() -> None:
    with fake_gpu():
        there = OnGpu(torch.ones(2))
        assert there.device == DEVICE
        assert (there + 1).device == DEVICE
        assert float(there.sum()) == 2
        assert there.to(CPU).device == CPU
        assert torch.ones(2).to(DEVICE).device == DEVICE
        assert torch.zeros(2, device="meta").device == DEVICE
        with pytest.raises(Strays):
            there + torch.ones(2)
        with pytest.raises((TypeError, RuntimeError)):
            there.numpy()


@pytest.mark.parametrize("method", list(METHODS))
def test_a_method_stays_on_the_device(method: str) -> None:
    """Prepared, trained and stored; the same codes as on the processor."""
    x, y = torch.rand(8, 3, 8, 8), torch.arange(8) % 4

    def run(module: nn.Module, x: Tensor, y: Tensor) -> list[Tensor]:
        options = SMALL.get(method, CODEBOOK)
        prepared = METHODS[method].prepare(module, batches=[(x, y)], updates=3, **options)
        optimizer = torch.optim.AdamW(prepared.parameters(others=1e-3), foreach=False)
        for _ in range(3):
            optimizer.zero_grad()
            (F.cross_entropy(module(x), y) + prepared.loss()).backward()
            optimizer.step()
            prepared.after_step()
        prepared.finish()
        for weight in prepared.weights().values():
            assert weight.stored().decode().shape[0] == len(weight.scales())
        codes = "codes" if options == {} else "assignments"
        return [getattr(weight, codes) for weight in prepared.weights().values()]

    expected = run(net(), x, y)
    with fake_gpu():
        module = moved(net())
        found = run(module, OnGpu(x), OnGpu(y))
        parts = [part for layer in module.modules() if (part := in_integers(layer)) is not None]
        tensors = [t for part in parts for t in (*part.parameters(), *part.buffers())]
        assert {one.device for one in tensors} == {DEVICE}
    for one, two in zip(found, expected, strict=True):
        assert float((one.inner == two).float().mean()) > 0.9  # type: ignore[attr-defined]
