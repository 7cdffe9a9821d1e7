"""Model files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from algos import checkpoint, mvq
from algos.codebook import attached
from algos.export import export
from algos.models.resnet import ResNet
from sim.errors import InputError
from sim.network import CodebookWeight, Conv
from tests.algos.models import images, resnet8


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
    for one, two in zip(export(back, images(8), name="x").layers,
                        export(model, images(8), name="x").layers, strict=True):
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
