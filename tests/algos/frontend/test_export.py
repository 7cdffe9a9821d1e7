"""From a PyTorch model to a network of integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from algos import reference
from algos.frontend.export import export
from algos.methods import mvq
from algos.models.resnet import ResNet
from algos.weights.pruning import sparsify
from sim import artifact
from sim.errors import InputError
from sim.network import Add, AveragePool, CodebookWeight, Conv, DenseWeight, run
from tests.algos.small_models import images, resnet8


def float_logits(model: ResNet) -> Tensor:
    with torch.no_grad():
        return model(images(64).pixels.float() / 255)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Of logits, up to the unknown scale of the integer ones."""
    found = found.double()
    expected = expected.double()
    gain = (found * expected).sum() / (found * found).sum()
    assert gain > 0
    return float((gain * found - expected).norm() / expected.norm())


def test_dense_network_follows_the_float_one() -> None:
    model = resnet8()
    net = export(model, images(64), name="dense")
    assert relative_error(reference.logits(net, images(64).pixels), float_logits(model)) < 0.05


def test_mvq_network_follows_the_float_one() -> None:
    model = resnet8()
    mvq.cluster(model, mvq.MvqConfig(k=16))
    net = export(model, images(64), name="mvq")
    assert relative_error(reference.logits(net, images(64).pixels), float_logits(model)) < 0.05


def test_exporting_does_not_change_the_model() -> None:
    model = resnet8()
    before = float_logits(model)
    export(model, images(16), name="dense")
    assert torch.equal(float_logits(model), before)


def test_structure_and_formats() -> None:
    model = resnet8()
    mvq.cluster(model, mvq.MvqConfig(k=16))
    net = export(model, images(16), name="mvq", metadata={"note": "x"})
    assert [layer.name for layer in net.layers] == [
        "stem",
        "block0.conv1",
        "block0.conv2",
        "block0.add",
        "block1.shortcut",
        "block1.conv1",
        "block1.conv2",
        "block1.add",
        "block2.shortcut",
        "block2.conv1",
        "block2.conv2",
        "block2.add",
        "pool",
        "fc",
    ]
    assert net.metadata == {"note": "x"}
    assert (net.input.shape, net.input.scale, net.input.zero_point) == ((1, 28, 28), 1 / 255, -128)
    for layer in net.layers:
        if layer.name in ("stem", "fc"):
            assert isinstance(layer, Conv)
            assert isinstance(layer.weight, DenseWeight)
        elif isinstance(layer, Conv):
            assert isinstance(layer.weight, CodebookWeight)
            assert (layer.weight.keep, layer.weight.group) == (4, 16)
            assert layer.weight.masks().sum(-1).min() == layer.weight.masks().sum(-1).max() == 4
        else:
            assert isinstance(layer, Add | AveragePool)
            assert layer.low == 0
    stem, fc = net["stem"], net["fc"]
    assert isinstance(stem, Conv)
    assert isinstance(fc, Conv)
    assert stem.requantization is not None
    assert stem.requantization.low == 0
    assert fc.requantization is None
    assert fc.weight.shape == (10, 64, 1, 1)


def test_codebook_is_stored_not_decoded_and_decodes_to_the_weight() -> None:
    model = resnet8()
    mvq.cluster(model, mvq.MvqConfig(k=16))
    net = export(model, images(16), name="mvq")
    layer, conv = net["block1.conv2"], model.body()["blocks.1.conv2"]
    assert isinstance(layer, Conv)
    assert isinstance(layer.weight, CodebookWeight)
    assert layer.weight.codebook.shape == (16, 16)
    scale = float(conv.parametrizations.weight[0].codebook.scale.detach())
    np.testing.assert_allclose(layer.weight.decode() * scale, conv.weight.detach(), atol=1e-6)


def test_bias_folds_the_zero_point_of_the_pixels() -> None:
    """A black picture is the byte 0, the integer -128; it must act as 0.0 everywhere."""
    model = resnet8()
    net = export(model, images(64), name="dense")
    black = torch.zeros(1, 1, 28, 28)
    with torch.no_grad():
        expected = torch.relu(model.bn(model.conv(black)))[0, :, 14, 14]
    found = reference.run(net, torch.full((1, 1, 28, 28), -128))["stem"][0]
    step = float(expected.max()) / int(found.max())
    assert (found[:, 14, 14] * step - expected).abs().max() < 2 * step
    assert (found == found[:, 14:15, 14:15]).all()  # padding is black too


def test_exported_network_is_the_same_after_saving_and_in_sim(tmp_path) -> None:
    model = resnet8()
    mvq.cluster(model, mvq.MvqConfig(k=16))
    net = export(model, images(16), name="mvq")
    artifact.save(net, tmp_path / "net.safetensors")
    back = artifact.load(tmp_path / "net.safetensors")
    pixels = images(5, seed=3).pixels
    expected = run(back, (pixels.to(torch.int16) - 128).to(torch.int8).numpy())
    for name, tensor in reference.run(net, pixels.long() - 128).items():
        np.testing.assert_array_equal(tensor, expected[name], err_msg=name)


def test_a_channel_without_gain_keeps_its_offset() -> None:
    model = resnet8()
    norm = model.blocks[1].bn2
    norm.weight.data[3], norm.bias.data[3] = 1e-12, 0.7
    norm.weight.data[4], norm.bias.data[4] = 0.0, 0.0
    net = export(model, images(64), name="dense")
    layer = net["block1.conv2"]
    assert isinstance(layer, Conv)
    out = reference.run(net, images(4).pixels.long() - 128)["block1.conv2"]
    with torch.no_grad():
        expected = model.blocks[1].bn2(torch.zeros(1, 32, 1, 1))[0, :, 0, 0]
    assert float(expected[3]) == pytest.approx(0.7)
    assert out[:, 3].unique().numel() == 1
    assert out[0, 3, 0, 0] > 0
    assert (out[:, 4] == 0).all()
    assert relative_error(reference.logits(net, images(64).pixels), float_logits(model)) < 0.05


def test_model_in_sparse_training_exports_its_masked_weights() -> None:
    model = resnet8()
    sparsify(list(model.body().values()), 16, 4, 16)
    layer = export(model, images(16), name="sparse")["block2.conv2"]
    assert isinstance(layer, Conv)
    kept = (layer.weight.decode().reshape(4, 16, -1) != 0).sum(1)
    assert kept.max() <= 4
    assert kept.min() >= 1


def test_calibration_images_are_needed() -> None:
    with pytest.raises(InputError, match="calibration = 0: no images"):
        export(resnet8(), images(0), name="x")


@pytest.mark.parametrize("field", ["conv.weight", "bn.running_var", "fc.bias"])
def test_not_finite_tensors_are_named(field: str) -> None:
    model = resnet8()
    model.state_dict()[field].view(-1)[0] = float("nan")
    with pytest.raises(InputError, match=rf"{field} = nan: holds NaN or infinity"):
        export(model, images(16), name="x")
