"""VQ4ALL: the universal codebook, progressive construction, and what reaches the hardware."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import codeword
from algos import reference
from algos.body import layers_to_compress
from algos.frontend.export import export
from algos.methods import vq4all
from algos.methods.blocks import blocks
from algos.methods.method import Data
from algos.methods.vq4all import Vq4allConfig, confirmed, construct, universal_weights
from algos.models.resnet import ResNet
from algos.weights.codebook import attached
from algos.weights.grouping import group
from algos.weights.universal import FrozenCodebook, UniversalWeight, normalized, rounded, sample_codebook
from rtl.compiler import universal_codebook
from rtl.weights.rom import init_files
from sim import accelerator, artifact
from sim.errors import InputError
from sim.network import CodebookWeight, Conv, DenseWeight, Network
from tests.algos.small_models import images, resnet8

QUICK = Vq4allConfig(k=64, d=8, candidates=4, epochs=3, batch=16)


def built(config: Vq4allConfig = QUICK, width: int = 8, **options) -> tuple[ResNet, FrozenCodebook]:
    model = resnet8(width)
    layers = layers_to_compress(model)
    codebook = vq4all.universal_codebook([layers], config)
    construct(model, layers, blocks(model, layers), codebook, images(48), config, **options)
    return model, codebook


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    """Two networks of different widths from one codebook."""
    models = {"narrow": resnet8(8), "wide": resnet8(16, seed=1)}
    return vq4all.compress_together(models, Data(images(48), images(32)), QUICK)


def coded(net: Network) -> list[CodebookWeight]:
    return [
        layer.weight
        for layer in net.layers
        if isinstance(layer, Conv) and isinstance(layer.weight, CodebookWeight)
    ]


def test_each_network_gives_the_same_number_of_subvectors() -> None:
    """Told apart by their signs: normalized, networks of constant weights hold only 1 or only -1."""
    small, large = [torch.full((8, 64), 3.0)], [torch.full((64, 512), -0.1)]
    codebook = sample_codebook([small, large], k=128, d=8, seed=3)
    positive = (codebook.codewords > 0).all(1)
    assert ((codebook.codewords < 0).all(1) ^ positive).all()
    assert int(positive.sum()) == 64
    with pytest.raises(InputError, match="k = 129: the networks give 128 sub-vectors"):
        sample_codebook([small, large], k=129, d=8)


def test_codewords_are_subvectors_with_gaussian_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 128, generator=generator)
    observed = normalized(weight, 4).double()
    for bandwidth in (0.0, 0.02):
        codebook = sample_codebook([[weight]], k=500, d=4, bandwidth=bandwidth)
        error = torch.cdist(codebook.codewords.double(), observed, p=2).amin(1)
        # INT8 rounding has a variance of step^2 / 12 an element; real values are scaled to a deviation of 1
        expected = math.sqrt(4 * (bandwidth**2 + codebook.step**2 / 12))
        assert float(error.square().mean().sqrt()) == pytest.approx(expected, rel=0.1)


def test_scales_of_channels_do_not_reach_the_codebook() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(32, 16, 3, 3, generator=generator)
    louder = weight * torch.logspace(-3, 2, 32)[:, None, None, None]
    one, two = (sample_codebook([[w]], k=64, d=8).integers for w in (weight, louder))
    assert int((one.int() - two.int()).abs().max()) <= 1  # the rounding of the scales
    assert (one != two).float().mean() < 0.01
    expected = weight / weight.flatten(1).norm(dim=1)[:, None, None, None] * 144**0.5
    torch.testing.assert_close(normalized(louder, 8), group(expected, 8), rtol=1e-4, atol=1e-5)


def test_a_silent_channel_stays_silent() -> None:
    weight = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    weight[3] = 0
    part = UniversalWeight(rounded(torch.randn(16, 8, generator=torch.Generator().manual_seed(1))), weight, 2)
    assert part(weight)[3].abs().max() < 1e-6


def test_the_integers_alone_are_the_codebook() -> None:
    integers = torch.randint(-128, 128, (64, 4), generator=torch.Generator().manual_seed(0)).to(torch.int8)
    codebook = FrozenCodebook(integers)
    values = integers.numpy().astype(np.float64)
    np.testing.assert_allclose(codebook.codewords, values / values.std(ddof=1), rtol=1e-6)
    assert not codebook.state_dict()
    assert not list(codebook.parameters())


def test_construction_follows_its_schedule_and_leaves_the_codebook() -> None:
    shares: list[float] = []
    model = resnet8(8)
    layers = layers_to_compress(model)
    codebook = vq4all.universal_codebook([layers], QUICK)
    before = codebook.integers.clone(), codebook.codewords.clone()
    config = replace(QUICK, epochs=5, forced=(0.2, 0.8))
    construct(
        model,
        layers,
        blocks(model, layers),
        codebook,
        images(48),
        config,
        report=lambda epoch, loss, seconds: shares.append(confirmed(model)),
    )
    assert shares == sorted(shares)
    for share, wanted in zip(shares, (0, 1 / 3, 2 / 3, 1, 1), strict=True):
        assert share >= wanted - 1e-6
    assert shares[2] < 1
    assert torch.equal(codebook.integers, before[0])
    assert torch.equal(codebook.codewords, before[1])
    for weight in universal_weights(model):
        assert weight.soft.confirmed.all()
        assert (weight.assignments < 64).all()
        assert (weight.soft.candidates == weight.assignments[:, None]).any(1).all()


def test_soft_and_hard_models_agree_to_the_bit() -> None:
    model, codebook = built()
    pixels = images(8).pixels.float() / 255
    soft = model(pixels)
    for layer in model.body().values():
        part = attached(layer)
        assert isinstance(part, UniversalWeight)
        k, c, ky, kx = layer.weight.shape
        values = codebook.codewords[part.assignments].reshape(k // 8, c, ky, kx, 8)
        hard = values.permute(0, 4, 1, 2, 3).reshape(k, c, ky, kx)
        hard = hard * part.log_scales.detach().exp()[:, None, None, None]
        assert torch.equal(layer.weight, hard)
        nn.utils.parametrize.remove_parametrizations(layer, "weight")
        assert torch.equal(layer.weight, hard)
    assert torch.equal(model(pixels), soft)


class _Classifier(nn.Module):
    """No norms, and linear layers: what a transformer is made of."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(x)))

    def layers(self) -> dict[str, nn.Module]:
        return {"hidden.1": self.hidden[1], "hidden.3": self.hidden[3]}


