"""Vim and DeiT in integers: near the float model, equal in PyTorch, in `sim` and in the cycle engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from algos import reference
from algos.frontend.export import export
from algos.methods.method import Data
from algos.methods.registry import METHODS
from algos.methods.vim_vq import VimVqConfig, calibrate
from algos.models.deit import DeiT
from algos.models.vim import Vim
from codeword import inputs
from codeword.reports.machines import settings
from sim import accelerator
from sim.errors import InputError
from sim.network import CodebookWeight, Conv, Network, run
from sim.systolic.engine import simulate
from tests.algos.small_models import images

CONFIG = VimVqConfig(k=16, d=4, axis="output", steps=4, batch=4)


def model(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    made = Vim(16, 1) if kind is Vim else DeiT(16, 1, 2)
    for part in made.modules():
        if isinstance(part, nn.RMSNorm | nn.LayerNorm):
            nn.init.normal_(part.weight, 1.0, 0.3)
            if isinstance(part, nn.LayerNorm):
                nn.init.normal_(part.bias, 0.0, 0.3)
    nn.init.normal_(made.patches.place, 0.0, 0.3)
    return made.eval()


def machine(codewords: bool) -> accelerator.Accelerator:
    return accelerator.load("ews-c-16", {"codeword_length": 4} if codewords else {})


@pytest.mark.parametrize("kind", [Vim, DeiT])
def test_integers_follow_the_float_model(kind: type[nn.Module]) -> None:
    float_model, pixels = model(kind), images(6, seed=5).pixels
    network = export(float_model, images(32), name="float")
    with torch.no_grad():
        expected = float_model(pixels / 255).double()
    found = reference.logits(network, pixels).double()
    found *= (found * expected).sum() / found.square().sum()
    assert (found - expected).norm() < 0.03 * expected.norm()


@pytest.mark.parametrize("kind", [Vim, DeiT])
def test_every_tensor_of_two_references_is_equal(kind: type[nn.Module]) -> None:
    network, pixels = export(model(kind), images(16), name="both"), images(3, seed=6).pixels
    theirs = reference.run(network, pixels.long() + network.input.zero_point)
    ours = run(network, network.input.quantize(pixels.numpy() / 255))
    for layer in network.layers:
        assert (torch.from_numpy(ours[layer.name]).long() == theirs[layer.name]).all(), layer.name


def compressed_network() -> Network:
    found = model(Vim)
    assert isinstance(found, Vim)
    calibrate(found, images(8), CONFIG)
    return export(found, images(16), name="vim-vq")


def test_codebooks_survive_the_export() -> None:
    network = compressed_network()
    coded = [
        layer
        for layer in network.layers
        if isinstance(layer, Conv) and isinstance(layer.weight, CodebookWeight)
    ]
    # u, gate, out, and low, b, c, delta of either direction
    assert len(coded) == 3 + 2 * 4
    assert {layer.weight.d for layer in coded} == {4}


@pytest.mark.parametrize("kind", ["vim", "deit", "vim-vq"])
def test_the_cycle_engine_is_bit_exact(kind: str) -> None:
    network = (
        compressed_network()
        if kind == "vim-vq"
        else export(model({"vim": Vim, "deit": DeiT}[kind]), images(16), name=kind)
    )
    pixels = network.input.quantize(images(2, seed=7).pixels.numpy() / 255)
    assert simulate(network, machine(kind == "vim-vq"), pixels).bit_exact


@pytest.mark.parametrize(
    ("kind", "method", "options", "preset"),
    [
        (DeiT, "vq", {"k": 16, "d": 8, "epochs": 0}, "ews-c-16"),
        (DeiT, "mvq", {"k": 16, "epochs": 0}, "ews-cms-16"),
        (DeiT, "ssvq", {"k": 4, "epochs": 0}, "ssvq-16"),
        (Vim, "ssvq", {"k": 4, "epochs": 0}, "ssvq-16"),
        (Vim, "vq4all", {"k": 64, "epochs": 1}, "rom-16"),
    ],
)
def test_codebooks_of_every_method_are_cut_where_a_projection_is(
    kind: type[nn.Module], method: str, options: dict[str, int], preset: str
) -> None:
    """The rows of q, k and v (u and gate) together are the projection's weight, at the scale of a row."""
    found = model(kind)
    chosen = METHODS[method]
    network = chosen.compress(found, Data(images(128), images(32)), chosen.configured(None, options))  # type: ignore[arg-type]
    block = found.blocks[0]
    whole, names = (block.attention.qkv, "qkv") if kind is DeiT else (block.in_proj, ("u", "gate"))
    layers = [network[f"block0.{name}"] for name in names]
    integers = torch.cat([torch.from_numpy(layer.weight.decode()).double().flatten(1) for layer in layers])
    real = whole.weight.detach().double()
    factor = (real * integers).sum(1, keepdim=True) / integers.square().sum(1, keepdim=True)
    torch.testing.assert_close(real, factor * integers, rtol=0, atol=1e-6)
    pixels = network.input.quantize(images(1, seed=7).pixels.numpy() / 255)
    machine = inputs.accelerator(preset, settings(network, accelerator.load(preset)))
    assert simulate(network, machine, pixels).bit_exact


def test_codewords_along_the_inputs_are_refused() -> None:
    found = model(Vim)
    assert isinstance(found, Vim)
    calibrate(found, images(8), replace(CONFIG, axis="input"))
    with pytest.raises(InputError, match="calibrate with axis='output'"):
        export(found, images(16), name="input")


def test_weights_that_are_not_numbers_are_refused() -> None:
    found = model(DeiT)
    with torch.no_grad():
        found.blocks[0].fc1.weight[1, 2] = float("nan")
    with pytest.raises(InputError, match=r"fc1\.weight = nan"):
        export(found, images(16), name="nan")


def test_calibration_images_are_needed() -> None:
    with pytest.raises(InputError, match="calibration = 0"):
        export(model(DeiT), images(4).first(0), name="none")
