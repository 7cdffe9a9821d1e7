"""The experiment's script, in miniature: a small network, a few images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from algos import checkpoint, reference
from algos.data.fashion_mnist import Images
from algos.frontend.export import export
from algos.methods import mvq
from algos.models.resnet import ResNet
from algos.training import Recipe, history
from codeword.reports.mvq_accuracy import build_zoo, train
from sim import artifact
from tests.algos.data.test_data import write_idx
from tests.algos.small_models import images


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for split, part in (("train", images(40)), ("t10k", images(20, seed=1))):
        write_idx(folder / f"{split}-images-idx3-ubyte", part.pixels[:, 0].numpy())
        write_idx(folder / f"{split}-labels-idx1-ubyte", part.labels.numpy())
    tiny = Recipe(epochs=1, rate=0.01, batch=16)
    monkeypatch.setattr(train, "FLOAT", tiny)
    monkeypatch.setattr(train, "SPARSE", tiny)
    monkeypatch.setattr(mvq, "SHORT_FINE_TUNING", tiny)
    monkeypatch.setattr(mvq, "FINE_TUNING", replace(tiny, optimizer="adamw"))
    monkeypatch.setattr(train, "ResNet", lambda: ResNet(8))
    return folder


def test_experiment_and_zoo(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work, out = tmp_path / "work", tmp_path / "mvq.json"
    train.reproduce(data, work, out, "DA")
    results = json.loads(out.read_text())
    assert list(results["cases"]) == ["D", "A"]
    case = results["cases"]["D"]
    assert case["pattern"] == "4:16"
    assert case["total_sse"] == pytest.approx(case["masked_sse"])
    assert case["compression_ratio"] == pytest.approx(32 / case["bits_per_weight"])
    assert [set(epoch) for epoch in case["epochs"]] == [{"loss", "seconds"}]
    assert results["cases"]["A"]["pattern"] is None
    assert 0 <= case["short_fine_tuning"]["accuracy_integer"] <= 1
    assert "epoch 1" in capsys.readouterr().out

    seconds = history(work / "case_D.pt")
    train.reproduce(data, work, out, "DA")
    assert "epoch 1" not in capsys.readouterr().out  # every stage was finished
    assert json.loads(out.read_text()) == results
    assert history(work / "case_D.pt") == seconds

    zoo = tmp_path / "zoo"
    monkeypatch.setattr(build_zoo, "TEST", 10)
    build_zoo.build(data, work, zoo)
    assert {path.name for path in zoo.iterdir()} == {
        "float.safetensors",
        "sparse.safetensors",
        "mvq.safetensors",
        "network.safetensors",
        "images.npz",
    }
    test: Images = images(20, seed=1)
    network = artifact.load(zoo / "network.safetensors")
    assert reference.accuracy(network, test) == case["accuracy_integer"]
    model = checkpoint.load(zoo / "mvq.safetensors")
    again = export(model, images(40), name="again")
    assert (reference.logits(again, test.pixels) == reference.logits(network, test.pixels)).all()