def test_construction_learns() -> None:
    """Constructed weights compute the features of the float network better than nearest codewords do."""
    float_model = _Classifier()
    x = images(96).pixels.float() / 255
    with torch.no_grad():
        some = replace(images(96), labels=float_model(x).argmax(1))
    losses: list[float] = []
    nearest_model, model = copy.deepcopy(float_model), copy.deepcopy(float_model)
    codebook = vq4all.universal_codebook([model.layers()], QUICK)
    construct(
        model,
        model.layers(),
        ["hidden"],
        codebook,
        some,
        replace(QUICK, epochs=12),
        report=lambda epoch, loss, seconds: losses.append(loss),
    )
    assert losses[-1] < losses[0]
    with torch.no_grad():
        for layer in nearest_model.layers().values():
            part = UniversalWeight(codebook, layer.weight, 1)
            part.soft.confirm_top(1)
            layer.weight.copy_(part(layer.weight))
        target = float_model.hidden(x)
        before, after = (float((m.hidden(x) - target).norm() / target.norm()) for m in (nearest_model, model))
    assert after < 0.8 * before


class _Interruption(Exception):
    pass


def test_an_interrupted_construction_gives_the_same_tensors(tmp_path) -> None:
    def interrupt(epoch: int, loss: float, seconds: float) -> None:
        if epoch == 2:
            raise _Interruption

    whole, _ = built()
    path = tmp_path / "net.pt"
    with pytest.raises(_Interruption):
        built(checkpoint=path, report=interrupt)
    seen: list[int] = []
    resumed, _ = built(checkpoint=path, report=lambda epoch, loss, seconds: seen.append(epoch))
    assert seen == [3]
    expected = whole.state_dict()
    for name, tensor in resumed.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    with pytest.raises(InputError, match="another configuration or codebook"):
        built(replace(QUICK, threshold=0.9), checkpoint=path)
    with pytest.raises(InputError, match="another configuration or codebook"):
        built(checkpoint=path, width=16)


def test_linear_layers_of_any_module() -> None:
    model = _Classifier()
    codebook = vq4all.universal_codebook([model.layers()], QUICK)
    construct(model, model.layers(), ["hidden"], codebook, images(48), QUICK)
    assert confirmed(model) == 1
    assert attached(model.head) is None
    stored = universal_weights(model)[0].stored()
    assert stored.shape == (32, 784, 1, 1)
    step = universal_weights(model)[0].scales()
    np.testing.assert_allclose(
        stored.decode()[:, :, 0, 0] * step[:, None], model.hidden[1].weight.detach(), rtol=1e-5, atol=1e-7
    )


