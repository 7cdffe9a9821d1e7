"""MVQ whole: configuration, the four cases of Table 3, fine-tuning, compress."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from algos import reference
from algos.frontend.export import export
from algos.methods import mvq
from algos.methods.method import Data
from algos.models.resnet import ResNet
from algos.norms import absorb_gain_signs
from algos.training import Recipe
from algos.weights.bits import Bits, network_bits
from algos.weights.codebook import attached
from algos.weights.grouping import group
from algos.weights.kmeans import masked_kmeans
from codeword.reports.mvq_accuracy.train import CASES
from sim import artifact
from sim.errors import InputError
from sim.network import CodebookWeight, Conv, run
from tests.algos.small_models import images, resnet8

TUNING = Recipe(epochs=2, rate=2e-3, optimizer="adamw", decay=0.0, batch=32)


def clustered(case: str) -> tuple[ResNet, dict[str, mvq.LayerReport]]:
    model = resnet8()
    config = mvq.MvqConfig(k=16, d=8 if case in "AB" else 16, case=case)  # type: ignore[arg-type]
    return model, mvq.cluster(model, config)


def total(reports: dict[str, mvq.LayerReport], field: str) -> float:
    return sum(getattr(r, field) for r in reports.values())


def test_table_3_ordering() -> None:
    """MVQ has the least error; sparse reconstructions err only where weights are kept."""
    reports = {case: clustered(case)[1] for case in "ABCD"}
    for case in "CD":
        assert total(reports[case], "total_sse") == pytest.approx(
            total(reports[case], "masked_sse"), rel=1e-6
        )
    for case in "AB":
        assert total(reports[case], "total_sse") > total(reports[case], "masked_sse")
    assert total(reports["D"], "total_sse") < 0.8 * total(reports["C"], "total_sse")


@pytest.mark.parametrize("case", "ABCD")
def test_reports_are_the_errors_of_the_weights(case: str) -> None:
    original = resnet8()
    absorb_gain_signs(original)
    weight = original.body()["blocks.2.conv1"].weight.detach()
    model, reports = clustered(case)
    part = attached(model.body()["blocks.2.conv1"])
    assert part is not None
    vectors = group(weight, 16)
    kept = torch.zeros_like(vectors).scatter(1, vectors.abs().topk(4, 1).indices, 1.0)
    target = group(weight, part.codebook.codewords.shape[1])
    if case != "A":
        pruned = vectors * kept
        target = group(
            pruned.reshape(4, -1, 16).transpose(1, 2).reshape(weight.shape), part.codebook.codewords.shape[1]
        )
    rebuilt = part.codebook.codewords.detach()[part.assignments] * part.masks
    assert reports["blocks.2.conv1"].total_sse == pytest.approx(
        float(((target - rebuilt) ** 2).sum()), rel=1e-5
    )
    assert bool((part.masks == 0).any()) == (case in "CD")


def test_stem_and_classifier_stay_dense_and_small_layers_get_small_codebooks() -> None:
    model = resnet8()
    mvq.cluster(model, mvq.MvqConfig(k=100))
    sizes = {
        name: len(part.codebook.codewords)
        for name, layer in model.named_modules()
        if (part := attached(layer)) is not None
    }
    assert sizes == {
        "blocks.0.conv1": 72,
        "blocks.0.conv2": 72,
        "blocks.1.conv1": 100,
        "blocks.1.conv2": 100,
        "blocks.1.shortcut.0": 16,
        "blocks.2.conv1": 100,
        "blocks.2.conv2": 100,
        "blocks.2.shortcut.0": 64,
    }


def test_reported_bits_are_those_of_the_exported_network() -> None:
    model, reports = clustered("D")
    net = export(model, images(16), name="mvq")
    assert sum((r.bits for r in reports.values()), Bits()) == network_bits(net)


def test_fine_tuning_learns_and_keeps_assignments_and_masks() -> None:
    model, _ = clustered("D")
    parts = [part for layer in model.body().values() if (part := attached(layer)) is not None]
    before = [(p.assignments.clone(), p.masks.clone(), p.codebook.codewords.detach().clone()) for p in parts]
    losses: list[float] = []
    mvq.fine_tune(model, images(64), TUNING, report=lambda epoch, loss, s: losses.append(loss))
    assert losses[1] < losses[0]
    for part, (assignments, masks, codebook) in zip(parts, before, strict=True):
        assert torch.equal(part.assignments, assignments)
        assert torch.equal(part.masks, masks)
        assert not torch.equal(part.codebook.codewords, codebook)


@pytest.mark.parametrize("case", "AD")
def test_compress(case: str) -> None:
    seen: list[int] = []
    config = mvq.MvqConfig(
        k=16,
        d=8 if case == "A" else 16,
        case=case,  # type: ignore[arg-type]
        epochs=2,
        rate=2e-3,
        batch=32,
    )
    net = mvq.METHOD.compress(
        resnet8(),
        Data(images(64), images(32)),
        config,
        name="tiny",
        report=lambda epoch, loss, seconds: seen.append(epoch),
    )
    assert (net.name, seen) == ("tiny", [1, 2])
    weights = [layer.weight for layer in net.layers if isinstance(layer, Conv)]
    assert sum(isinstance(w, CodebookWeight) for w in weights) == 8
    assert reference.logits(net, images(4).pixels).shape == (4, 10)


def test_compress_repeats_to_the_bit() -> None:
    nets = [
        mvq.METHOD.compress(
            resnet8(), Data(images(64), images(32)), mvq.MvqConfig(k=16, epochs=2, rate=2e-3, batch=32)
        )
        for _ in range(2)
    ]
    one, two = (reference.logits(net, images(20).pixels) for net in nets)
    assert torch.equal(one, two)


def test_plain_vq_of_the_experiment_has_at_least_the_bits_of_mvq() -> None:
    storage = {
        case: sum((r.bits for r in mvq.cluster(ResNet(), CASES[case]).values()), Bits()) for case in "AD"
    }
    assert 1.0 <= storage["A"].per_weight / storage["D"].per_weight < 1.1
    assert storage["D"].ratio > 15


def test_one_codebook_of_all_layers() -> None:
    model = resnet8()
    config = mvq.MvqConfig(k=100, cross_layer=True)
    reports = mvq.cluster(model, config)
    parts = [part for layer in model.body().values() if (part := attached(layer)) is not None]
    assert len({id(part.codebook) for part in parts}) == 1
    assert sum(p.numel() for p in model.parameters() if p.shape == (100, 16)) == 100 * 16
    net = export(model, images(16), name="mvq")
    storage = network_bits(net)
    assert storage == sum((r.bits for r in reports.values()), Bits())
    assert storage.codebooks == 100 * 16 * 8
    assert total(reports, "total_sse") > total(mvq.cluster(resnet8(), mvq.MvqConfig(k=100)), "total_sse")
    mvq.fine_tune(model, images(64), TUNING)
    exported = [
        layer.weight.codebook
        for layer in export(model, images(16), name="mvq").layers
        if isinstance(layer, Conv) and isinstance(layer.weight, CodebookWeight)
    ]
    assert len({codebook.tobytes() for codebook in exported}) == 1


def test_the_clustering_of_all_layers_is_that_of_their_sub_vectors_together() -> None:
    model, original = resnet8(), resnet8()
    absorb_gain_signs(original)
    mvq.cluster(model, mvq.MvqConfig(k=50, case="A", d=8, cross_layer=True))
    together = torch.cat([group(layer.weight.detach(), 8) for layer in original.body().values()])
    expected = masked_kmeans(together, None, 50)
    parts = [attached(layer) for layer in model.body().values()]
    assert torch.equal(torch.cat([p.assignments for p in parts if p is not None]), expected.assignments)
    assert parts[0] is not None
    assert torch.equal(parts[0].codebook.codewords, expected.codebook)


def test_one_of_two_for_light_networks(tmp_path: Path) -> None:
    """1:2 with d = 8: four mask codes of one bit a codeword; the file and sim read the same integers."""
    model = resnet8(8)
    reports = mvq.cluster(model, mvq.MvqConfig(k=32, d=8, pattern=(1, 2)))
    net = export(model, images(16), name="light")
    artifact.save(net, tmp_path / "net.safetensors")
    net = artifact.load(tmp_path / "net.safetensors")
    storage = sum((r.bits for r in reports.values()), Bits())
    assert storage == network_bits(net)
    assert storage.masks / storage.weights == 0.5
    pixels = images(3).pixels
    expected = run(net, (pixels.to(torch.int16) - 128).to(torch.int8).numpy())
    for name, tensor in reference.run(net, pixels.long() - 128).items():
        assert (tensor.numpy() == expected[name]).all(), name


def test_bad_input() -> None:
    with pytest.raises(InputError, match="k = 1"):
        mvq.MvqConfig(k=1)
    with pytest.raises(InputError, match="N:M = '4:16'"):
        mvq.MvqConfig(d=8)
    with pytest.raises(InputError, match="case = 'E'"):
        mvq.MvqConfig(case="E")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="d = 32: does not divide the 16 output channels"):
        mvq.cluster(resnet8(), mvq.MvqConfig(d=32))
    with pytest.raises(InputError, match="calibration = 0"):
        mvq.METHOD.compress(resnet8(), Data(images(64), images(0)), mvq.MvqConfig(k=16))
    model = resnet8()
    model.body()["blocks.1.conv1"].weight.data[0] = float("nan")
    with pytest.raises(InputError, match=r"blocks\.1\.conv1"):
        mvq.cluster(model, mvq.MvqConfig(k=16))
    with pytest.raises(InputError, match="already"):
        mvq.cluster(clustered("D")[0], mvq.MvqConfig(k=16))
