"""Model files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from algos import checkpoint
from algos.body import layers_to_compress
from algos.frontend.export import export
from algos.methods import mvq, vq4all
from algos.methods.blocks import blocks
from algos.models.resnet import ResNet
from algos.weights.codebook import attach, attached
from algos.weights.universal import FrozenCodebook, UniversalWeight, rounded
from sim.errors import InputError
from sim.network import CodebookWeight, Conv
from tests.algos.small_models import images, resnet8


@pytest.mark.parametrize("depth", [8, 14])
def test_dense_model(tmp_path: Path, depth: int) -> None:
    model = ResNet(depth, 4).eval()
    checkpoint.save(model, tmp_path / "m.safetensors")
    back = checkpoint.load(tmp_path / "m.safetensors")
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(back(x), model(x))


@pytest.mark.parametrize("case", "AD")
def test_compressed_model(tmp_path: Path, case: str) -> None:
    model, path = resnet8(), tmp_path / "m.safetensors"
    mvq.cluster(model, mvq.MvqConfig(k=16, case=case))  # type: ignore[arg-type]
    attached(model.body()["blocks.0.conv1"]).codebook.log_scale.data.add_(0.1)  # type: ignore[union-attr]
    checkpoint.save(model, path)
    stored = load_file(path)
    assert stored["blocks.0.conv1.assignments"].dtype == torch.uint8
    assert ("blocks.0.conv1.masks" in stored) == (case == "D")
    assert not [key for key in stored if "original" in key]
    back = checkpoint.load(path)
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(back(x), model(x))
    for one, two in zip(
        export(back, images(8), name="x").layers, export(model, images(8), name="x").layers, strict=True
    ):
        if isinstance(one, Conv) and isinstance(one.weight, CodebookWeight):
            assert isinstance(two, Conv)
            assert (one.weight.decode() == two.weight.decode()).all()
    mvq.fine_tune(back, images(32), mvq.Recipe(1, 1e-3, "adamw", batch=32))  # still trainable


def test_one_codebook_of_all_layers_is_stored_once_and_stays_one(tmp_path: Path) -> None:
    model, path = resnet8(), tmp_path / "m.safetensors"
    mvq.cluster(model, mvq.MvqConfig(k=100, cross_layer=True))
    checkpoint.save(model, path)
    assert [key for key in load_file(path) if key.endswith("codebook")] == ["codebook"]
    back = checkpoint.load(path)
    parts = [part for layer in back.body().values() if (part := attached(layer)) is not None]
    assert len({id(part.codebook) for part in parts}) == 1
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(back(x), model(x))
    recipe = mvq.Recipe(2, 1e-2, "adamw", batch=16)
    one, two = (mvq.fine_tune(m, images(32), recipe) for m in (back, model))
    assert torch.equal(one.fc.weight, two.fc.weight)
    assert torch.equal(one.body()["blocks.0.conv1"].weight, two.body()["blocks.0.conv1"].weight)


CONSTRUCTION = vq4all.Vq4allConfig(k=300, d=8, candidates=2, epochs=1, batch=32)


def constructed(codebooks: FrozenCodebook | dict[str, FrozenCodebook]) -> ResNet:
    model = resnet8()
    layers = layers_to_compress(model)
    vq4all.construct(model, layers, blocks(model, layers), codebooks, images(32), CONSTRUCTION)
    return model


def draw(k: int, seed: int, universal: bool) -> FrozenCodebook:
    return rounded(torch.randn(k, 8, generator=torch.Generator().manual_seed(seed)), universal)


def test_a_network_of_the_universal_codebook(tmp_path: Path) -> None:
    model, path = constructed(draw(300, 0, True)), tmp_path / "m.safetensors"
    checkpoint.save(model, path)
    stored = load_file(path)
    assert [key for key in stored if key.endswith("codebook")] == ["codebook"]
    assert stored["codebook"].dtype == torch.int8
    assert stored["blocks.0.conv1.assignments"].dtype == torch.uint16
    assert_comes_back(model, path, universal=True)


def test_a_network_of_frozen_codebooks_of_its_own(tmp_path: Path) -> None:
    own = {name: draw(16 + seed, seed, False) for seed, name in enumerate(resnet8().body())}
    model, path = constructed(own), tmp_path / "m.safetensors"
    checkpoint.save(model, path)
    stored = load_file(path)
    assert [len(stored[f"{name}.codebook"]) for name in own] == [16 + seed for seed in range(len(own))]
    assert_comes_back(model, path, universal=False)


def assert_comes_back(model: ResNet, path: Path, universal: bool) -> None:
    """Same weights, same function, same integers.

    Training leaves tensors in another order than a file; sums of floats, and with them scales and rounded biases, hang
    on that.
    """
    back, x = checkpoint.load(path), torch.rand(2, 1, 28, 28)
    for tensor in (*model.parameters(), *model.buffers(), *back.parameters(), *back.buffers()):
        tensor.data = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.data)
    for name, layer in model.body().items():
        assert torch.equal(back.body()[name].weight, layer.weight)
    assert torch.equal(back(x), model(x))
    nets = [export(one, images(8), name="x") for one in (back, model)]
    for one, two in zip(*(net.layers for net in nets), strict=True):
        if isinstance(one, Conv) and isinstance(one.weight, CodebookWeight):
            assert isinstance(two, Conv)
            assert isinstance(two.weight, CodebookWeight)
            assert one.weight.universal == two.weight.universal == universal
            assert (one.weight.codebook == two.weight.codebook).all()
            assert (one.weight.assignments == two.weight.assignments).all()
            assert (one.bias == two.bias).all()


def test_an_unfinished_construction_is_not_saved(tmp_path: Path) -> None:
    model = resnet8()
    for layer in layers_to_compress(model).values():
        attach(layer, UniversalWeight(draw(300, 0, True), layer.weight.detach(), 2))
    with pytest.raises(InputError, match="are not confirmed"):
        checkpoint.save(model, tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_assignments_without_a_codebook(tmp_path: Path) -> None:
    model, path = resnet8(), tmp_path / "m.safetensors"
    mvq.cluster(model, mvq.MvqConfig(k=16))
    checkpoint.save(model, path)
    state = load_file(path)
    del state["blocks.0.conv1.codebook"]
    save_file(state, path, {"pattern": "4:16"})
    with pytest.raises(InputError, match=r"blocks\.0\.conv1 has assignments and no codebook"):
        checkpoint.load(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        checkpoint.load(tmp_path / "m.safetensors")


def test_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"not a model at all, is it?")
    with pytest.raises(InputError, match="not a safetensors file"):
        checkpoint.load(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"is not a ResNet of algos\.models\.resnet"):
        checkpoint.load(path)


def test_missing_tensor(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    state = ResNet(8, 4).state_dict()
    del state["fc.bias"]
    save_file(state, path)
    with pytest.raises(InputError, match=r"fc\.bias"):
        checkpoint.load(path)
