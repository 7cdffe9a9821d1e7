"""Any module: which layers a method takes, the plan it prints, loops of one's own, data flow of norms, blocks."""

from __future__ import annotations

import copy
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos import reference
from algos.flow import normed
from algos.methods.blocks import blocks, recorded
from algos.methods.registry import METHODS
from algos.weights.codebook import attached
from algos.weights.grouping import group
from sim.errors import InputError
from sim.network import CodebookWeight, run


class Block(nn.Module):
    """Pre-activation: the norm registered behind a convolution is not the one that takes its value."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class Net(nn.Module):
    """3x32x32; the head is registered first, the stem last."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(24, 5)
        self.blocks = nn.Sequential(Block(16), Block(16))
        self.mix = nn.Conv2d(16, 16, 3, groups=16)
        self.odd = nn.Conv2d(16, 20, 1)
        self.tail = nn.Linear(20, 24)
        self.stem = nn.Conv2d(3, 16, 3, stride=4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.odd(self.mix(self.blocks(self.stem(x))))
        return self.head(F.relu(self.tail(x.mean((2, 3)))))


BODY = ["blocks.0.conv1", "blocks.0.conv2", "blocks.1.conv1", "blocks.1.conv2", "tail"]


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 5


def test_first_and_last_are_those_that_run_first_and_last(batch) -> None:
    found = METHODS["vq"].plan(Net(), batches=[batch], k=16, d=8)
    assert list(found.targets) == BODY
    assert found.skipped == {
        "head": "the last layer",
        "mix": "depth-wise",
        "odd": "d = 8 does not divide its 20 output channels",
        "stem": "the first layer",
    }
    registered = METHODS["vq"].plan(Net(), k=16, d=8)
    assert registered.skipped["head"] == "the first layer"
    assert registered.skipped["stem"] == "the last layer"


def test_patterns_options_of_a_layer_and_what_the_plan_prints(batch) -> None:
    layers = {"blocks.*": {"k": 8, "d": 4}, "blocks.1.*": {"k": 32}}
    options: dict[str, Any] = {"k": 512, "d": 8, "pad": True, "layers": layers}
    found = METHODS["vq"].plan(
        Net(), batches=[batch], include=["blocks.*", "odd", "tail"], exclude="*.conv2", **options
    )
    cut = {name: (one.k, one.d, one.added) for name, one in found.targets.items()}
    assert cut == {
        "blocks.0.conv1": (8, 4, 0),
        "blocks.1.conv1": (32, 4, 0),
        "odd": (24, 8, 4),
        "tail": (30, 8, 0),
    }
    assert (
        found.targets["odd"].note
        == "k 512 -> 24, half of its 48 sub-vectors; 4 output channels of value 0 added"
    )
    text = str(found)
    assert "tail" in text
    assert "k 512 -> 30, half of its 60 sub-vectors" in text
    assert "blocks.0.conv2: stays, excluded" in text
    # eq. 7: 16*16*9/4 indices of 3 bits and 8 codewords of 4 bytes
    own = found.targets["blocks.0.conv1"].bits
    assert (own.assignments, own.codebooks) == (16 * 16 * 9 // 4 * 3, 8 * 4 * 8)
    everything = METHODS["vq"].plan(Net(), batches=[batch], include="*", k=16, d=1)
    assert {"stem", "head", "mix"} < set(everything.targets)


@pytest.mark.parametrize("method", list(METHODS))
def test_bits_of_the_plan_are_those_of_the_codes(method: str, batch) -> None:
    """Counted on what the layers hold, not by the formulas of the plan."""
    with_codebook = "k" in {one.name for one in fields(METHODS[method].defaults)}
    small = {"k": 16, "d": 8} if with_codebook else {"bits": 4, "group": 4}
    if with_codebook and METHODS[method].recipe is None:
        small |= {"steps": 1, "batch": 4}
    small |= {"pattern": (1, 2)} if method == "mvq" else {"candidates": 4} if method == "vq4all" else {}
    prepared = METHODS[method].prepare(Net(), batches=[batch], **small)
    prepared.finish()
    total = 0
    for weight in prepared.weights().values():
        stored = weight.stored()
        if not with_codebook:
            total += (stored.elements.size + stored.scales.size) * 4
            continue
        total += stored.assignments.size * 4
        if isinstance(stored, CodebookWeight):
            total += 0 if stored.mask_codes is None else stored.mask_codes.size
            total += 0 if stored.signs is None else stored.signs.size * 8
    bits = prepared.plan.bits
    assert bits.assignments + bits.masks + bits.signs + bits.scales == total


def test_errors_of_patterns() -> None:
    with pytest.raises(InputError, match=r"layers = 'block\.\*': fits no convolution or linear layer"):
        METHODS["vq"].plan(Net(), exclude="block.*")
    with pytest.raises(InputError, match="none can be compressed"):
        METHODS["vq"].plan(Net(), include="odd", d=8)
    with pytest.raises(InputError, match="layers = 'n': is no option of a layer"):
        METHODS["vq"].plan(Net(), layers={"tail": {"n": 3}})
    with pytest.raises(InputError, match="N:M = '4:16': does not fit d = 8 of blocks"):
        METHODS["mvq"].prepare(Net(), layers={"blocks.*": {"d": 8}})
    twice = Net()
    METHODS["vq"].prepare(twice, k=16)
    with pytest.raises(InputError, match="compressed already"):
        METHODS["vq"].prepare(twice, k=16)
    broken = Net()
    broken.tail.weight.data[0, 0] = torch.nan
    with pytest.raises(InputError, match=r"tail\.weight = nan"):
        METHODS["vq"].prepare(broken)


def test_tied_weights_stay(batch) -> None:
    module = Net()
    module.blocks[1].conv1.weight = module.blocks[0].conv1.weight
    found = METHODS["vq"].plan(module, batches=[batch], k=16)
    assert found.skipped["blocks.0.conv1"] == "shares its weight with blocks.1.conv1"


def test_added_channels_are_stored_and_not_used(batch) -> None:
    module = Net()
    original = module.odd.weight.detach().clone()
    prepared = METHODS["vq"].prepare(module, batches=[batch], include="odd", pad=True, k=16, d=8)
    weight = prepared.weights()["odd"]
    assert module.odd.weight.shape == (20, 16, 1, 1)
    assert weight.stored().shape == (24, 16, 1, 1)
    padded = torch.cat([original, torch.zeros(4, 16, 1, 1)])
    words = weight.codebook().detach()
    error = (group(padded, 8)[:, None] - words).square().sum(2)
    assert torch.equal(error.argmin(1), weight.assignments)
    module(batch[0]).sum().backward()
    found = prepared.quantized([batch], allow="*")
    network, images = found.network, found.integers(batch[0])
    assert network["odd"].weight.shape == (24, 16, 1, 1)  # type: ignore[union-attr]
    assert network.maps["odd.used"][0] == 20
    assert min(one.alone_db for one in found.fidelity) > 25
    for name, tensor in run(network, images).items():
        theirs = reference.run(network, torch.from_numpy(images).long())[name]
        np.testing.assert_array_equal(tensor, theirs.numpy())


@pytest.mark.parametrize("method", ["mvq", "ssvq", "vq4all"])
def test_a_loop_of_ones_own(method: str, batch) -> None:
    x, y = batch
    module = Net()
    options = {"candidates": 4} if method == "vq4all" else {"pattern": (1, 2)} if method == "mvq" else {}
    prepared = METHODS[method].prepare(module, batches=[batch], k=16, d=8, updates=30, **options)
    codes = {name: weight.assignments.clone() for name, weight in prepared.weights().items()}
    optimizer = torch.optim.AdamW(prepared.parameters(others=3e-3))
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        task = F.cross_entropy(module(x), y)
        (task + prepared.loss()).backward()
        optimizer.step()
        prepared.after_step()
        losses.append(float(task.detach()))
    assert losses[-1] < losses[0]
    assert prepared.finish() is module
    for name, weight in prepared.weights().items():
        layer = module.get_submodule(name)
        decoded = torch.from_numpy(weight.stored().decode()).float().reshape(layer.weight.shape)
        scales = torch.from_numpy(weight.scales()).float().reshape(-1, *[1] * (decoded.ndim - 1))
        torch.testing.assert_close(layer.weight.detach(), decoded * scales, rtol=1e-4, atol=1e-6)
        if method != "vq4all":
            assert torch.equal(weight.assignments, codes[name])


@pytest.mark.parametrize("method", ["ssvq", "vq4all"])
def test_schedules_must_know_their_length(method: str, batch) -> None:
    module = Net()
    prepared = METHODS[method].prepare(module, k=16, **({"candidates": 2} if method == "vq4all" else {}))
    module(batch[0])
    with pytest.raises(InputError, match="updates = None"):
        prepared.after_step()


def test_rates_by_group() -> None:
    prepared = METHODS["ssvq"].prepare(Net(), k=16)
    groups = prepared.parameters(codebook=1e-2, signs=5e-2, others=1e-4)
    assert [(group["lr"], len(group["params"])) for group in groups] == [(1e-2, 10), (5e-2, 5), (1e-4, 21)]
    assert "lr" not in prepared.parameters()[0]
    with pytest.raises(InputError, match="group = 'ratios': is none of this module"):
        prepared.parameters(ratios=1.0)


def test_norms_are_found_by_data_flow(batch) -> None:
    """conv1 -> norm2, and nothing else: norm1 takes a sum, conv2 feeds one."""
    module = Net()
    found = normed(module, batch[0])
    assert [(a is module.blocks[i].conv1, b is module.blocks[i].norm2) for i, (a, b) in enumerate(found)] == [
        (True, True)
    ] * 2


def test_gains_become_and_stay_positive_where_a_convolution_is_before_them(batch) -> None:
    module = Net().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)
    original, before = copy.deepcopy(module), module(batch[0])
    prepared = METHODS["vq"].prepare(module, batches=[batch], include="tail", k=16)
    tail = attached(module.tail)
    assert tail is not None
    nn.utils.parametrize.remove_parametrizations(module.tail, "weight", leave_parametrized=False)
    torch.testing.assert_close(module(batch[0]), before)
    assert float(module.blocks[0].norm2.weight.detach().min()) >= 0
    assert torch.equal(module.blocks[0].norm1.weight, original.blocks[0].norm1.weight)
    module.blocks[0].norm2.weight.data[0] = -1
    prepared.after_step()
    assert float(module.blocks[0].norm2.weight.detach().min()) > 0


def test_blocks_are_what_containers_hold(batch) -> None:
    assert blocks(Net(), BODY) == ["blocks.0", "blocks.1", "tail"]
    stream = recorded(Net().eval(), "blocks.1", [batch[0][:5], batch[0][5:]])
    whole = recorded(Net().eval(), "blocks.1", [batch[0]])
    assert len(stream) == 8
    torch.testing.assert_close(stream.output, whole.output)
    torch.testing.assert_close(stream.args[0], whole.args[0])


def test_vim_vq_searches_any_module(batch) -> None:
    """Blocks with the codewords found are nearer to the float ones than those of k-means."""
    errors = {}
    for steps in (0, 60):
        module = Net().eval()
        options: dict[str, Any] = {"k": 8, "d": 4, "batch": 4, "rate_codebook": 2e-3}
        METHODS["vim-vq"].prepare(module, batches=[batch], steps=steps, **options)
        stream = recorded(Net().eval(), "blocks.1", [batch[0]])
        with torch.no_grad():
            errors[steps] = float((module.blocks[1](*stream.args) - stream.output).square().mean())
        assert all(p.requires_grad for name, p in module.named_parameters() if "original" not in name)
    assert errors[60] < 0.8 * errors[0]