def test_one_codebook_in_every_layer_of_every_network(networks) -> None:
    codebooks = {weight.codebook.tobytes() for net in networks.values() for weight in coded(net)}
    assert len(codebooks) == 1
    for net in networks.values():
        assert len(coded(net)) == 8
        assert all(weight.universal and weight.format == "vq" for weight in coded(net))
        dense = [
            layer.name
            for layer in net.layers
            if isinstance(layer, Conv) and isinstance(layer.weight, DenseWeight)
        ]
        assert dense == ["stem", "fc"]


def test_channel_scales_go_into_the_requantization() -> None:
    model = resnet8(8)
    model.blocks[1].conv2.weight.data *= torch.logspace(-0.5, 0.5, 16)[:, None, None, None]
    layers = layers_to_compress(model)
    codebook = vq4all.universal_codebook([layers], QUICK)
    construct(model, layers, blocks(model, layers), codebook, images(48), QUICK)
    net = export(model, images(32), name="x")
    layer, conv = net["block1.conv2"], model.body()["blocks.1.conv2"]
    assert isinstance(layer, Conv)
    assert layer.requantization is not None
    norm = model.blocks[1].bn2
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    m = layer.requantization.multiplier / 2.0**layer.requantization.shift
    # m = step * channel scale * gain * a constant of the two activation scales
    weight = layer.weight.decode().astype(np.float64)
    steps = (conv.weight.detach().numpy() * weight).sum((1, 2, 3)) / (weight**2).sum((1, 2, 3))
    ratio = m / (steps * gain.detach().numpy())
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-4)
    assert steps.max() > 5 * steps.min()


def test_a_new_network_from_the_rom_of_others(networks, tmp_path) -> None:
    """The integers that the others' files hold are all that it needs."""
    integers = torch.from_numpy(coded(networks["wide"])[0].codebook)
    rom = vq4all.from_rom(FrozenCodebook(integers))
    late = rom.compress(resnet8(8, seed=5), Data(images(48), images(32)), QUICK, name="late")
    for net in (*networks.values(), late):
        artifact.save(net, tmp_path / f"{net.name}.safetensors")
    assert len(list(tmp_path.glob("*.codebook.safetensors"))) == 1


def test_the_cycle_engine_computes_the_same_with_a_rom(networks) -> None:
    pixels = images(2, seed=3).pixels
    integers = (pixels.to(torch.int16) - 128).to(torch.int8).numpy()
    result = codeword.simulate(networks["narrow"], "rom-16", integers)
    assert result.bit_exact
    expected = reference.run(networks["narrow"], pixels.long() - 128)
    for name, tensor in expected.items():
        if name != "input":
            np.testing.assert_array_equal(result.tensors[name], tensor, err_msg=name)


def test_rom_image(networks) -> None:
    """Bank b holds codewords b, b + B, ...; element 0 is the lowest byte."""
    codebook = universal_codebook(networks["narrow"])
    files = init_files(accelerator.load("rom-16", {"codebook_entries": 64}), codebook)
    assert len(files) == 4
    for bank, (_, text) in enumerate(sorted(files.items())):
        words = [line for line in text.split() if not line.startswith(("@", "//"))]
        found = [[byte - 256 * (byte > 127) for byte in reversed(bytes.fromhex(word))] for word in words]
        assert found == codebook[bank::4].tolist()


@pytest.mark.slow
def test_a_layer_on_the_rtl(networks) -> None:
    result = codeword.verify(
        "rom-8", network=networks["narrow"], layer="block1.conv1", settings=["codebook_entries=64"]
    )
    assert result.words_compared > 3000
    assert result.mismatches == 0


def test_bad_input(networks) -> None:
    for change, message in (
        ({"k": 1}, "k = 1"),
        ({"threshold": 1.0}, "threshold = 1"),
        ({"forced": (0.9, 0.5)}, "forced"),
        ({"epochs": 0}, "epochs = 0"),
    ):
        with pytest.raises(InputError, match=message):
            replace(QUICK, **change)
    with pytest.raises(InputError, match="fewer than a batch of 16"):
        vq4all.METHOD.compress(resnet8(8), Data(images(8), images(4)), QUICK)
    with pytest.raises(InputError, match="calibration = 0"):
        vq4all.METHOD.compress(resnet8(8), Data(images(48), images(0)), QUICK)
    with pytest.raises(InputError, match="d = 16: does not divide the 8 output channels"):
        vq4all.METHOD.compress(resnet8(8), Data(images(48), images(4)), replace(QUICK, d=16))
    part = UniversalWeight(FrozenCodebook(torch.eye(8, dtype=torch.int8)), torch.ones(8, 3), 2)
    with pytest.raises(InputError, match="assignments = 3: are not confirmed"):
        part.stored()
