"""SSVQ whole: clustering of magnitudes, joint training, resuming, integers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from algos import checkpoint, reference
from algos.frontend.export import export
from algos.methods import ssvq
from algos.methods.method import Data
from algos.methods.ssvq import SsvqConfig
from algos.models.resnet import ResNet
from algos.norms import absorb_gain_signs
from algos.training import Recipe
from algos.weights.bits import Bits, network_bits
from algos.weights.grouping import group
from algos.weights.kmeans import masked_kmeans
from algos.weights.signs import Freezing
from sim import accelerator, artifact
from sim.errors import InputError
from sim.network import CodebookWeight, Conv, Network, run
from sim.systolic.engine import simulate
from sim.systolic.streams import network_formats
from tests.algos.small_models import images, resnet8

TUNING = Recipe(epochs=3, rate=2e-2, optimizer="adamw", decay=0.0, batch=16)
EAGER = SsvqConfig(freezing=Freezing(interval=2, momentum=0.3, start=0.2, end=0.05, warm_up=0.3))


def clustered(config: SsvqConfig = EAGER, width: int = 8) -> ResNet:
    model = resnet8(width)
    ssvq.cluster(model, config)
    return model


def coded(network: Network) -> list[CodebookWeight]:
    return [
        layer.weight
        for layer in network.layers
        if isinstance(layer, Conv) and isinstance(layer.weight, CodebookWeight)
    ]


def test_weights_are_plain_kmeans_of_magnitudes_with_the_signs_of_the_weights() -> None:
    original, model = resnet8(), resnet8()
    absorb_gain_signs(original)
    reports = ssvq.cluster(model, SsvqConfig(k=20))
    for name, layer in model.body().items():
        vectors = group(original.body()[name].weight.detach(), 8)
        found = masked_kmeans(vectors.abs(), None, min(20, len(vectors) // 2))
        scale = float(layer.parametrizations.weight[0].codebook.scale.detach())
        expected = found.codebook[found.assignments] * torch.where(vectors < 0, -1.0, 1.0)
        error = group(layer.weight.detach(), 8) - expected
        assert error.abs().max() <= 0.5 * scale + 0.6 * float(found.codebook.max())  # a clipped outlier
        assert error.abs().median() <= 0.5 * scale
        assert reports[name].total_sse == pytest.approx(float(((vectors - expected) ** 2).sum()), rel=1e-4)


def test_small_alpha_scales_the_latents() -> None:
    one, tenth = (ssvq.signed_weights(clustered(replace(EAGER, alpha=alpha)))[0] for alpha in (1.0, 0.1))
    torch.testing.assert_close(tenth.latent, 0.1 * one.latent)


def test_training_flips_signs_freezes_some_and_keeps_assignments() -> None:
    model = clustered()
    weights = ssvq.signed_weights(model)
    before = [(w.assignments.clone(), w.signs().detach().clone()) for w in weights]
    losses: list[float] = []
    ssvq.fine_tune(model, images(64), TUNING, report=lambda epoch, loss, s: losses.append(loss))
    assert losses[-1] < losses[0]
    assert 0.001 < ssvq.frozen_share(model) < 0.9
    flipped = 0
    for weight, (assignments, signs) in zip(weights, before, strict=True):
        assert torch.equal(weight.assignments, assignments)
        assert weight.codebook.codewords.min() >= 0
        assert weight.freezer is not None
        flipped += int((weight.signs() != signs).sum())
    assert flipped > 50


def test_frozen_signs_never_move_and_their_number_never_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    model = clustered()
    weights = ssvq.signed_weights(model)
    frozen = [torch.zeros_like(w.latent, dtype=torch.bool) for w in weights]
    values = [w.signs().detach().clone() for w in weights]
    after_step = ssvq.SignedWeight.after_step

    def watched(weight: ssvq.SignedWeight, done: int, total: int) -> None:
        after_step(weight, done, total)
        i = next(i for i, w in enumerate(weights) if w is weight)
        assert weight.freezer is not None
        now, signs = weight.freezer.frozen, weight.signs().detach()
        assert (now | ~frozen[i]).all()
        assert torch.equal(signs[frozen[i]], values[i][frozen[i]])
        frozen[i], values[i] = now.clone(), signs.clone()

    monkeypatch.setattr(ssvq.SignedWeight, "after_step", watched)
    ssvq.fine_tune(model, images(64), TUNING)
    assert sum(int(f.sum()) for f in frozen) > 0


@pytest.mark.parametrize(
    ("config", "moves", "freezes"),
    [
        (replace(EAGER, learn_signs=False), False, False),
        (replace(EAGER, freezing=None), True, False),
        (EAGER, True, True),
        (replace(EAGER, freezing=replace(EAGER.freezing, vote="average")), True, True),  # type: ignore[type-var]
        (replace(EAGER, freezing=replace(EAGER.freezing, interval=100)), True, False),  # type: ignore[type-var]
    ],
)
def test_ablations(config: SsvqConfig, moves: bool, freezes: bool) -> None:
    model = clustered(config)
    before = [w.signs().detach().clone() for w in ssvq.signed_weights(model)]
    ssvq.fine_tune(model, images(32), TUNING)
    after = [w.signs() for w in ssvq.signed_weights(model)]
    assert any((a != b).any() for a, b in zip(after, before, strict=True)) == moves
    assert (ssvq.frozen_share(model) > 0) == freezes


class Interrupted(Exception):
    pass


def test_interrupted_run_ends_with_the_same_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Freezing included: the run stops in its third epoch, when signs have frozen."""
    whole = ssvq.fine_tune(clustered(), images(64), TUNING)
    steps, path = 0, tmp_path / "run.pt"
    after_step = ssvq.SignedWeight.after_step

    def failing(weight: ssvq.SignedWeight, done: int, total: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 9 * 8 + 3:  # the tenth iteration, the fourth of eight layers
            raise Interrupted
        after_step(weight, done, total)

    with monkeypatch.context() as context:
        context.setattr(ssvq.SignedWeight, "after_step", failing)
        with pytest.raises(Interrupted):
            ssvq.fine_tune(clustered(), images(64), TUNING, path)
    assert torch.load(path)["epoch"] == 2
    frozen = [value for key, value in torch.load(path)["model"].items() if key.endswith("frozen")]
    assert sum(int(f.sum()) for f in frozen) > 0
    resumed = ssvq.fine_tune(clustered(), images(64), TUNING, path)
    for kind in ("named_parameters", "named_buffers"):
        for (name, one), (_, two) in zip(getattr(whole, kind)(), getattr(resumed, kind)(), strict=True):
            assert torch.equal(one, two), name
    assert ssvq.frozen_share(resumed) > sum(int(f.sum()) for f in frozen) / sum(f.numel() for f in frozen)


def test_compress_repeats_to_the_bit() -> None:
    nets = [
        ssvq.METHOD.compress(
            resnet8(8),
            Data(images(32), images(32)),
            replace(EAGER, epochs=3, rate=2e-2, batch=16),
            name="tiny",
        )
        for _ in range(2)
    ]
    assert nets[0].name == "tiny"
    one, two = (reference.logits(net, images(20).pixels) for net in nets)
    assert torch.equal(one, two)


def test_integers_are_the_same_in_reference_file_functional_model_and_cycle_engine(tmp_path: Path) -> None:
    model = clustered()
    ssvq.fine_tune(model, images(32), replace(TUNING, epochs=1))
    net = export(model, images(16), name="ssvq")
    assert [weight.format for weight in coded(net)] == ["ssvq"] * 8
    artifact.save(net, tmp_path / "net.safetensors")
    back = artifact.load(tmp_path / "net.safetensors")
    pixels = images(3, seed=3).pixels
    integers = (pixels.to(torch.int16) - 128).to(torch.int8).numpy()
    expected = run(back, integers)
    for name, tensor in reference.run(net, pixels.long() - 128).items():
        np.testing.assert_array_equal(tensor, expected[name], err_msg=name)
    machine = accelerator.preset("ssvq-16")
    kinds = {form for form, _ in network_formats(back, machine).values()}
    assert "ssvq" in kinds
    assert simulate(back, machine, integers[:1]).bit_exact


def test_each_exported_weight_is_the_float_weight() -> None:
    model = clustered()
    net = export(model, images(16), name="ssvq")
    for name, layer in model.body().items():
        _, block, *rest = name.split(".")
        conv = net[f"block{block}.{rest[0]}"]
        assert isinstance(conv, Conv)
        scale = float(layer.parametrizations.weight[0].codebook.scale.detach())
        np.testing.assert_allclose(conv.weight.decode() * scale, layer.weight.detach(), atol=1e-6)


def test_reported_bits_are_those_of_the_network() -> None:
    model = resnet8()
    reports = ssvq.cluster(model, SsvqConfig())
    storage = sum((r.bits for r in reports.values()), Bits())
    assert storage == network_bits(export(model, images(16), name="x"))
    assert (storage.assignments + storage.signs) / storage.weights == 1.5


def test_model_file_keeps_weights_and_signs(tmp_path: Path) -> None:
    model = clustered()
    ssvq.fine_tune(model, images(32), TUNING)
    checkpoint.save(model, tmp_path / "m.safetensors")
    back = checkpoint.load(tmp_path / "m.safetensors")
    for one, two in zip(back.body().values(), model.body().values(), strict=True):
        assert torch.equal(one.weight, two.weight)
    for one, two in zip(*(coded(export(m, images(8), name="x")) for m in (back, model)), strict=True):
        np.testing.assert_array_equal(one.decode(), two.decode())


def test_bad_input() -> None:
    with pytest.raises(InputError, match="k = 1"):
        SsvqConfig(k=1)
    with pytest.raises(InputError, match="d = 32: codewords with signs"):
        SsvqConfig(d=32)
    with pytest.raises(InputError, match=r"alpha = 0\.0"):
        SsvqConfig(alpha=0.0)
    with pytest.raises(InputError, match="d = 16: does not divide the 8 output channels"):
        clustered(SsvqConfig(d=16))
    with pytest.raises(InputError, match="calibration = 0"):
        ssvq.METHOD.compress(resnet8(), Data(images(64), images(0)), SsvqConfig())
    with pytest.raises(InputError, match="already"):
        ssvq.cluster(clustered(), SsvqConfig())
